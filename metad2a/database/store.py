"""The database while it is built: one SQLite file, one writer."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from metad2a.database import published
from metad2a.database.published import RECORD_SCHEMA, MetaDatabase, record_row
from metad2a.database.records import Job, Record, Task
from metad2a.errors import DatabaseError
from metad2a.runtime import check_writable

SCHEMA_VERSION = 1
_BUSY_S = 30.0
_COLUMNS = RECORD_SCHEMA.names
_SQL_TYPES = {pa.string(): "TEXT", pa.int64(): "INTEGER", pa.float64(): "REAL"}
_TABLES = f"""
CREATE TABLE IF NOT EXISTS tasks (number INTEGER PRIMARY KEY, task TEXT UNIQUE NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recipes (fingerprint TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records ({
    ", ".join(
        f"{column.name} {_SQL_TYPES[column.type]}" + (" PRIMARY KEY" if column.name == "key" else "")
        for column in RECORD_SCHEMA
    )
});
PRAGMA user_version = {SCHEMA_VERSION};
"""


class Store:
    """Records as they come in. What was put is on disk; a killed program loses nothing of it.

    Use it in a ``with`` block. Only one program can write; others may read at the same time.

    Args:
        path: of the file; made if it is missing.
        read_only: look, do not write.

    Raises:
        DatabaseError: another program is writing, or the file is no store.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        if read_only and not self.path.is_file():
            raise DatabaseError(f"there is no database at {self.path}.")
        if not read_only:
            check_writable(self.path)
        self._lock = None if read_only else _lock(self.path)
        try:
            self._db = self._connect(read_only)
        except BaseException:
            self._release()
            raise

    def _connect(self, read_only: bool) -> sqlite3.Connection:
        mode = "ro" if read_only else "rwc"
        address = f"file:{quote(str(self.path.absolute()))}?mode={mode}"
        try:
            db = sqlite3.connect(address, uri=True, timeout=_BUSY_S)
            (found,) = db.execute("PRAGMA user_version").fetchone()
            if found > SCHEMA_VERSION:
                db.close()
                raise DatabaseError(
                    f"{self.path} has schema {found}; this program knows up to {SCHEMA_VERSION}. Upgrade metad2a."
                )
            if read_only and found == 0:
                db.close()
                raise DatabaseError(f"{self.path} is no database, or one that nothing was written to yet.")
            if not read_only:
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(_TABLES)
        except sqlite3.Error as error:
            raise DatabaseError(
                f"{self.path} cannot be used as a database: {error}. Give another file name."
            ) from error
        return db

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others write."""
        self._db.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()

    # --- writing ------------------------------------------------------------------------------------------

    def announce(self, jobs: Sequence[Job]) -> None:
        """Write down the tasks and recipes of ``jobs``, in their order, before their records come.

        Raises:
            DatabaseError: they are of several search spaces, or of another one than what is stored.
        """
        spaces = sorted({job.space for job in jobs} | ({self.space} if self.space else set()))
        if len(spaces) > 1:
            raise DatabaseError(
                f"{self.path} can hold architectures of one space only, not of {' and '.join(spaces)}. "
                "Build another file."
            )
        tasks = dict.fromkeys(job.task for job in jobs)
        recipes = dict.fromkeys(job.recipe for job in jobs)
        with self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO tasks (task, content) VALUES (?, ?)",
                [(task.id, json.dumps(asdict(task), ensure_ascii=False)) for task in tasks],
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO recipes VALUES (?, ?)",
                [(recipe.fingerprint, json.dumps(recipe.to_dict())) for recipe in recipes],
            )

    def put(self, record: Record) -> None:
        """Write one record; it replaces an earlier one of the same key."""
        row = record_row(record)
        marks = ", ".join("?" * len(_COLUMNS))
        with self._db:
            self._db.execute(
                f"INSERT OR REPLACE INTO records ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608
                [row[name] for name in _COLUMNS],
            )

    # --- reading ------------------------------------------------------------------------------------------

    @property
    def space(self) -> str | None:
        """The search space of its records; None while there are none."""
        found = self._db.execute("SELECT space FROM records LIMIT 1").fetchone()
        return None if found is None else str(found[0])

    def keys(self, status: str | None = None) -> set[str]:
        """Return the keys of all records, or of those with ``status``."""
        query = "SELECT key FROM records WHERE ? IS NULL OR status = ?"
        return {key for (key,) in self._db.execute(query, (status, status))}

    def counts(self) -> dict[tuple[str, str | None, str], int]:
        """Return the numbers of records by source of the images, part of the split, and status."""
        query = (
            "SELECT json_extract(t.content, '$.source') AS source, r.split, r.status, count(*) "
            "FROM records r JOIN tasks t ON t.task = r.task GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        return {(source, split, status): count for source, split, status, count in self._db.execute(query)}

    def rows(self) -> list[dict[str, Any]]:
        """Return all records as rows of the published table, in an order that is always the same."""
        query = (
            f"SELECT {', '.join(f'r.{name}' for name in _COLUMNS)} "  # noqa: S608
            "FROM records r JOIN tasks t ON t.task = r.task ORDER BY t.number, r.arch, r.recipe, r.seed"
        )
        return [dict(zip(_COLUMNS, row, strict=True)) for row in self._db.execute(query)]

    def tasks(self) -> list[Task]:
        """Return all tasks in the order in which they were announced."""
        found = self._db.execute("SELECT content FROM tasks ORDER BY number")
        contents = [json.loads(text) for (text,) in found]
        return [Task(**content | {"classes": tuple(content["classes"])}) for content in contents]

    def recipes(self) -> dict[str, dict[str, Any]]:
        """Return all recipes by fingerprint."""
        found = self._db.execute("SELECT fingerprint, content FROM recipes ORDER BY fingerprint")
        return {key: json.loads(text) for key, text in found}

    def publish(
        self,
        folder: str | Path,
        *,
        name: str,
        sources: Mapping[str, str],
        command: str,
        notes: Mapping[str, Any] | None = None,
    ) -> MetaDatabase:
        """Write what is known so far as a folder of Parquet files; see ``published.publish``.

        Raises:
            DatabaseError: there is no record yet, or a source of images has no licence in ``sources``.
        """
        space, rows = self.space, self.rows()
        if space is None:
            raise DatabaseError(f"{self.path} has no record yet; build some before publishing.")
        tasks, recipes = ({row[column] for row in rows} for column in ("task", "recipe"))
        return published.publish(
            folder,
            name=name,
            space=space,
            tasks=[task for task in self.tasks() if task.id in tasks],
            rows=rows,
            recipes={key: recipe for key, recipe in self.recipes().items() if key in recipes},
            sources=sources,
            command=command,
            notes=notes,
        )


def _lock(path: Path) -> sqlite3.Connection:
    """Take the right to write. The system gives it back when the program ends, however it ends."""
    lock = sqlite3.connect(path.with_name(path.name + ".lock"), timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise DatabaseError(f"another program is building {path}. Wait until it is done, or stop it.") from error
    return lock
