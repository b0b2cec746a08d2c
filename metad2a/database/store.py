"""The database while it is built: one SQLite file, one writer."""

import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from metad2a.database import published
from metad2a.database.published import MetaDatabase, record_row
from metad2a.database.records import Job, Record, Task
from metad2a.database.store_tables import COLUMNS, explained, prepare
from metad2a.errors import DatabaseError
from metad2a.runtime import check_writable

_BUSY_S = 30.0
_NAMES = ", ".join(COLUMNS)
_PUT = f"INSERT OR REPLACE INTO records ({_NAMES}, stored) VALUES ({', '.join('?' * len(COLUMNS))}, ?)"  # noqa: S608
_ELSEWHERE = 0.0  # when a label was stored that was not made here
_AT_ONCE = 1000  # rows a transaction of many holds, or values a query names


class Store:
    """Records as they come in. What was put is on disk; a killed program loses nothing of it.

    Use it in a ``with`` block. Only one program can write; others may read at the same time.

    Args:
        path: of the file; made if it is missing.
        read_only: look, do not write.

    Raises:
        DatabaseError: another program is writing, or the file is damaged or no store.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        if read_only and not self.path.is_file():
            raise DatabaseError(f"there is no database at {self.path}.")
        if not read_only:
            check_writable(self.path, make_folder=True)
        self._lock = None if read_only else lock(self.path)
        try:
            self._db = self._connect(read_only)
        except BaseException:
            self._release()
            raise

    def _connect(self, read_only: bool) -> sqlite3.Connection:
        mode = "ro" if read_only else "rwc"
        if read_only and not os.access(self.path.parent, os.W_OK):
            mode += "&immutable=1"  # nobody writes there, and readers cannot leave their notes beside it
        address = f"file:{quote(str(self.path.absolute()))}?mode={mode}"
        with explained(self.path):
            db = sqlite3.connect(address, uri=True, timeout=_BUSY_S)
            try:
                prepare(db, self.path, read_only=read_only)
            except BaseException:
                db.close()
                raise
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
        """Write down what is going to be built: the tasks and recipes of ``jobs``, in their order, and how many.

        Records that are known already take over the part of the split that their jobs name.

        Raises:
            DatabaseError: they are of several search spaces, or of another one than what is stored.
        """
        self.check_space(*{job.space for job in jobs})
        wanted = Counter((job.task.id, job.fingerprint) for job in jobs)
        self.add_tasks({job.task.id: job.task for job in jobs}.values())
        self.add_recipes({job.fingerprint: job.recipe.to_dict() for job in {j.recipe: j for j in jobs}.values()})
        splits = {job.task.id: job.split for job in jobs if job.split is not None}
        with explained(self.path), self._db:
            self._db.execute("DELETE FROM wanted")
            self._db.executemany(
                "INSERT INTO wanted VALUES (?, ?, ?)", [(*key, count) for key, count in wanted.items()]
            )
            self._db.executemany(
                "UPDATE records SET split = ?2 WHERE task = ?1 AND split IS NOT ?2", list(splits.items())
            )

    def check_space(self, *spaces: str) -> None:
        """Refuse architectures of another space than those that are stored.

        Raises:
            DatabaseError: they are.
        """
        found = sorted({*spaces} | ({self.space} if self.space else set()))
        if len(found) > 1:
            raise DatabaseError(
                f"{self.path} can hold architectures of one space only, not of {' and '.join(found)}. "
                "Build another file."
            )

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        """Write down tasks; those that are known keep their place."""
        rows = [(task.id, json.dumps(asdict(task), ensure_ascii=False)) for task in tasks]
        with explained(self.path), self._db:
            self._db.executemany("INSERT OR IGNORE INTO tasks (task, content) VALUES (?, ?)", rows)

    def add_recipes(self, recipes: Mapping[str, Mapping[str, Any]]) -> None:
        """Write down recipes by fingerprint."""
        rows = [(key, json.dumps(dict(recipe))) for key, recipe in recipes.items()]
        with explained(self.path), self._db:
            self._db.executemany("INSERT OR IGNORE INTO recipes VALUES (?, ?)", rows)

    def describe(
        self,
        *,
        sources: Mapping[str, str] | None = None,
        name: str | None = None,
        command: str | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Write down what whoever gets the database must know; what is not given stays as it was.

        Args:
            sources: the licence of each image source, in words.
            name: of the database.
            command: that builds it.
            notes: anything else, as plain data.
        """
        facts = {"name": name, "command": command, "notes": None if notes is None else json.dumps(dict(notes))}
        with explained(self.path), self._db:
            self._db.executemany("INSERT OR REPLACE INTO sources VALUES (?, ?)", list((sources or {}).items()))
            self._db.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)", [(k, v) for k, v in facts.items() if v is not None]
            )

    def put(self, record: Record) -> None:
        """Write one record; it replaces an earlier one of the same key."""
        self._put([record_row(record)], stored=time.time())

    def put_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows of the published table, all or none of them; much faster than one by one.

        They were labelled before and elsewhere: how fast labels come here is not counted from them.
        """
        self._put(rows, stored=_ELSEWHERE)

    def _put(self, rows: Sequence[Mapping[str, Any]], *, stored: float) -> None:
        with explained(self.path), self._db:
            self._db.executemany(_PUT, [[*(row[name] for name in COLUMNS), stored] for row in rows])

    def remove(self, keys: Sequence[str]) -> None:
        """Forget records, so that the next build computes them again."""
        with explained(self.path), self._db:
            self._db.executemany("DELETE FROM records WHERE key = ?", [(key,) for key in keys])

    # --- reading ------------------------------------------------------------------------------------------

    def query(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return what SQLite answers; the tables are in ``store_tables``."""
        with explained(self.path):
            return self._db.execute(text, values).fetchall()

    @property
    def space(self) -> str | None:
        """The search space of its records; None while there are none."""
        found = self.query("SELECT space FROM records LIMIT 1")
        return str(found[0][0]) if found else None

    def __len__(self) -> int:
        return int(self.query("SELECT count(*) FROM records")[0][0])

    def keys(self, status: str | None = None) -> set[str]:
        """Return the keys of all records, or of those with ``status``."""
        failed = "SELECT key FROM records WHERE status = 'failed'"
        if status == "failed":
            return {key for (key,) in self.query(failed)}
        keys = {key for (key,) in self.query("SELECT key FROM records")}
        return keys if status is None else keys - {key for (key,) in self.query(failed)}

    def rows(self, task: str | None = None) -> list[dict[str, Any]]:
        """Return all records, or those of the task with this id, as ``each_row`` gives them."""
        return list(self.each_row() if task is None else self._rows_of(task))

    def each_row(self) -> Iterator[dict[str, Any]]:
        """Yield all records as rows of the published table, in an order that is always the same.

        Only those of one task are in memory at the same time.
        """
        for (task,) in self.query("SELECT task FROM tasks ORDER BY number"):
            yield from self._rows_of(task)

    def _rows_of(self, task: str) -> Iterator[dict[str, Any]]:
        query = f"SELECT {_NAMES} FROM records WHERE task = ? ORDER BY arch, recipe, seed"  # noqa: S608
        for row in self.query(query, (task,)):
            yield dict(zip(COLUMNS, row, strict=True))

    def rows_by_key(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return those of the records with these ``keys`` that there are."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            query = f"SELECT {_NAMES} FROM records WHERE key IN ({', '.join('?' * len(some))})"  # noqa: S608
            found |= {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in self.query(query, some)}
        return found

    def tasks(self) -> list[Task]:
        """Return all tasks in the order in which they were announced."""
        return [task_of_json(text) for (text,) in self.query("SELECT content FROM tasks ORDER BY number")]

    def recipes(self) -> dict[str, dict[str, Any]]:
        """Return all recipes by fingerprint."""
        found = self.query("SELECT fingerprint, content FROM recipes ORDER BY fingerprint")
        return {key: json.loads(text) for key, text in found}

    def sources(self) -> dict[str, str]:
        """Return the licences of the image sources, as far as they are known."""
        return dict(self.query("SELECT source, licence FROM sources ORDER BY source"))

    def fact(self, name: str) -> str | None:
        """Return the ``name`` or the ``command`` of the database, None when nobody told."""
        found = self.query("SELECT content FROM facts WHERE name = ?", (name,))
        return str(found[0][0]) if found else None

    def notes(self) -> dict[str, Any]:
        """Return what else was told about the database."""
        return dict(json.loads(self.fact("notes") or "{}"))

    def publish(
        self,
        folder: str | Path,
        *,
        name: str | None = None,
        sources: Mapping[str, str] | None = None,
        command: str | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> MetaDatabase:
        """Write what is known so far as a folder of Parquet files; see ``published.publish``.

        What is not given here is what ``describe`` was told.

        Raises:
            DatabaseError: there is no record yet, or a source of images has no licence.
        """
        space = self.space
        if space is None:
            raise DatabaseError(f"{self.path} has no record yet; build some before publishing.")
        used = {task for (task,) in self.query("SELECT DISTINCT task FROM records")}
        recipes = {recipe for (recipe,) in self.query("SELECT DISTINCT recipe FROM records")}
        tasks = [task for task in self.tasks() if task.id in used]
        licences = {**self.sources(), **(sources or {})}
        return published.publish(
            folder,
            name=name or self.fact("name") or self.path.parent.name,
            space=space,
            tasks=tasks,
            rows=self.each_row(),
            recipes={key: recipe for key, recipe in self.recipes().items() if key in recipes},
            sources={
                source: licences[source] for source in sorted({task.source for task in tasks} & set(licences))
            },
            command=command or self.fact("command") or "",
            notes={**self.notes(), **(notes or {})},
        )


def task_of_json(text: str) -> Task:
    """Return the task that a store wrote as ``text``."""
    content = json.loads(text)
    return Task(**content | {"classes": tuple(content["classes"])})


def lock_file(path: Path) -> Path:
    """Return the file that stands for the right to write the store at ``path``."""
    return path.with_name(path.name + ".lock")


def lock(path: Path) -> sqlite3.Connection:
    """Take the right to write a store. The system gives it back when the program ends, however it ends.

    Raises:
        DatabaseError: another program has it.
        OutputError: the file that stands for it cannot be made.
    """
    with explained(lock_file(path)):
        held = sqlite3.connect(lock_file(path), timeout=0, isolation_level=None)
        try:
            held.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            held.close()
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise DatabaseError(
                    f"another program is building {path}. Wait until it is done, or stop it."
                ) from error
            raise
    return held
