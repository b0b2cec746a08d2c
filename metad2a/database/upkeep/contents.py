"""What is in a database, whichever form it has: a store that is being built, or a published folder."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metad2a.database.parquet_files import each_row
from metad2a.database.published import MANIFEST, RECORDS_FILE, TASKS_FILE, open_folder
from metad2a.database.records import Task
from metad2a.database.store import Store
from metad2a.errors import DatabaseError

STORE_FILE = "store.sqlite"


@dataclass(frozen=True)
class Contents:
    """A database to read from.

    Attributes:
        where: file or folder.
        name: of the database.
        space: of its architectures; None when it has no records.
        tasks: that have records, in their order.
        recipes: of the records, by fingerprint, in full.
        sources: licences of the image sources, as far as they are known.
        command: that builds it; empty when nobody told.
        notes: anything else its makers said.
        rows: yields the rows of the records table, always in the same order.
    """

    where: Path
    name: str
    space: str | None
    tasks: list[Task]
    recipes: Mapping[str, Mapping[str, Any]]
    sources: Mapping[str, str]
    command: str
    notes: Mapping[str, Any]
    rows: Callable[[], Iterable[dict[str, Any]]]


def store_file(where: str | Path) -> Path | None:
    """Return the store that ``where`` means: that file, or the one in that folder; None when there is none."""
    path = Path(where)
    path = path / STORE_FILE if path.is_dir() else path
    return path if path.is_file() else None


@contextmanager
def contents(where: str | Path) -> Iterator[Contents]:
    """Open a database for reading: a store's file, a folder that is built in or published, a shipped one's name.

    Where a folder has both forms, it is the store, which is never older.

    Raises:
        DatabaseError: there is none, or it is damaged.
    """
    path = store_file(where)
    if path is None:
        yield published_contents(where)
        return
    with Store(path, read_only=True) as store:
        tasks = {task for (task,) in store.query("SELECT DISTINCT task FROM records")}
        recipes = {recipe for (recipe,) in store.query("SELECT DISTINCT recipe FROM records")}
        yield Contents(
            where=path,
            name=store.fact("name") or path.absolute().parent.name,
            space=store.space,
            tasks=[task for task in store.tasks() if task.id in tasks],
            recipes={key: recipe for key, recipe in store.recipes().items() if key in recipes},
            sources=store.sources(),
            command=store.fact("command") or "",
            notes=store.notes(),
            rows=store.each_row,
        )


def published_contents(where: str | Path) -> Contents:
    """Return what is in a published folder, or in the shipped database of this name.

    Raises:
        DatabaseError: there is none, or it is damaged.
    """
    if Path(where).is_dir() and not (Path(where) / MANIFEST).is_file():
        raise DatabaseError(f"{where} is no database: it has neither {STORE_FILE} nor {MANIFEST}.")
    folder, manifest = open_folder(where)
    return Contents(
        where=folder,
        name=str(manifest["name"]),
        space=str(manifest["space"]),
        tasks=[task_of(row) for row in each_row(folder / TASKS_FILE)],
        recipes=manifest.get("recipes", {}),
        sources=manifest.get("sources", {}),
        command=str(manifest.get("command", "")),
        notes=manifest.get("notes", {}),
        rows=lambda: each_row(folder / RECORDS_FILE),
    )


def task_of(row: Mapping[str, Any]) -> Task:
    """Return the task of a row of the tasks table."""
    return Task(
        source=row["source"],
        classes=tuple(row["classes"]),
        images_per_class=row["images_per_class"],
        seed=row["seed"],
        valid_fraction=row["valid_fraction"],
    )
