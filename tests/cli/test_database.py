"""metad2a database."""

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from metad2a.database.published import MetaDatabase

Run = Callable[..., Any]


def spoil(path: Path) -> None:
    """Make the accuracy of one record of a store wrong."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE records SET accuracy = 101 WHERE rowid = 3")


def test_status_tells_what_is_there_and_what_is_left(run: Run, database: Path, tmp_path: Path) -> None:
    text = run("database", "status", database, "--json", "status.json").done().out
    assert "tiny (nasbench201)" in text
    assert "12 labels" in text
    assert "0 of the last plan's labels are left" in text
    assert "built by: metad2a build-database name=tiny" in text
    found = json.loads((tmp_path / "status.json").read_text())
    assert [(count["source"], count["status"], count["labels"]) for count in found["counts"]] == [
        ("embedded:glyphs", "ok", 12)
    ]
    assert (found["schema_version"], found["growth"]["left"]) == (1, 0)
    assert "240 labels" in run("database", "status", "demo").done().out


def test_merged_verified_repaired_and_exported(run: Run, database: Path, tmp_path: Path) -> None:
    assert "12 labels added, 0 in place" in run("database", "merge", database, "--out", "all").done().out
    store = tmp_path / "all" / "store.sqlite"
    assert "all is whole" in run("database", "verify", "all").done().out
    spoil(store)
    failed = run("database", "verify", "all")
    assert failed.code == 1
    assert "its accuracy is 101.0, but must be between 0 and 100 percent" in failed.err
    assert failed.err.splitlines()[-1].startswith(
        "error: 1 problems in all. `metad2a database verify all --repair`"
    )
    said = run("database", "verify", "all", "--repair").done()
    assert "11 labels kept, 1 dropped" in said.out
    assert "12 labels added" not in run("database", "merge", database, "--out", "all").done().out
    run("database", "export", "all", "mine", "--name", "mine").done()
    assert len(MetaDatabase.load(tmp_path / "mine").records) == 12
    assert MetaDatabase.load(tmp_path / "mine").name == "mine"
    run("database", "export", "mine", "labels.csv").done()
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 12


def test_conflicts_are_told(run: Run, database: Path, tmp_path: Path) -> None:
    run("database", "merge", database, "--out", "a.sqlite").done()
    run("database", "merge", database, "--out", "b.sqlite").done()
    spoil(tmp_path / "b.sqlite")
    said = run("database", "merge", "b.sqlite", "--out", "a.sqlite").done()
    assert "11 known before, 1 conflicts" in said.out
    assert "its accuracy is 101.0, but was" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "nowhere"], ["there is no database 'nowhere'"]),
        (["verify", "nowhere"], ["there is no database 'nowhere'"]),
        (["export", "demo", "out", "--licence", "mine"], ["--licence 'mine'", "SOURCE=TEXT"]),
        (["export", "demo", "file/out"], ["cannot write", "file/out"]),
        (["merge", "demo", "nowhere", "--out", "out.sqlite"], ["there is no database 'nowhere'"]),
        (["status", "demo", "--json", "file/status.json"], ["cannot write", "file/status.json"]),
    ],
)
def test_what_cannot_be_done(run: Run, tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    (tmp_path / "file").write_text("a file where a folder is needed")
    run("database", *arguments).refused(*words)
    assert not (tmp_path / "out").exists()
