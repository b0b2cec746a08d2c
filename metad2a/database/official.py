"""Importer of the meta-training database that Lee, Hyung and Hwang (ICLR 2021) trained the predictor on."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metad2a.database.published import MetaDatabase, publish, record_row
from metad2a.database.records import Record, Task, record_key
from metad2a.database.safe_pickle import PickledGraph, read_restricted
from metad2a.errors import DatabaseError, UserError, unknown_name
from metad2a.spaces.nasbench201 import OFFICIAL_TOPOLOGY, NASBench201

VALIDATION_ROWS = 400
"""The first entries of the official index are meta-validation, the others meta-training."""
SOURCE = "imagenet32"
RECIPE = "official"

_ENTRIES, _ORDER = "meta_train_tasks_predictor.pt", "meta_train_tasks_predictor_idx.pt"
_TASK_LIST, _TASK_JSON = "meta_train_task_lst.pt", "task_classes.json"
_CSV, _WNIDS = "records.csv", "imagenet32_label_to_wnid.json"
_FILES = {"pt": (_ENTRIES, _ORDER, _TASK_LIST, _WNIDS), "csv": (_CSV, _ORDER, _TASK_JSON, _WNIDS)}
_RECIPE_TEXT = {
    "name": RECIPE,
    "known": "The files do not say how the networks were trained, on how many images, or from which seeds.",
}
_NOTES = {
    "origin": "Lee, Hyung and Hwang, 'Rapid Neural Architecture Search by Learning to Generate Graphs from "
    "Datasets', ICLR 2021: meta-training database of the performance predictor",
    "leakage": "The authors pre-selected the architectures: most are in the top decile of NAS-Bench-201 by "
    "CIFAR-10 accuracy. Say so with any result obtained with this database.",
    "left_out": "The normalised parameters, FLOPs and latencies of the files are not imported.",
}
_LICENCE = "ImageNet (ImageNet32): its terms of access, research only. The files themselves state no licence."


_Split = Literal["train", "valid"]


@dataclass(frozen=True)
class _Entries:
    accuracy: Sequence[float]
    task: Sequence[int]
    arch: Sequence[str]


def import_official(folder: str | Path, out_folder: str | Path, *, source: str = "pt") -> MetaDatabase:
    """Convert the official files to a published database; both sources give the same records.

    Classes are named by their WordNet ids. A task's images are not part of the files.

    Args:
        folder: with the official files.
        out_folder: for the converted database.
        source: the original ``.pt`` files, which are opened without running anything in them, or their rows as
            ``records.csv`` (the split is read from the ``.pt`` index in both cases).

    Raises:
        UnknownNameError: ``source`` is neither ``pt`` nor ``csv``.
        DatabaseError: a file is missing, damaged, refused, or holds something else.
    """
    folder = Path(folder)
    if source not in _FILES:
        raise unknown_name("source of the official database", source, _FILES)
    missing = [name for name in _FILES[source] if not (folder / name).is_file()]
    if missing:
        raise DatabaseError(f"{folder} lacks {', '.join(missing)}; all of {', '.join(_FILES[source])} are needed.")
    entries = _read_pt(folder / _ENTRIES) if source == "pt" else _read_csv(folder / _CSV)
    classes = read_restricted(folder / _TASK_LIST) if source == "pt" else _read_json(folder / _TASK_JSON)
    tasks = _tasks(folder, classes, entries.task)
    splits = _splits(folder / _ORDER, len(entries.accuracy))
    return publish(
        out_folder,
        name=RECIPE,
        space=NASBench201.name,
        tasks=list(tasks.values()),
        rows=[record_row(record) for record in _records(entries, tasks, splits)],
        recipes={RECIPE: _RECIPE_TEXT},
        sources={SOURCE: _LICENCE},
        command="metad2a import metad2a-database OFFICIAL_FOLDER OUT",
        notes=_NOTES | {"topology": [list(edge) for edge in OFFICIAL_TOPOLOGY]},
    )


def _records(entries: _Entries, tasks: dict[int, Task], splits: Sequence[_Split]) -> list[Record]:
    space = NASBench201()
    canonical = {text: space.canonical(space.parse(text)) for text in set(entries.arch)}
    seen: Counter[tuple[int, str]] = Counter()
    records = []
    for number, arch, accuracy, split in zip(entries.task, entries.arch, entries.accuracy, splits, strict=True):
        task = tasks[number].id
        records.append(
            Record(
                # A few pairs were measured twice, from seeds nobody knows: their count keeps the keys apart.
                key=record_key(task, space.name, arch, RECIPE, seen[number, arch]),
                task=task,
                space=space.name,
                arch=arch,
                canonical=canonical[arch],
                recipe=RECIPE,
                seed=None,
                status="ok",
                accuracy=accuracy,
                split=split,
            )
        )
        seen[number, arch] += 1
    return records


def _read_pt(path: Path) -> _Entries:
    content = read_restricted(path)
    wanted = ("acc", "task", "str", "g")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in wanted):
        raise DatabaseError(f"{path} is not the official database: it must hold the lists {', '.join(wanted)}.")
    if len({len(content[key]) for key in wanted}) != 1:
        raise DatabaseError(f"{path} is damaged: its lists have different lengths.")
    _check_graphs(path, content["g"], content["str"])
    return _entries(path, content["acc"], content["task"], content["str"])


def _read_csv(path: Path) -> _Entries:
    import pandas as pd

    try:
        table = pd.read_csv(path)
        return _entries(path, table["acc"].tolist(), table["task"].tolist(), table["arch"].tolist())
    except (ValueError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise DatabaseError(f"{path} is damaged or has other columns: {error}.") from error


def _entries(path: Path, accuracy: list[Any], task: list[Any], arch: list[Any]) -> _Entries:
    kinds = ((accuracy, float), (task, int), (arch, str))
    if not all(isinstance(value, kind) for values, kind in kinds for value in values):
        raise DatabaseError(f"{path} is damaged: accuracies, task numbers or architectures are of the wrong type.")
    if not all(0 <= value <= 100 for value in accuracy):
        raise DatabaseError(f"{path} is damaged: an accuracy is no percentage.")
    return _Entries(accuracy, task, arch)


def _check_graphs(path: Path, graphs: list[Any], archs: list[str]) -> None:
    """The space gives every graph one topology and derives its types from the text, so the file must agree."""
    space = NASBench201()
    types = {text: space.encode([space.parse(text)]).types[0].tolist() for text in set(archs)}
    for row, (graph, arch) in enumerate(zip(graphs, archs, strict=True)):
        if (
            not isinstance(graph, PickledGraph)
            or sorted(graph.edges) != sorted(OFFICIAL_TOPOLOGY)
            or graph.vertex_attributes.get("type") != types[arch]
        ):
            raise DatabaseError(f"{path}: the graph of entry {row} is not that of its architecture {arch}.")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatabaseError(f"{path} is damaged: {error}.") from error


def _tasks(folder: Path, classes: Any, used: Sequence[int]) -> dict[int, Task]:
    wnids = _read_json(folder / _WNIDS)
    try:
        return {
            number: Task(
                source=SOURCE,
                classes=tuple(wnids[str(label)] for label in classes[number]),
                images_per_class=None,
                seed=None,
                valid_fraction=None,
            )
            for number in sorted(set(used))
        }
    except (IndexError, KeyError, TypeError) as error:
        raise DatabaseError(
            f"{folder}: the tasks do not fit the entries or the class names ({type(error).__name__}: {error})."
        ) from error


def _splits(path: Path, count: int) -> list[_Split]:
    order = np.asarray(read_restricted(path)).tolist()
    if not isinstance(order, list) or sorted(order) != list(range(count)):
        raise DatabaseError(f"{path} is no order of the {count} entries.")
    valid = set(order[:VALIDATION_ROWS])
    return ["valid" if row in valid else "train" for row in range(count)]
