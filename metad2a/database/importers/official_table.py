"""Importer of the table of NAS-Bench-201 accuracies that comes with MetaD2A (Lee, Hyung, Hwang, ICLR 2021)."""

import ast
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metad2a.database.importers.oracle_table import Origin, check_table_name, write_table
from metad2a.database.importers.provenance import file_facts
from metad2a.database.importers.safe_pickle import PickledGraph, read_restricted
from metad2a.errors import ArchitectureError, DatabaseError
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201

_BENCHMARK = "NAS-Bench-201 (Dong and Yang, ICLR 2020), as it comes with MetaD2A (Lee, Hyung and Hwang, ICLR 2021)"
_LICENCE = "Of the figures MIT (NAS-Bench-201); the file itself states none. CIFAR-10 and CIFAR-100 state none."

_log = logging.getLogger(__name__)


def import_nasbench201_table(path: str | Path, out: str | Path) -> int:
    """Convert ``nasbench201.pt`` to a table that ``metad2a evaluate`` reads; return its number of rows.

    Its columns are ``arch`` and one of test accuracies (percent) for each data set: ``cifar10``, ``cifar100``.
    The file says each cell up to three times, as text, matrix and graph: they must agree.

    Args:
        path: of the file.
        out: a ``.csv`` or ``.parquet`` file.

    Raises:
        DatabaseError: the file is missing, damaged, refused, or holds something else.
        OutputError: ``out`` cannot be written.
    """
    path = Path(path)
    check_table_name(out)
    content = read_restricted(path)
    texts, accuracies = _texts(path, content), _accuracies(path, content)
    if {len(values) for values in accuracies.values()} != {len(texts)}:
        raise DatabaseError(f"{path} is damaged: it has not one accuracy of each of its {len(texts)} cells.")
    space = NASBench201()
    archs = _cells(path, space, texts)
    types = space.encode(archs).types.numpy()
    for key, read in (("matrix", _types_of_matrix), ("igraph", _types_of_graph)):
        if key in content["arch"]:
            _check_types(path, key, content["arch"][key], read, types)
    if len(archs) < space.size:
        _log.warning("%s lists %d of %d cells: metad2a evaluate needs all", path, len(archs), space.size)
    origin = Origin(
        benchmark=_BENCHMARK,
        version=None,
        licence=_LICENCE,
        columns={name: f"accuracy on test images of {name}, percent" for name in accuracies},
        files=[file_facts(path)],
        command=f"metad2a import nasbench201-table {path.name} OUT",
    )
    write_table(out, space.name, texts, {name: np.array(found) for name, found in accuracies.items()}, origin)
    return len(texts)


def _texts(path: Path, content: Any) -> list[str]:
    archs = content.get("arch") if isinstance(content, dict) else None
    texts = archs.get("str") if isinstance(archs, dict) else None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise DatabaseError(f"{path} is not the official table: it must hold texts under ['arch']['str'].")
    return texts


def _accuracies(path: Path, content: dict[str, Any]) -> dict[str, list[float]]:
    columns = content.get("test-acc")
    if not isinstance(columns, dict) or not columns or not all(isinstance(name, str) for name in columns):
        raise DatabaseError(f"{path} is not the official table: it must hold lists under ['test-acc'].")
    found = {}
    for name in sorted(columns):
        try:
            found[name] = [float(value) for value in columns[name]]
        except (TypeError, ValueError) as error:
            raise DatabaseError(f"{path} is damaged: '{name}' are no accuracies ({error}).") from error
        if not all(0 <= value <= 100 for value in found[name]):
            raise DatabaseError(f"{path} is damaged: an accuracy of '{name}' is no percentage.")
    return found


def _cells(path: Path, space: NASBench201, texts: Sequence[str]) -> list[Architecture]:
    try:
        archs = [space.parse(text) for text in texts]
    except ArchitectureError as error:
        raise DatabaseError(f"{path}: {error}") from error
    if len(set(archs)) < len(archs):
        raise DatabaseError(f"{path} is damaged: of its {len(archs)} cells {len(set(archs))} are distinct.")
    return archs


def _types_of_matrix(entry: Any) -> Any:
    """Return the vertex types: each row begins with one. The authors' code also takes the rows as text."""
    try:
        rows = ast.literal_eval(entry) if isinstance(entry, str) else entry
        return [int(row[0]) for row in rows]
    except (ValueError, TypeError, SyntaxError, LookupError):
        return None


def _types_of_graph(entry: Any) -> Any:
    try:
        return [int(kind) for kind in entry.vertex_attributes["type"]] if isinstance(entry, PickledGraph) else None
    except (ValueError, TypeError, LookupError):
        return None


def _check_types(path: Path, key: str, entries: Any, read: Callable[[Any], Any], types: np.ndarray) -> None:
    if not isinstance(entries, list) or len(entries) != len(types):
        raise DatabaseError(f"{path} is damaged: '{key}' is no list of as many cells as 'str'.")
    for row, (entry, expected) in enumerate(zip(entries, types.tolist(), strict=True)):
        if read(entry) != expected:
            raise DatabaseError(f"{path} contradicts itself: '{key}' and 'str' of cell {row} differ.")
