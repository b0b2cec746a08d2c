"""Tables of architectures that people keep in CSV and Parquet files."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metad2a.database.importers.oracle_table import Origin, check_table_name, read_table, write_table
from metad2a.database.importers.provenance import file_facts
from metad2a.errors import ArchitectureError, DatabaseError
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.registry import get_space

NOT_STATED = "not stated"
"""The licence of what comes without one."""
SPACE = "nasbench201"
"""Of architectures whose space is not given."""


def import_table(
    path: str | Path, out: str | Path, *, space: str = SPACE, licence: str | None = None
) -> tuple[list[str], list[str]]:
    """Check a table of architectures and write it anew; return its columns, and those that were left out.

    Args:
        path: a ``.csv`` or ``.parquet`` file with a column ``arch`` and columns of numbers; others are left out.
        out: a ``.csv`` or ``.parquet`` file, which ``metad2a evaluate`` and ``database audit`` read.
        space: of the architectures.
        licence: of the figures, in words.

    Raises:
        DatabaseError: the file cannot be read, has no column ``arch`` or none of numbers, or names something that
            is no architecture of ``space`` or one twice.
        UnknownNameError: there is no such space.
        OutputError: ``out`` cannot be written.
    """
    path = Path(path)
    check_table_name(out)
    table, searched = read_table(path), get_space(space)
    check_columns(path, table, ["arch"])
    archs = [text for text, _ in parse_archs(path, table["arch"], searched)]
    double = [text for text, count in Counter(archs).items() if count > 1]
    if double:
        raise DatabaseError(f"{path} lists '{double[0]}' more than once. Remove all but one.")
    numbers = table.drop(columns="arch").select_dtypes("number")
    columns = {str(name): numbers[name].to_numpy(np.float64) for name in numbers}
    explained = dict.fromkeys(columns, f"as in {path.name}")
    command = f"metad2a import table {path.name} OUT --space {space}"
    origin = Origin(path.stem, None, licence or NOT_STATED, explained, [file_facts(path)], command)
    write_table(out, space, archs, columns, origin)
    return list(columns), [str(name) for name in table.columns if name not in columns and name != "arch"]


def check_columns(path: Path, table: pd.DataFrame, needed: Iterable[str]) -> None:
    """Refuse a table without rows, or without a column that is needed.

    Raises:
        DatabaseError: see above.
    """
    missing = [name for name in needed if name not in table]
    if missing:
        raise DatabaseError(
            f"{path} has no column '{missing[0]}'; it has: {', '.join(map(str, table.columns)) or 'none'}."
        )
    if table.empty:
        raise DatabaseError(f"{path} has no rows.")


def parse_archs(path: Path, texts: "pd.Series[Any]", space: SearchSpace) -> list[tuple[str, str]]:
    """Return the space's own text and canonical text of each row.

    Raises:
        DatabaseError: one is no architecture of ``space``.
    """
    found = {}
    for row, text in texts.drop_duplicates().items():
        try:
            arch = space.parse(str(text))
        except ArchitectureError as error:
            raise DatabaseError(f"{path}, data row {row + 1}: {error}") from error  # type: ignore[operator]
        found[text] = space.format(arch), space.canonical(arch)
    return [found[text] for text in texts]
