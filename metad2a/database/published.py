"""The published form of a database: a folder of two Parquet files and a manifest.

``records.parquet`` has a row per label, ``tasks.parquet`` a row per task, ``manifest.json`` says where they
come from and holds the checksums of both.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from metad2a.database.parquet_files import each_row, read_table, write_rows
from metad2a.database.records import Record, Task, versions
from metad2a.errors import ConfigError, DatabaseError
from metad2a.runtime import numpy_rng, sha256, shipped, write_json

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
TASKS_FILE, RECORDS_FILE = "tasks.parquet", "records.parquet"

_TEXT, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float64()
TASK_SCHEMA = pa.schema(
    {
        "task": _TEXT,
        "source": _TEXT,
        "classes": pa.list_(_TEXT),
        "images_per_class": _WHOLE,
        "seed": _WHOLE,
        "valid_fraction": _REAL,
    }
)
_NOT_TEXT = {"seed": _WHOLE, "accuracy": _REAL, "best_accuracy": _REAL, "seconds": _REAL}
RECORD_SCHEMA = pa.schema({entry.name: _NOT_TEXT.get(entry.name, _TEXT) for entry in fields(Record)})
_CURVE = "curve"
_AS_JSON = (_CURVE, "versions")


def task_row(task: Task) -> dict[str, Any]:
    """Return ``task`` as a row of the tasks table."""
    row = {entry.name: getattr(task, entry.name) for entry in fields(Task)}
    return {"task": task.id, **row, "classes": list(task.classes)}


def record_row(record: Record) -> dict[str, Any]:
    """Return ``record`` as a row of the records table; nested values become JSON."""
    row = {entry.name: getattr(record, entry.name) for entry in fields(Record)}
    return row | {name: json.dumps(row[name], sort_keys=True) for name in _AS_JSON}


class MetaDatabase:
    """What is known: tasks, and the accuracy of architectures on them.

    Attributes:
        manifest: name, space, recipes, sources with their licences, command, versions, counts.
        tasks: a row per task: ``task`` (its id), ``source``, ``classes``, ``images_per_class``, ``seed``,
            ``valid_fraction``.
        records: a row per label, with the fields of ``Record`` but the curve; ``versions`` are JSON texts.
        failures: the rows of the trainings that gave none.
        held_out: the labels that the database's authors kept for testing; nothing learns from them.
        folder: it was read from; None for one that is only in memory.
    """

    def __init__(
        self, manifest: Mapping[str, Any], tasks: pd.DataFrame, rows: pd.DataFrame, folder: Path | None = None
    ) -> None:
        self.folder = folder
        labelled = rows["status"] == "ok"
        self.manifest = dict(manifest)
        self.tasks = tasks
        test = rows["split"] == "test"
        self.records = rows[labelled & ~test].reset_index(drop=True)
        self.held_out = rows[labelled & test].reset_index(drop=True)
        self.failures = rows[~labelled].reset_index(drop=True)

    @classmethod
    def load(cls, where: str | Path) -> "MetaDatabase":
        """Read a published database.

        Args:
            where: its folder, or the name of one that is shipped with metad2a (``demo``).

        Raises:
            DatabaseError: there is none, or its files are damaged, changed, or newer than this program.
        """
        folder, manifest = open_folder(where)
        tasks = read_table(folder / TASKS_FILE, TASK_SCHEMA)
        # Learning curves are most of the file, and nothing learns from them.
        rows = read_table(folder / RECORDS_FILE, RECORD_SCHEMA, without=(_CURVE,))
        _check_rows(folder, tasks, rows)
        return cls(manifest, tasks, rows, folder)

    def curves(self) -> dict[str, list[dict[str, float | int]]]:
        """Read the learning curves of all records: by key a row an epoch, see ``NetworkFit``.

        Raises:
            DatabaseError: the database is only in memory, or its file is gone.
        """
        if self.folder is None:
            raise DatabaseError(f"the database '{self.name}' is only in memory, without learning curves.")
        rows = each_row(self.folder / RECORDS_FILE, columns=("key", _CURVE))
        return {row["key"]: json.loads(row[_CURVE]) for row in rows}

    def last_losses(self) -> Float[np.ndarray, "R 2"]:
        """Read the last losses on held-out and on training images of each record; NaN where none is written down.

        Raises:
            DatabaseError: the database is only in memory, or its file is gone.
        """
        curves = self.curves()
        last = [(curves[key] or [{}])[-1] for key in self.records["key"]]
        losses = [[row.get(name, np.nan) for name in ("val/loss", "train/loss")] for row in last]
        return np.array(losses, np.float64).reshape(-1, 2)

    def __repr__(self) -> str:
        return f"MetaDatabase('{self.name}', {self.space}, {len(self.tasks)} tasks, {len(self.records)} records)"

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.manifest["name"])

    @property
    def space(self) -> str:
        """Name of the search space of all its architectures."""
        return str(self.manifest["space"])

    @cached_property
    def archs(self) -> tuple[str, ...]:
        """The distinct architectures of ``records``, sorted."""
        return tuple(sorted(set(self.records["arch"])))

    @property
    def task_classes(self) -> list[tuple[str, ...]]:
        """The class names of each row of ``tasks``."""
        return [tuple(classes) for classes in self.tasks["classes"]]

    @property
    def accuracy(self) -> Float[np.ndarray, " R"]:
        """The accuracy of each record, in percent."""
        return self.records["accuracy"].to_numpy(dtype=np.float64)

    @property
    def task_index(self) -> Int[np.ndarray, " R"]:
        """The row of ``tasks`` of each record."""
        return pd.Index(self.tasks["task"]).get_indexer(pd.Index(self.records["task"]))

    @property
    def arch_index(self) -> Int[np.ndarray, " R"]:
        """The position in ``archs`` of each record."""
        return pd.Index(self.archs).get_indexer(pd.Index(self.records["arch"]))

    def split_by_task(self, fraction: float, seed: int) -> Bool[np.ndarray, " R"]:
        """Return which records are for validation, so that no task has records on both sides.

        Args:
            fraction: share of the tasks that go to validation, at least one.
            seed: of the choice.

        Raises:
            ConfigError: ``fraction`` is not between 0 and 1.
            DatabaseError: there are fewer than two tasks with records.
        """
        if not 0 < fraction < 1:
            raise ConfigError(f"the share of tasks for validation is {fraction}, but must be between 0 and 1.")
        task_of = self.task_index
        tasks = np.unique(task_of)
        if len(tasks) < 2:
            raise DatabaseError(
                f"the database '{self.name}' has {len(tasks)} task with records; a split by tasks needs two."
            )
        count = int(np.clip(round(fraction * len(tasks)), 1, len(tasks) - 1))
        chosen = numpy_rng("split-tasks", seed).permutation(tasks)[:count]
        return np.isin(task_of, chosen)

    def split_own(self) -> Bool[np.ndarray, " R"]:
        """Return which records are for validation by the split that the database comes with.

        Unlike with ``split_by_task``, some tasks can be on both sides; see ``metad2a.database.splits``.

        Raises:
            DatabaseError: the database comes without such a split.
        """
        parts = self.records["split"]
        if parts.isna().any() or parts.nunique() < 2:
            raise DatabaseError(f"the database '{self.name}' comes without a split of its own. Split it by task.")
        return (parts == "valid").to_numpy(dtype=bool, copy=True)


def open_folder(where: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a published database, or of a shipped one by its name, and its manifest.

    Raises:
        DatabaseError: there is none, or a file is missing, changed, or newer than this program.
    """
    folder = _find(where)
    manifest = _read_manifest(folder)
    for name in (TASKS_FILE, RECORDS_FILE):
        path = folder / name
        if not path.is_file():
            raise DatabaseError(f"the database in {folder} has no {name}. Get it again.")
        if sha256(path) != manifest["files"].get(name):
            raise DatabaseError(
                f"{path} is not the file that {MANIFEST} describes (its checksum differs): it was "
                "changed or copied incompletely. Get the database again."
            )
    return folder, manifest


def publish(
    folder: str | Path,
    *,
    name: str,
    space: str,
    tasks: Sequence[Task],
    rows: Iterable[Mapping[str, Any]],
    recipes: Mapping[str, Mapping[str, Any]],
    sources: Mapping[str, str],
    command: str,
    notes: Mapping[str, Any] | None = None,
) -> MetaDatabase:
    """Write a database and read it back.

    Args:
        folder: is made; files of an earlier database in it are replaced.
        name: of the database.
        space: of all architectures.
        tasks: all that records refer to.
        rows: made by ``record_row``; they are written as they come, so they need not be in memory together.
        recipes: by fingerprint, in full.
        sources: the licence of each image source, in words.
        command: that makes this database again.
        notes: anything else a reader must know.

    Raises:
        DatabaseError: a source has no licence.
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    unlicensed = sorted({task.source for task in tasks} - set(sources))
    if unlicensed:
        raise DatabaseError(
            f"nothing is said about the licence of '{unlicensed[0]}'. Name it for every source of images."
        )
    counts = _Counts()
    hashes = {
        TASKS_FILE: write_rows(folder / TASKS_FILE, map(task_row, tasks), TASK_SCHEMA),
        RECORDS_FILE: write_rows(folder / RECORDS_FILE, map(counts.see, rows), RECORD_SCHEMA),
    }
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "space": space,
        "counts": {"tasks": len(tasks), **counts.found()},
        "recipes": {key: dict(recipe) for key, recipe in recipes.items()},
        "sources": dict(sources),
        "command": command,
        "notes": dict(notes or {}),
        "versions": versions(),
        "files": hashes,
    }
    write_json(folder / MANIFEST, manifest)
    return MetaDatabase.load(folder)


class _Counts:
    """Counts rows as they pass by."""

    def __init__(self) -> None:
        self._rows, self._failed, self._archs = 0, 0, set[str]()

    def see(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Count ``row`` and return it."""
        self._rows += 1
        if row["status"] == "ok":
            self._archs.add(row["arch"])
        else:
            self._failed += 1
        return row

    def found(self) -> dict[str, int]:
        """Return the counts of the manifest."""
        return {"records": self._rows - self._failed, "failures": self._failed, "archs": len(self._archs)}


def _find(where: str | Path) -> Path:
    folder, ours = Path(where), shipped("data")
    # A folder that only happens to be called like a shipped database must not hide it.
    for found in (folder, ours / str(where)):
        if (found / MANIFEST).is_file():
            return found
    if folder.is_dir():
        return folder
    known = sorted(path.parent.name for path in ours.glob(f"*/{MANIFEST}"))
    raise DatabaseError(
        f"there is no database '{where}': it is no folder, and no name of one that is shipped "
        f"({', '.join(known) or 'none'})."
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        written = int(manifest["schema_version"])
    except FileNotFoundError as error:
        raise DatabaseError(f"{folder} is no database: it has no {MANIFEST}.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatabaseError(f"{path} is damaged: {error}. Get the database again.") from error
    if written > SCHEMA_VERSION:
        program = manifest.get("versions", {}).get("metad2a", "a newer version")
        raise DatabaseError(
            f"the database in {folder} has schema {written} and was written by metad2a {program}; this program "
            f"reads up to {SCHEMA_VERSION}. Upgrade metad2a."
        )
    missing = [key for key in ("name", "space", "files") if key not in manifest]
    if missing:
        raise DatabaseError(f"{path} lacks '{missing[0]}'. Get the database again.")
    return dict(manifest)


def _check_rows(folder: Path, tasks: pd.DataFrame, rows: pd.DataFrame) -> None:
    problems = {
        "two tasks have the same id": tasks["task"].duplicated().any(),
        "two records have the same key": rows["key"].duplicated().any(),
        "a record is of a task that is not in it": not rows["task"].isin(tasks["task"]).all(),
        "a record's status is neither 'ok' nor 'failed'": not rows["status"].isin(["ok", "failed"]).all(),
        "a record without an accuracy is called 'ok'": rows.loc[rows["status"] == "ok", "accuracy"].isna().any(),
    }
    for problem, found in problems.items():
        if found:
            raise DatabaseError(f"the database in {folder} contradicts itself: {problem}. Get it again.")
