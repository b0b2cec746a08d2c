"""Importer of Once-for-All's published accuracy predictor and latency tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from metad2a.costs.layer_latency import COLUMNS, LayerLatency
from metad2a.database.importers.provenance import file_facts, sidecar
from metad2a.database.importers.safe_pickle import read_restricted
from metad2a.database.records import versions
from metad2a.errors import DatabaseError, DataError
from metad2a.oracles.ofa import RESOLUTIONS, WIDTH, check_state, write_predictor
from metad2a.runtime import atomic_path, check_writable, write_json
from metad2a.spaces.mobilenetv3 import MobileNetV3

PREDICTOR = "acc_predictor.pth"
TABLES = "_lookup_table.yaml"
ACCURACY = "accuracy.safetensors"
_SCHEMA_VERSION = 1
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where there is a compiled one
_SOURCE = "Once-for-All (Cai et al., ICLR 2020), github han-cai/files"
_LICENCE = "not stated (the code of Once-for-All is MIT)"


@dataclass(frozen=True)
class Imported:
    """What was read and written.

    Attributes:
        accuracy: the oracle's file; None where the folder has no predictor.
        latency: file and resolutions, by device.
    """

    accuracy: Path | None
    latency: Mapping[str, tuple[Path, tuple[int, ...]]]


def import_ofa(folder: str | Path, out: str | Path) -> Imported:
    """Write the accuracy predictor as an oracle, and the latency tables of each device as one table of layers.

    Args:
        folder: has ``acc_predictor.pth``, or folders named after devices with ``RESOLUTION_lookup_table.yaml``, or
            both.
        out: a folder, which need not exist. Into it go ``accuracy.safetensors`` and ``DEVICE.csv`` (columns
            ``resolution``, ``layer``, ``ms``), and beside each a JSON file that says where it comes from.

    Raises:
        DatabaseError: the folder has nothing of this, or a file is damaged, refused, another one, or lacks a layer.
        OutputError: ``out`` cannot be written.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise DatabaseError(f"{folder} is no folder. Give the one that has {PREDICTOR}.")
    predictor = folder / PREDICTOR
    tables = _tables(folder)
    if not predictor.is_file() and not tables:
        raise DatabaseError(
            f"{folder} has neither {PREDICTOR} nor a folder with files *{TABLES}. Give the folder of "
            "Once-for-All's published files."
        )
    # Everything is read and checked before anything is written.
    state = _read_predictor(predictor) if predictor.is_file() else None
    layers = {
        device: {pixels: _read_layers(path, pixels) for pixels, path in tables[device].items()} for device in tables
    }
    check_writable(out / ACCURACY)
    if state is not None:
        write_predictor(out / ACCURACY, state)
        _write_origin(out / ACCURACY, folder, [predictor], {"resolutions": RESOLUTIONS, "width": WIDTH})
    latency = {}
    for device, found in layers.items():
        path = out / f"{device}.csv"
        _write_layers(path, found)
        widths = {LayerLatency.of(_means(rows), pixels, name=device).width for pixels, rows in found.items()}
        notes = {"resolutions": tuple(found), "width": max(widths)}
        _write_origin(path, folder, list(tables[device].values()), notes)
        latency[device] = path, tuple(found)
    return Imported(out / ACCURACY if state is not None else None, latency)


def _tables(folder: Path) -> dict[str, dict[int, Path]]:
    """Return the files by device and resolution."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.glob(f"*/*{TABLES}")):
        text = path.name.removesuffix(TABLES)
        if not text.isdecimal():
            raise DatabaseError(f"{path} does not say its resolution. Name it like 224{TABLES}.")
        found.setdefault(path.parent.name, {})[int(text)] = path
    return {device: dict(sorted(files.items())) for device, files in found.items()}


def _read_predictor(path: Path) -> dict[str, torch.Tensor]:
    content = read_restricted(path)
    if not isinstance(content, Mapping):
        raise DatabaseError(f"{path} is not Once-for-All's accuracy predictor: it holds no weights by name.")
    try:
        check_state(content, str(path))
    except DataError as error:
        raise DatabaseError(str(error)) from error
    return dict(content)


def _read_layers(path: Path, resolution: int) -> dict[str, dict[str, float]]:
    """Return mean, standard deviation and number of the measurements of each layer, in milliseconds."""
    try:
        content = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506  (a safe one)
        rows = {
            str(layer): {name: float(facts[name]) for name in ("mean", "std", "count")}
            for layer, facts in content.items()
        }
    except OSError as error:
        raise DatabaseError(f"cannot read {path}: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DatabaseError(
            f"{path} is no latency table of Once-for-All ({type(error).__name__}): it must give count, mean and "
            "std of each layer. Get it again."
        ) from error
    wrong = [layer for layer, facts in rows.items() if not all(0 <= value < np.inf for value in facts.values())]
    if wrong:
        raise DatabaseError(f"{path}: the measurements of '{wrong[0]}' are {rows[wrong[0]]}, which is no latency.")
    try:
        LayerLatency.of(_means(rows), resolution, name=str(path))
    except DataError as error:
        raise DatabaseError(str(error)) from error
    return rows


def _means(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {layer: facts["mean"] for layer, facts in rows.items()}


def _write_layers(path: Path, tables: Mapping[int, Mapping[str, Mapping[str, float]]]) -> None:
    columns = (*COLUMNS, "std", "count")
    rows = [
        (pixels, layer, facts["mean"], facts["std"], int(facts["count"]))
        for pixels, layers in tables.items()
        for layer, facts in layers.items()
    ]
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=columns).to_csv(temporary, index=False, lineterminator="\n")


def _write_origin(path: Path, folder: Path, read: list[Path], notes: Mapping[str, Any]) -> None:
    content = {
        "schema_version": _SCHEMA_VERSION,
        "benchmark": _SOURCE,
        "licence": _LICENCE,
        "space": MobileNetV3.name,
        "read": [file_facts(file) for file in read],
        "notes": dict(notes),
        "command": f"metad2a import ofa {folder.name} OUT",
        "versions": versions(),
        "written": file_facts(path),
    }
    write_json(sidecar(path), content)
