"""Tables of a published database as Parquet files: written row by row, read whole or row by row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from metad2a.errors import DatabaseError
from metad2a.runtime import atomic_path, sha256

_IN_MEMORY = 20_000  # rows that are in memory while a table is written, or read row by row


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], schema: Any) -> str:
    """Write ``rows`` as they come; return the checksum of the file.

    Raises:
        OutputError: the file cannot be written.
    """
    remaining = iter(rows)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while batch := list(islice(remaining, _IN_MEMORY)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    return sha256(path)


def each_row(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, or some columns of them; a part of the file is in memory at a time.

    Raises:
        DatabaseError: it is no Parquet file.
    """
    with _told(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_IN_MEMORY, columns=columns):
            yield from batch.to_pylist()


def read_table(path: Path, schema: Any, *, without: Sequence[str] = ()) -> pd.DataFrame:
    """Return a whole table, or all of it but some columns.

    Raises:
        DatabaseError: it is no Parquet file, or its columns are not those of ``schema``.
    """
    with _told(path):
        there = pq.read_schema(path)
        table = pq.read_table(path, columns=[name for name in there.names if name not in without])
    for column in schema:
        if column.name not in there.names:
            raise DatabaseError(f"{path} lacks the column '{column.name}'. Get the database again.")
        found = there.field(column.name).type
        if found != column.type:
            raise DatabaseError(f"{path}: the column '{column.name}' is {found}, but must be {column.type}.")
    # A plain int64 column with gaps would come back as floats.
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DatabaseError(f"{path} is no readable Parquet file: {error}. Get the database again.") from error
