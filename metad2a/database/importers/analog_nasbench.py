"""Importer of AnalogNAS-Bench (arXiv:2506.18495), which the package ``analog-nasbench`` holds."""

import importlib.util
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from metad2a.database.importers.benchmark_pickles import PLAIN, read_pickle
from metad2a.database.importers.oracle_table import Origin, check_table_name, write_table
from metad2a.database.importers.provenance import file_facts
from metad2a.errors import DatabaseError
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NAMES, NASBench201

INSTALLED = "installed"
"""Stands for the file of the installed package."""
PACKAGE, _MODULE, _FILE = "analog-nasbench", "analognasbench", "data.anb"
# The package does not explain its numbers. These are the paper's operations, and the only order of edges in which
# its baseline agrees with NAS-Bench-201's CIFAR-10 accuracies (Spearman .99; all other 719 orders are below .97).
_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
_EDGES = (0, 1, 3, 2, 4, 5)
"""Where our edge, which is by target, stands among theirs, which are by source."""
_COLUMNS = {
    "baseline_accuracy": "CIFAR-10 accuracy in floating point",
    "ptq_accuracy": "CIFAR-10 accuracy, quantized after training",
    "qat_accuracy": "CIFAR-10 accuracy, trained quantized",
    "noisy_accuracy": "CIFAR-10 accuracy on simulated analog hardware, trained without knowing it",
    "analog_accuracy": "CIFAR-10 accuracy on simulated analog hardware, trained for it",
} | {
    f"{kind}_drift_{seconds}": f"{kind} network's CIFAR-10 accuracy on simulated analog hardware after {seconds} s"
    for kind in ("baseline", "analog")
    for seconds in (60, 3600, 86400, 2592000)
}
_LICENCE = (
    "Not stated: neither the package nor its data name one (AnalogNAS-Bench, arXiv:2506.18495). Ask before you "
    "pass its figures on."
)


class _Fields:
    """Stands for an object of the package: it keeps what the file says of it."""


_ALLOWED = {**PLAIN, (f"{_MODULE}.data", "Architecture"): _Fields, (f"{_MODULE}.data", "DriftMeasurement"): _Fields}


def import_analog_nasbench(source: str | Path, out: str | Path) -> int:
    """Convert the package's data to a table; return its number of rows. No code of the package is run.

    Args:
        source: ``data.anb``, a folder that has it, or ``installed`` for that of the installed package.
        out: a ``.csv`` or ``.parquet`` file, with 13 columns of CIFAR-10 accuracies in percent.

    Raises:
        DatabaseError: the file is not there, damaged, refused, or holds something else.
        OutputError: ``out`` cannot be written.
    """
    check_table_name(out)
    path = _find(source)
    content = read_pickle(path, _ALLOWED)
    if not isinstance(content, Mapping) or not content:
        raise DatabaseError(f"{path} is not AnalogNAS-Bench: it must hold a dictionary of architectures.")
    space = NASBench201()
    archs = [space.format(_arch(path, key)) for key in content]
    columns = {
        name: np.array([_percent(path, key, entry, name) for key, entry in content.items()]) for name in _COLUMNS
    }
    release = _version() if str(source) == INSTALLED else None
    explained = {name: f"{text}; percent" for name, text in _COLUMNS.items()}
    command = f"metad2a import analog-nasbench {INSTALLED if release else path.name} OUT"
    facts = [file_facts(path)]
    notes = {"drift": "The spread that the package states for accuracies after a time is not imported."}
    write_table(
        out, space.name, archs, columns, Origin(PACKAGE, release, _LICENCE, explained, facts, command, notes)
    )
    return len(archs)


def _find(source: str | Path) -> Path:
    path = Path(source)
    if str(source) == INSTALLED and not path.exists():
        package = importlib.util.find_spec(_MODULE)  # finds it without importing it
        if package is None or package.origin is None:
            raise DatabaseError(
                f"the package {PACKAGE} is not installed in {sys.prefix}. Install it (pip install {PACKAGE}), or "
                f"give its file {_FILE}."
            )
        path = Path(package.origin).parent
    for found in (path, path / _FILE, path / _MODULE / _FILE):
        if found.is_file():
            return found
    raise DatabaseError(f"there is no {_FILE} at {path}.")


def _version() -> str | None:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def _arch(path: Path, key: Any) -> Architecture:
    """Return the cell of six numbers of operations, which they count, and order by edge, in their own way."""
    try:
        names = [_OPERATIONS[key[edge]] for edge in _EDGES]
        fine = len(key) == len(_EDGES) and min(key) >= 0
    except (TypeError, IndexError, ValueError):
        fine = False
    if not fine:
        raise DatabaseError(f"{path} is damaged: {key!r} is no cell of six operations, 0 to {len(NAMES) - 1}.")
    return Architecture(NASBench201.name, tuple(NAMES.index(name) for name in names))


def _percent(path: Path, key: Any, entry: Any, name: str) -> float:
    value = getattr(entry, name, None)
    value = getattr(value, "value", value)  # accuracies after a time are a mean with a spread
    if not isinstance(value, int | float) or not 0 <= value <= 100:
        raise DatabaseError(f"{path} is damaged: {name} of {key!r} is {value!r}, which is no percentage.")
    return float(value)
