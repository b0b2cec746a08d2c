import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from metad2a.database.published import RECORD_SCHEMA, MetaDatabase, record_row
from metad2a.database.records import GLYPHS, Job, Record
from metad2a.database.store import Store
from metad2a.errors import DatabaseError, OutputError

LICENCES = {GLYPHS: "drawn by this program"}


def record(job: Job, accuracy: float = 50.0) -> Record:
    curve: list[dict[str, float | int]] = [{"epoch": 1, "val/accuracy": accuracy}]
    return Record.of(job, status="ok", accuracy=accuracy, best_accuracy=accuracy + 1, curve=curve, seconds=0.5)


def test_what_was_put_is_there_after_opening_again(jobs: Sequence[Job], tmp_path: Path) -> None:
    path = tmp_path / "deep" / "labels.sqlite"
    with Store(path) as store:
        store.announce(jobs)
        store.put(record(jobs[0]))
        store.put(Record.failure(jobs[1], "why"))
    with Store(path) as store:
        assert store.keys() == {jobs[0].key, jobs[1].key}
        assert store.keys("ok") == {jobs[0].key}
        assert store.keys("failed") == {jobs[1].key}
        assert store.space == "nasbench201"
        assert store.tasks() == list(dict.fromkeys(job.task for job in jobs))
        assert store.recipes() == {jobs[0].recipe.fingerprint: jobs[0].recipe.to_dict()}
        store.put(record(jobs[1], 70.0))
        assert store.keys("failed") == set()


def test_rows_come_in_an_order_that_does_not_depend_on_time(jobs: Sequence[Job], tmp_path: Path) -> None:
    found = []
    for name, order in (("a", jobs), ("b", jobs[::-1])):
        with Store(tmp_path / name) as store:
            store.announce(jobs)
            for job in order:
                store.put(record(job))
            found.append(store.rows())
    assert found[0] == found[1]
    assert len(found[0]) == len(jobs)


def test_a_second_writer_is_refused_and_a_reader_is_not(jobs: Sequence[Job], tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    with Store(path) as store:
        store.announce(jobs)
        store.put(record(jobs[0]))
        with pytest.raises(DatabaseError, match="another program is building"):
            Store(path)
        code = f"from metad2a.database.store import Store; Store({str(path)!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "another program is building" in other.stderr
        with Store(path, read_only=True) as reader:
            assert reader.keys() == {jobs[0].key}
            with pytest.raises(DatabaseError, match="opened to be read only"):
                reader.put(record(jobs[1]))
    Store(path).close()


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, which are no database at all. " * 50)
    before = path.read_bytes()
    for _ in range(2):  # the lock is given back, so the second message is the same
        with pytest.raises(DatabaseError, match="cannot be used as a database"):
            Store(path)
    assert path.read_bytes() == before
    with pytest.raises(OutputError, match="folder"):
        Store(tmp_path)
    with pytest.raises(DatabaseError, match="no database at"):
        Store(tmp_path / "missing", read_only=True)
    assert not (tmp_path / "missing").exists()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(DatabaseError, match="schema 99"):
        Store(path)


def test_one_store_holds_one_space(jobs: Sequence[Job], tmp_path: Path) -> None:
    with Store(tmp_path / "labels.sqlite") as store:
        store.announce(jobs)
        store.put(record(jobs[0]))
        with pytest.raises(DatabaseError, match="not of nasbench201 and other"):
            store.announce([replace(jobs[0], space="other")])


def test_publishing(jobs: Sequence[Job], tmp_path: Path) -> None:
    with Store(tmp_path / "labels.sqlite") as store:
        store.announce(jobs)
        with pytest.raises(DatabaseError, match="no record yet"):
            store.publish(tmp_path / "out", name="mine", sources=LICENCES, command="make it")
        for number, job in enumerate(jobs[:4]):  # four jobs of the first two of three tasks
            store.put(record(job, 10.0 * number))
        store.put(Record.failure(jobs[4], "DivergedError: too fast"))
        with pytest.raises(DatabaseError, match="licence of 'embedded:glyphs'"):
            store.publish(tmp_path / "out", name="mine", sources={}, command="make it")
        assert not (tmp_path / "out").exists()
        database = store.publish(
            tmp_path / "out", name="mine", sources=LICENCES, command="make it", notes={"why": "a test"}
        )
    assert isinstance(database, MetaDatabase)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "records.parquet",
        "tasks.parquet",
    ]
    assert database.manifest["counts"] == {"tasks": 2, "records": 4, "failures": 1, "archs": 4}
    assert database.manifest["command"] == "make it"
    assert database.manifest["sources"] == LICENCES
    assert database.manifest["notes"] == {"why": "a test"}
    assert database.manifest["recipes"] == {jobs[0].recipe.fingerprint: jobs[0].recipe.to_dict()}
    assert sorted(database.accuracy) == [0.0, 10.0, 20.0, 30.0]
    assert database.failures["error"].tolist() == ["DivergedError: too fast"]
    row = database.records.set_index("key").loc[jobs[2].key]
    assert (row["arch"], row["seed"], row["accuracy"]) == (jobs[2].arch, 0, 20.0)
    assert database.curves()[jobs[2].key] == [{"epoch": 1, "val/accuracy": 20.0}]
    assert set(database.curves()) == {job.key for job in jobs[:5]}
    assert database.task_classes == [jobs[0].task.classes, jobs[3].task.classes]


def older(path: Path, jobs: Sequence[Job]) -> None:
    """Write a store as the first version of the program did."""
    types = {"int64": "INTEGER", "double": "REAL", "string": "TEXT"}
    columns = [f"{c.name} {types[str(c.type)]}{' PRIMARY KEY' * (c.name == 'key')}" for c in RECORD_SCHEMA]
    row = record_row(record(jobs[0]))
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        numbered = "number INTEGER PRIMARY KEY, task TEXT UNIQUE NOT NULL, content TEXT NOT NULL"
        db.execute(f"CREATE TABLE tasks ({numbered})")
        db.execute("CREATE TABLE recipes (fingerprint TEXT PRIMARY KEY, content TEXT NOT NULL)")
        db.execute(f"CREATE TABLE records ({', '.join(columns)})")
        db.execute("INSERT INTO tasks VALUES (1, ?, ?)", (jobs[0].task.id, json.dumps(asdict(jobs[0].task))))
        db.execute(f"INSERT INTO records VALUES ({','.join('?' * len(columns))})", list(row.values()))  # noqa: S608
        db.execute("PRAGMA user_version = 1")


def test_an_older_file_is_read_and_continued(jobs: Sequence[Job], tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    older(path, jobs)
    before = path.read_bytes()
    with Store(path, read_only=True) as store:
        assert store.keys() == {jobs[0].key}
        assert (store.sources(), store.fact("command"), store.tasks()) == ({}, None, [jobs[0].task])
    assert path.read_bytes() == before
    with Store(path) as store:
        store.announce(jobs)
        store.put(record(jobs[1]))
        store.describe(sources=LICENCES, command="make it")
        assert store.keys() == {jobs[0].key, jobs[1].key}
        assert [row["accuracy"] for row in store.rows(jobs[0].task.id)] == [50.0, 50.0]
    with Store(path, read_only=True) as store:
        assert (store.sources(), store.fact("command")) == (LICENCES, "make it")


def test_many_rows_are_written_together_or_not_at_all(jobs: Sequence[Job], tmp_path: Path) -> None:
    rows = [record_row(record(job)) for job in jobs]
    with Store(tmp_path / "labels.sqlite") as store:
        store.announce(jobs)
        with pytest.raises(KeyError):
            store.put_rows([*rows[:3], {"key": "half a row"}])
        assert store.keys() == set()
        store.put_rows(rows)
        assert store.rows_by_key([jobs[2].key, "unknown", jobs[1].key]) == {
            rows[number]["key"]: rows[number] for number in (1, 2)
        }
        store.remove([jobs[2].key, "unknown"])
        assert store.keys() == {job.key for job in jobs} - {jobs[2].key}


def test_known_records_follow_the_split_of_the_plan(jobs: Sequence[Job], tmp_path: Path) -> None:
    with Store(tmp_path / "labels.sqlite") as store:
        store.announce(jobs)
        store.put_rows([record_row(record(job)) for job in jobs])
        store.announce([replace(job, split="valid" if job.task == jobs[0].task else None) for job in jobs])
        assert {row["task"]: row["split"] for row in store.rows()} == {
            job.task.id: "valid" if job.task == jobs[0].task else None for job in jobs
        }
        store.announce(jobs)  # a plan without a split leaves it
        assert {row["split"] for row in store.rows(jobs[0].task.id)} == {"valid"}


def test_what_was_described_is_published(jobs: Sequence[Job], tmp_path: Path) -> None:
    with Store(tmp_path / "mine" / "labels.sqlite") as store:
        store.announce(jobs)
        store.put(record(jobs[0]))
        store.describe(sources=LICENCES | {"unused": "x"}, command="make it")
        assert store.publish(tmp_path / "a").name == "mine"
        store.describe(name="labels")
        manifest = store.publish(tmp_path / "b").manifest
    assert (manifest["name"], manifest["command"], manifest["sources"]) == ("labels", "make it", LICENCES)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can write everywhere")
def test_a_store_in_a_folder_that_cannot_be_written_is_read(jobs: Sequence[Job], tmp_path: Path) -> None:
    path = tmp_path / "shut" / "labels.sqlite"
    with Store(path) as store:
        store.announce(jobs)
        store.put(record(jobs[0]))
    code = f"from metad2a.database.store import Store; print(Store({str(path)!r}, read_only=True).keys())"
    path.parent.chmod(0o555)
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    finally:
        path.parent.chmod(0o755)
    assert jobs[0].key in done.stdout, done.stderr
    assert [file.name for file in path.parent.iterdir() if file.suffix not in (".lock",)] == ["labels.sqlite"]


FILLING = """
import resource, sys
from metad2a.database.records import Record, Task, Job
from metad2a.database.store import Store
from metad2a.errors import OutputError
from metad2a.fitting.recipe import Recipe

recipe = Recipe("some", epochs=1, batch_size=2, learning_rate=0.1)
jobs = [Job(Task("mine", ("a", "b"), 4, 0, 0.5), "nasbench201", str(n), str(n), recipe, 0) for n in range(2000)]
with Store(sys.argv[1]) as store:
    store.announce(jobs)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # no file can grow beyond
    stored = 0
    try:
        for job in jobs:
            store.put(Record.failure(job, "why"))
            stored += 1
    except OutputError as error:
        print(stored, error)
"""


def test_where_nothing_more_can_be_written_what_was_stays(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    path = tmp_path / "labels.sqlite"
    command = [sys.executable, "-c", FILLING, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    stored, _, message = done.stdout.partition(" ")
    assert f"cannot write {path}" in message
    assert "What was stored before is safe" in message
    with Store(path) as store:
        assert len(store) == int(stored) > 0
        assert store.query("PRAGMA integrity_check") == [("ok",)]
