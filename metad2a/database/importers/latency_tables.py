"""Importer of published latencies of NAS-Bench-201's cells: HW-NAS-Bench, and arrays in the benchmark's order."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.database.importers.benchmark_pickles import read_pickle
from metad2a.database.importers.oracle_table import Origin, check_table_name, write_table
from metad2a.database.importers.provenance import file_facts
from metad2a.errors import DatabaseError, unknown_name
from metad2a.spaces.nasbench201 import NASBench201

PICKLES = (".pickle", ".pkl")
DATASET = "cifar10"
_LATENCY = "_latency"
_HW_NAS_BENCH = "HW-NAS-Bench (Li et al., ICLR 2021)"
_HW_NAS_BENCH_LICENCE = "MIT (HW-NAS-Bench, github GATECH-EIC/HW-NAS-Bench)"


def import_latencies(
    path: str | Path, out: str | Path, *, dataset: str | None = None, licence: str | None = None
) -> list[str]:
    """Convert published latencies to a table with a column a device, in milliseconds; return the devices.

    Args:
        path: ``HW-NAS-Bench-v1_0.pickle``; or a ``.npz`` file with a numeric array a device, of all 15,625 cells in
            the benchmark's order.
        out: a ``.csv`` or ``.parquet`` file.
        dataset: whose networks were measured, which differ in resolution and classes: ``cifar10`` (which None
            means), ``cifar100`` or ``ImageNet16-120``. Only HW-NAS-Bench has a choice.
        licence: of the figures of a ``.npz`` file, which says nothing itself.

    Raises:
        UnknownNameError: the file has nothing of this data set.
        DatabaseError: the file is missing, damaged, refused, or holds something else; or an argument means nothing
            to it.
        OutputError: ``out`` cannot be written.
    """
    path = Path(path)
    check_table_name(out)
    command = f"metad2a import latency {path.name} OUT"
    if path.suffix in PICKLES:
        if licence is not None:
            raise DatabaseError("HW-NAS-Bench has a licence of its own, MIT. Leave --licence out.")
        dataset = dataset or DATASET
        archs, columns = _read_hw_nas_bench(path, dataset)
        origin = (_HW_NAS_BENCH, "v1.0" if "v1_0" in path.name else None, _HW_NAS_BENCH_LICENCE)
        command += f" --dataset {dataset}"
    elif path.suffix == ".npz":
        if dataset is not None:
            raise DatabaseError(f"{path} does not say which data set its networks are for. Leave --dataset out.")
        archs, columns = benchmark_order(), _read_arrays(path)
        origin = (path.stem, None, licence or "not stated")
    else:
        raise DatabaseError(f"{path} is neither a {' or '.join(PICKLES)} file nor a .npz file.")
    for device, values in columns.items():
        _check_values(path, device, values, len(archs))
    benchmark, version, terms = origin
    explained = {device: f"latency on {device}, ms" for device in columns}
    notes = {} if dataset is None else {"networks": f"Measured as networks for {dataset}."}
    facts = [file_facts(path)]
    write_table(
        *(out, NASBench201.name, archs, columns),
        Origin(benchmark, version, terms, explained, facts, command, notes),
    )
    return list(columns)


def _read_hw_nas_bench(path: Path, dataset: str) -> tuple[Sequence[str], dict[str, Float[np.ndarray, " A"]]]:
    content = read_pickle(path)
    datasets = content.get(NASBench201.name) if isinstance(content, Mapping) else None
    if not isinstance(datasets, Mapping):
        raise DatabaseError(f"{path} is not HW-NAS-Bench: it must hold a dictionary '{NASBench201.name}'.")
    if dataset not in datasets:
        raise unknown_name(f"data set of {path.name}", dataset, map(str, datasets))
    metrics = datasets[dataset]
    try:
        archs = [str(config["arch_str"]) for config in _values(metrics["config"])]
        columns = {
            str(name).removesuffix(_LATENCY): np.asarray(_values(metrics[name]), np.float64)
            for name in metrics
            if str(name).endswith(_LATENCY)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DatabaseError(f"{path} is damaged: {dataset} ({type(error).__name__}: {error}).") from error
    if not columns:
        raise DatabaseError(f"{path} is not HW-NAS-Bench: {dataset} has no list that ends in '{_LATENCY}'.")
    if sorted(archs) != sorted(benchmark_order()):
        raise DatabaseError(
            f"{path} is damaged: {dataset} lists {len(archs)} cells, {len(set(archs))} of them distinct; "
            f"NAS-Bench-201 has {NASBench201().size}."
        )
    return archs, columns


def _values(entries: Any) -> list[Any]:
    """Return a list by position from a list, an array, or a dictionary from position."""
    return [entries[i] for i in range(len(entries))] if isinstance(entries, Mapping) else list(entries)


def _read_arrays(path: Path) -> dict[str, Float[np.ndarray, " A"]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name].astype(np.float64) for name in arrays.files}
    except Exception as error:  # whatever a damaged archive, or an array of objects, makes numpy raise
        raise DatabaseError(f"{path} is damaged or holds more than numbers: {error}. Get it again.") from error


def _check_values(path: Path, device: str, values: np.ndarray, count: int) -> None:
    if values.shape != (count,):
        raise DatabaseError(f"{path}: '{device}' has the shape {values.shape}, but must have {(count,)}.")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        raise DatabaseError(f"{path}: '{device}' of cell {wrong[0]} is {values[wrong[0]]}, which is no latency.")
