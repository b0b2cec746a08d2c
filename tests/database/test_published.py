import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metad2a.database import published
from metad2a.database.parquet_files import sha256
from metad2a.database.published import MetaDatabase
from metad2a.database.records import GLYPHS, Job, Record
from metad2a.errors import ConfigError, DatabaseError


@pytest.fixture
def folder(jobs: Sequence[Job], tmp_path: Path) -> Path:
    rows = [
        published.record_row(Record.of(job, status="ok", accuracy=float(number), split=split))
        for number, job in enumerate(jobs)
        for split in ["valid" if number in (1, 4) else "train"]
    ]
    published.publish(
        tmp_path / "db",
        name="test",
        space="nasbench201",
        tasks=list(dict.fromkeys(job.task for job in jobs)),
        rows=rows,
        recipes={jobs[0].recipe.fingerprint: jobs[0].recipe.to_dict()},
        sources={GLYPHS: "ours"},
        command="none",
    )
    return tmp_path / "db"


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def replace_table(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a table and its checksum, as a wrong writer would."""
    path = folder / name
    pq.write_table(change(pq.read_table(path)), path)
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: sha256(path)}))


def test_views_agree_with_the_tables(folder: Path, jobs: Sequence[Job]) -> None:
    database = MetaDatabase.load(folder)
    assert repr(database) == "MetaDatabase('test', nasbench201, 3 tasks, 9 records)"
    assert database.archs == tuple(sorted({job.arch for job in jobs}))
    assert [database.archs[i] for i in database.arch_index] == [job.arch for job in jobs]
    assert [database.tasks["task"][i] for i in database.task_index] == [job.task.id for job in jobs]
    assert [database.task_classes[i] for i in database.task_index] == [job.task.classes for job in jobs]
    assert database.accuracy.tolist() == list(map(float, range(9)))


@pytest.mark.parametrize("fraction", [0.01, 0.34, 0.5, 0.99])
def test_no_task_is_on_both_sides_of_a_split(folder: Path, fraction: float) -> None:
    database = MetaDatabase.load(folder)
    tasks = database.task_index
    splits = [database.split_by_task(fraction, seed) for seed in range(20)]
    for valid in splits:
        assert valid.any()
        assert not valid.all()
        assert not set(tasks[valid]) & set(tasks[~valid])
    assert np.array_equal(splits[3], database.split_by_task(fraction, 3))
    assert len({valid.tobytes() for valid in splits}) == 3


def test_split_errors(folder: Path) -> None:
    database = MetaDatabase.load(folder)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        database.split_by_task(1.0, 0)
    with pytest.raises(DatabaseError, match="only in memory"):
        MetaDatabase(database.manifest, database.tasks, database.records).curves()
    one_task = MetaDatabase(database.manifest, database.tasks, database.records[:3])
    with pytest.raises(DatabaseError, match="1 task"):
        one_task.split_by_task(0.5, 0)
    database.records["split"] = None
    with pytest.raises(DatabaseError, match="without a split of its own"):
        database.split_own()


def test_the_authors_split_is_kept(folder: Path) -> None:
    assert np.flatnonzero(MetaDatabase.load(folder).split_own()).tolist() == [1, 4]


def test_missing_databases_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no database 'dem'"):
        MetaDatabase.load("dem")
    with pytest.raises(DatabaseError, match=r"no manifest\.json"):
        MetaDatabase.load(tmp_path)


def test_changed_files_are_refused(folder: Path) -> None:
    path = folder / "records.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"records\.parquet.*checksum differs"):
        MetaDatabase.load(folder)
    path.unlink()
    with pytest.raises(DatabaseError, match=r"has no records\.parquet"):
        MetaDatabase.load(folder)


def test_files_that_are_no_parquet_are_refused(folder: Path) -> None:
    path = folder / "tasks.parquet"
    path.write_bytes(b"garbage")
    edit_manifest(folder, lambda m: m["files"].update({path.name: sha256(path)}))
    with pytest.raises(DatabaseError, match="no readable Parquet"):
        MetaDatabase.load(folder)


def test_a_newer_schema_is_refused(folder: Path) -> None:
    edit_manifest(folder, lambda m: m.update(schema_version=2, versions={"metad2a": "9.9"}))
    with pytest.raises(DatabaseError, match=r"written by metad2a 9\.9.*Upgrade"):
        MetaDatabase.load(folder)


@pytest.mark.parametrize("key", ["schema_version", "name", "space", "files"])
def test_a_manifest_without_a_key_is_refused(folder: Path, key: str) -> None:
    edit_manifest(folder, lambda m: m.pop(key))
    with pytest.raises(DatabaseError, match=key):
        MetaDatabase.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DatabaseError, match=r"manifest\.json is damaged"):
        MetaDatabase.load(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("records.parquet", lambda t: t.drop_columns(["accuracy"]), "lacks the column 'accuracy'"),
        ("tasks.parquet", lambda t: t.drop_columns(["classes"]), "lacks the column 'classes'"),
        (
            "records.parquet",
            lambda t: t.set_column(t.column_names.index("accuracy"), "accuracy", [["1"] * 9]),
            "'accuracy' is string, but must be double",
        ),
        ("tasks.parquet", lambda t: t.slice(1), "a task that is not in it"),
        ("records.parquet", lambda t: t.take([0, 0, 1]), "the same key"),
        ("tasks.parquet", lambda t: t.take([0, 0, 1, 2]), "the same id"),
        (
            "records.parquet",
            lambda t: t.set_column(t.column_names.index("status"), "status", [["done"] * 9]),
            "neither 'ok' nor 'failed'",
        ),
        (
            "records.parquet",
            lambda t: t.set_column(t.column_names.index("accuracy"), "accuracy", [pa.nulls(9, pa.float64())]),
            "without an accuracy",
        ),
    ],
)
def test_tables_that_contradict_the_schema_are_refused(
    folder: Path, name: str, change: Callable[[Any], Any], message: str
) -> None:
    replace_table(folder, name, change)
    with pytest.raises(DatabaseError, match=message):
        MetaDatabase.load(folder)


def test_the_last_losses_are_those_of_the_curves() -> None:
    database = MetaDatabase.load("demo")
    curves = database.curves()
    last = [curves[key][-1] for key in database.records["key"]]
    expected = [[row["val/loss"], row["train/loss"]] for row in last]
    np.testing.assert_array_equal(database.last_losses(), expected)


def test_without_curves_no_losses_are_known(folder: Path) -> None:
    database = MetaDatabase.load(folder)
    assert database.last_losses().shape == (len(database.records), 2)
    assert np.isnan(database.last_losses()).all()
