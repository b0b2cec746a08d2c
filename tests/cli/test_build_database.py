"""metad2a build-database."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metad2a.database.published import MetaDatabase
from metad2a.database.store import Store
from metad2a.errors import DatabaseError
from metad2a.tracking.read import read_run

Run = Callable[..., Any]


def test_the_labels_are_there(database: Path) -> None:
    found = MetaDatabase.load(database)
    assert (found.name, found.space, len(found.tasks), len(found.records)) == ("tiny", "nasbench201", 4, 12)
    assert found.failures.empty
    assert ((found.accuracy >= 0) & (found.accuracy <= 100)).all()
    assert [len(set(task)) for task in found.task_classes] == [3] * 4
    [run] = (database.parent / "runs/build-database").iterdir()
    assert read_run(run)["status"] == "done"


def test_the_manifest_names_the_command_that_computes_the_same(database: Path, run: Run, tmp_path: Path) -> None:
    program, *arguments = shlex.split(MetaDatabase.load(database).manifest["command"])
    assert program == "metad2a"
    run(*arguments, "executor=inline", "out=again").done()
    again, before = MetaDatabase.load(tmp_path / "again").records, MetaDatabase.load(database).records
    columns = ["key", "task", "arch", "recipe", "accuracy"]
    assert again[columns].equals(before[columns])


def test_built_in_parts_equals_built_at_once(database: Path, run: Run, tmp_path: Path) -> None:
    arguments = shlex.split(MetaDatabase.load(database).manifest["command"])[1:]
    said = [run(*arguments, "executor=inline", "out=parts", "limit=7").done().err for _ in range(3)]
    counts = [
        ("7 computed", "0 known", "5 left"),
        ("5 computed", "7 known", "0 left"),
        ("0 computed", "12 known", "0 left"),
    ]
    for text, words in zip(said, counts, strict=True):
        assert all(word in text for word in words), text
    parts, whole = MetaDatabase.load(tmp_path / "parts").records, MetaDatabase.load(database).records
    assert parts[["key", "accuracy"]].equals(whole[["key", "accuracy"]])


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_known_and_names_the_way_on(run: Run, tmp_path: Path) -> None:
    slow = [
        "recipe.epochs=3",
        "label_source.glyphs.tasks=30",
        "label_source.glyphs.classes_per_task=2",
        "label_source.glyphs.images_per_class=20",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "metad2a.cli.main", "build-database", "out=db", "executor=inline", *slow],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not labels(tmp_path / "db"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    [folder] = (tmp_path / "runs/build-database").iterdir()
    assert f"metad2a resume {folder}" in err
    assert "Traceback" not in err
    assert read_run(folder)["status"] == "interrupted"
    assert 0 < labels(tmp_path / "db") < 240


def labels(folder: Path) -> int:
    try:
        with Store(folder / "store.sqlite", read_only=True) as store:
            return len(store.keys())
    except DatabaseError:  # not begun yet
        return 0


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["executor.kind=rya"], ["unknown executor 'rya'", "Did you mean 'ray'?"]),
        (["executor=ray", "executor.address=127.0.0.1:9"], ["no Ray cluster answers at '127.0.0.1:9'"]),
        (["executor=process_pol"], ["unknown executor 'process_pol'", "Did you mean 'process_pool'?"]),
        (["executor=process_pool", "executor.workers=0"], ["workers is 0"]),
        (["label_source.glyphs.licence=''"], ["licence", "in words"]),
        (["label_source.glyphs.classes_per_task=1"], ["classes_per_task is 1"]),
        (
            ["label_source.glyphs.source=embedded:glyph"],
            ["unknown embedded image set 'glyph'", "Did you mean 'glyphs'?"],
        ),
        (["archs_per_task=0"], ["0 architectures"]),
        (["recipe.epochs=0"], ["epochs is 0"]),
        (["+recipe.epoch=3"], ["unknown recipe field 'epoch'", "Did you mean 'epochs'?"]),
        (["recipe=dmo"], ["unknown recipe 'dmo'", "Did you mean 'demo'?"]),
        (["space=darts"], ["unknown space 'darts'"]),
        (["limit=-1"], ["limit=-1", "at least 1"]),
        (["out=file/db"], ["cannot write", "file/db"]),
    ],
)
def test_values_that_cannot_be_used(run: Run, tmp_path: Path, overrides: list[str], words: list[str]) -> None:
    (tmp_path / "file").write_text("a file where a folder is needed")
    run("build-database", "out=db", "executor=inline", *overrides).refused(*words)
    assert not (tmp_path / "db/records.parquet").exists()
