"""The published form of a database: a folder of two Parquet files and a manifest.

``records.parquet`` has a row per label, ``tasks.parquet`` a row per task, ``manifest.json`` says where they
come from and holds the checksums of both.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int

from metad2a.database.records import Record, Task, versions
from metad2a.errors import ConfigError, DatabaseError
from metad2a.runtime import atomic_path, numpy_rng, shipped, write_json

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
_AS_JSON = ("curve", "versions")


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
        records: a row per label, with the fields of ``Record``; ``curve`` and ``versions`` are JSON texts.
        failures: the rows of the trainings that gave none.
        held_out: the labels that the database's authors kept for testing; nothing learns from them.
    """

    def __init__(self, manifest: Mapping[str, Any], tasks: pd.DataFrame, rows: pd.DataFrame) -> None:
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
        folder = _find(where)
        manifest = _read_manifest(folder)
        tables = {}
        for name, schema in ((TASKS_FILE, TASK_SCHEMA), (RECORDS_FILE, RECORD_SCHEMA)):
            expected = manifest["files"].get(name)
            path = folder / name
            if not path.is_file():
                raise DatabaseError(f"the database in {folder} has no {name}. Get it again.")
            if _sha256(path) != expected:
                raise DatabaseError(
                    f"{path} is not the file that {MANIFEST} describes (its checksum differs): it was "
                    "changed or copied incompletely. Get the database again."
                )
            tables[name] = _read_table(path, schema)
        _check_rows(folder, tables[TASKS_FILE], tables[RECORDS_FILE])
        return cls(manifest, tables[TASKS_FILE], tables[RECORDS_FILE])

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

    split_official = split_own


def publish(
    folder: str | Path,
    *,
    name: str,
    space: str,
    tasks: Sequence[Task],
    rows: Sequence[Mapping[str, Any]],
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
        rows: made by ``record_row``.
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
    hashes = {
        TASKS_FILE: _write_table(folder / TASKS_FILE, map(task_row, tasks), TASK_SCHEMA),
        RECORDS_FILE: _write_table(folder / RECORDS_FILE, rows, RECORD_SCHEMA),
    }
    labelled = [row for row in rows if row["status"] == "ok"]
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "space": space,
        "counts": {
            "tasks": len(tasks),
            "records": len(labelled),
            "failures": len(rows) - len(labelled),
            "archs": len({row["arch"] for row in labelled}),
        },
        "recipes": {key: dict(recipe) for key, recipe in recipes.items()},
        "sources": dict(sources),
        "command": command,
        "notes": dict(notes or {}),
        "versions": versions(),
        "files": hashes,
    }
    write_json(folder / MANIFEST, manifest)
    return MetaDatabase.load(folder)


def _write_table(path: Path, rows: Iterable[Mapping[str, Any]], schema: Any) -> str:
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), temporary, compression="zstd")
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def _read_table(path: Path, schema: Any) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DatabaseError(f"{path} is no readable Parquet file: {error}. Get the database again.") from error
    for column in schema:
        if column.name not in table.column_names:
            raise DatabaseError(f"{path} lacks the column '{column.name}'. Get the database again.")
        found = table.schema.field(column.name).type
        if found != column.type:
            raise DatabaseError(f"{path}: the column '{column.name}' is {found}, but must be {column.type}.")
    # A plain int64 column with gaps would come back as floats.
    frame: pd.DataFrame = table.to_pandas(types_mapper={_WHOLE: pd.Int64Dtype()}.get)
    return frame


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
