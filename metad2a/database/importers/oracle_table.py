"""Tables of architectures as files: CSV or Parquet, and beside it a JSON file that says where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metad2a.database.importers.provenance import file_facts, sidecar
from metad2a.database.records import versions
from metad2a.errors import DatabaseError
from metad2a.runtime import atomic_path, check_writable, write_json

SCHEMA_VERSION = 1
SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Origin:
    """Where a table comes from.

    Attributes:
        benchmark: its name, and who made it.
        version: of its data; None when nobody says.
        licence: of its figures, in words.
        columns: what each column is, with its unit.
        files: what was read, see ``file_facts``.
        command: that makes the table again.
        notes: anything else a reader must know.
    """

    benchmark: str
    version: str | None
    licence: str
    columns: Mapping[str, str]
    files: Sequence[Mapping[str, Any]]
    command: str
    notes: Mapping[str, Any] = field(default_factory=dict)


def check_table_name(path: str | Path) -> None:
    """Refuse a name that ``write_table`` would not write.

    Raises:
        DatabaseError: it ends neither in ``.csv`` nor in ``.parquet``.
        OutputError: nothing can be written there.
    """
    if Path(path).suffix not in SUFFIXES:
        raise DatabaseError(f"cannot write the table {path}: its name must end in {' or '.join(SUFFIXES)}.")
    check_writable(path)


def read_table(path: str | Path) -> pd.DataFrame:
    """Return the content of a CSV or Parquet file.

    Raises:
        DatabaseError: the file cannot be read.
    """
    path = Path(path)
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DatabaseError(f"cannot read {path}: {error}. It must be a CSV or a .parquet file.") from error


def write_table(
    path: str | Path, space: str, archs: Sequence[str], columns: Mapping[str, np.ndarray], origin: Origin
) -> None:
    """Write a column ``arch`` and the others, and beside it ``sidecar(path)``.

    Args:
        path: ends in ``.csv`` or ``.parquet``.
        space: of the architectures.
        archs: the space's own texts, each once.
        columns: numbers by name; NaN where there is none.
        origin: all of ``columns`` are explained in it.

    Raises:
        DatabaseError: another ending, or there are no columns.
        OutputError: the files cannot be written.
    """
    path = Path(path)
    check_table_name(path)
    if not columns:
        raise DatabaseError(f"there is nothing to write to {path}: no column of numbers was found.")
    table = pd.DataFrame({"arch": list(archs), **columns})
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")
    content = {
        "schema_version": SCHEMA_VERSION,
        "benchmark": origin.benchmark,
        "version": origin.version,
        "licence": origin.licence,
        "space": space,
        "architectures": len(table),
        "columns": {name: origin.columns[name] for name in columns},
        "missing": {name: int(values.isna().sum()) for name, values in table.items() if values.isna().any()},
        "read": [dict(facts) for facts in origin.files],
        "notes": dict(origin.notes),
        "command": origin.command,
        "versions": versions(),
        "table": file_facts(path),
    }
    write_json(sidecar(path), content)
