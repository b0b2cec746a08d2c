"""Repairing a store: what can be read and is right stays, the rest is computed anew by the next build."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from metad2a.database.records import Task
from metad2a.database.store import Store, lock, lock_file, task_of_json
from metad2a.database.store_tables import COLUMNS
from metad2a.database.upkeep.verify import RowCheck, verify_store
from metad2a.errors import DatabaseError

_AT_ONCE = 1000
_SMALLEST_ROW = 64  # bytes: how many rows a file can have at most


@dataclass(frozen=True)
class Repair:
    """What a repair did.

    Attributes:
        kept: rows that are right.
        dropped: keys of the rows that were wrong, as far as they could be read.
        set_aside: where the damaged file lies now; None when only rows were wrong.
    """

    kept: int
    dropped: tuple[str, ...]
    set_aside: Path | None


def repair(path: Path) -> Repair:
    """Drop the wrong rows of a store; if the file itself is damaged, save what can be read of it to a new one.

    Raises:
        DatabaseError: another program is writing, or nothing of the file can be read.
        OutputError: there is no space for it.
    """
    problems = verify_store(path)
    if all(problem.key is not None for problem in problems):
        dropped = tuple(problem.key for problem in problems if problem.key is not None)
        with Store(path) as store:
            store.remove(dropped)
            return Repair(len(store), dropped, None)
    with closing(lock(path)):
        new = path.with_name(f"{path.name}.repaired")
        new.unlink(missing_ok=True)  # of a repair that was interrupted
        dropped = _save(path, new)
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        for suffix in ("", "-wal", "-shm"):  # they belong together
            old = path.with_name(path.name + suffix)
            if old.exists():
                old.rename(aside.with_name(aside.name + suffix))
        new.rename(path)
    with Store(path) as store:
        return Repair(len(store), dropped, aside)


def _save(path: Path, new: Path) -> tuple[str, ...]:
    """Copy what can be read and is right from ``path`` to ``new``; return the keys of what is wrong."""
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as damaged, Store(new) as store:
        tables = _tables(damaged)
        if "records" not in tables:
            raise DatabaseError(
                f"nothing can be read of {path}. Move it away. If its database was published, "
                f"`metad2a database merge FOLDER --out {path}` makes a store of that again."
            )
        read = {table: list(_each(damaged, table, "*", path)) for table in tables if table != "records"}
        store.add_tasks(filter(None, (_task(*row[1:]) for row in read.get("tasks", []))))
        store.add_recipes({key: recipe for key, text in read.get("recipes", []) if (recipe := _json(text))})
        facts = {name: text for name, text in read.get("facts", []) if name in ("name", "command")}
        store.describe(sources={str(source): str(text) for source, text in read.get("sources", [])}, **facts)
        dropped = _save_records(_each(damaged, "records", ", ".join(COLUMNS), path), store)
    lock_file(new).unlink(missing_ok=True)
    return dropped


def _save_records(rows: Iterator[Sequence[Any]], store: Store) -> tuple[str, ...]:
    check = RowCheck(store.recipes(), {task.id for task in store.tasks()})
    dropped: list[str] = []
    while batch := [dict(zip(COLUMNS, row, strict=True)) for row in islice(rows, _AT_ONCE)]:
        wrong = [row["key"] for row in batch if check.problem(row)]
        store.put_rows([row for row in batch if row["key"] not in wrong])
        dropped += [str(key) for key in wrong]
    return tuple(dropped)


def _tables(damaged: sqlite3.Connection) -> list[str]:
    try:
        return [str(name) for (name,) in damaged.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    except sqlite3.Error:
        return []


def _each(damaged: sqlite3.Connection, table: str, columns: str, path: Path) -> Iterator[Sequence[Any]]:
    """Yield the rows that can be read: each is looked for on its own, so that a bad page costs only its own."""
    try:
        ((last,),) = damaged.execute(f"SELECT max(rowid) FROM {table}")  # noqa: S608
    except sqlite3.Error:
        last = path.stat().st_size // _SMALLEST_ROW
    for number in range(1, (last or 0) + 1):
        try:
            row = damaged.execute(f"SELECT {columns} FROM {table} WHERE rowid = ?", (number,)).fetchone()  # noqa: S608
        except sqlite3.Error:
            continue
        if row is not None:
            yield row


def _task(name: Any, text: Any) -> Task | None:
    try:
        task = task_of_json(text)
        return task if task.id == name else None
    except (ValueError, TypeError, KeyError):
        return None


def _json(text: Any) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, TypeError):
        return None
    return content if isinstance(content, dict) else None
