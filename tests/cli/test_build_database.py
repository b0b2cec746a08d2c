"""metad2a build-database."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.cli.configuration import compose
from metad2a.cli.jobs.build_database import planned
from metad2a.database.published import MetaDatabase
from metad2a.database.records import Record
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


SLOW = (
    "recipe.epochs=3",
    "label_source.glyphs.tasks=30",
    "label_source.glyphs.classes_per_task=2",
    "label_source.glyphs.images_per_class=20",
)


def begin(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a build in a program of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", "metad2a.cli.main", "build-database", "out=db", "executor=inline", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_dry_run_shows_the_plan_and_what_it_costs(
    run: Run, tmp_path: Path, tiny_database: tuple[str, ...]
) -> None:
    more = [
        "n=10",
        "repeat_fraction=0.5",
        "label_source.glyphs.valid_tasks=1",
        "label_source.glyphs.valid_classes=.5",
    ]
    command = ["build-database", "out=db", *tiny_database, *more]
    text = run(*command, "--dry-run").done().out
    assert list(tmp_path.iterdir()) == []
    parts = re.findall(r"embedded:glyphs\W+(\w+)", text)
    assert parts == ["train", "valid"]
    everything = next(line for line in text.splitlines() if re.match(r"\W+all\W", line))
    _, pairs, more_seeds, planned, known, failed, missing = map(int, re.findall(r"\d+", everything))
    assert (pairs, known, failed, missing) == (10, 0, 0, planned)
    assert planned == pairs + more_seeds
    cost = re.search(r"(\d+) labels to compute now: ([\d.e-]+) s each on one core .*; with 1 workers about", text)
    assert cost is not None
    assert int(cost[1]) == planned
    done = run(*command, "limit=4").done()
    assert f"4 computed, 0 failed, 0 known before, {planned - 4} left" in done.err
    again = run("build-database", "--dry-run", *command[1:]).done().out
    assert f"{planned - 4} labels to compute now" in again
    assert float(cost[2]) > 0  # how long it takes depends on what else the machine does
    run(*command, "--dry-run", "-m", "seed=0,1").refused("--dry-run shows one plan", "'-m'")


def labels(folder: Path) -> int:
    try:
        with Store(folder / "store.sqlite", read_only=True) as store:
            return len(store.keys())
    except DatabaseError:  # not begun yet
        return 0


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_known_and_names_the_way_on(tmp_path: Path) -> None:
    process = begin(tmp_path, *SLOW)
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


def descendants(process: int) -> list[int]:
    """Return the processes below one, those of other sessions included."""
    listing = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listing.splitlines()[1:]]
    found = [process]
    for parent in found:
        found += [pid for pid, above in pairs if above == parent]
    return found[1:]


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_build_with_ray_that_is_stopped_leaves_labels_and_nothing_else(
    run: Run, tmp_path: Path, signal_number: signal.Signals
) -> None:
    pytest.importorskip("ray")
    process = begin(tmp_path, *SLOW, "executor=ray", "executor.workers=2")
    try:
        while process.poll() is None and labels(tmp_path / "db") < 3:
            time.sleep(0.05)
        below = descendants(process.pid)
        assert len(below) > 4
        if signal_number == signal.SIGINT:
            os.killpg(process.pid, signal_number)  # what a terminal does
        else:
            process.kill()
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == (130 if signal_number == signal.SIGINT else -9), err
    assert "Traceback" not in err
    for _ in range(1800):  # two helpers of Ray's notice it after a minute
        if not any(Path(f"/proc/{pid}").exists() for pid in below):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("a process is left over")
    kept = labels(tmp_path / "db")
    assert kept >= 3
    run("database", "verify", "db").done()
    assert f"{kept} known before" in run("build-database", "out=db", "executor=inline", *SLOW, "limit=1").done().err


def test_two_programs_cannot_build_one_database(run: Run, tmp_path: Path) -> None:
    process = begin(tmp_path, *SLOW)
    try:
        while process.poll() is None and not labels(tmp_path / "db"):
            time.sleep(0.05)
        run("build-database", "out=db", "executor=inline", *SLOW).refused("another program is building", "db")
        assert "a program is building it now" in run("database", "status", "db").done().out
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    kept = labels(tmp_path / "db")
    assert kept > 0
    run("database", "verify", "db").done()
    assert f"{kept} known before" in run("build-database", "out=db", "executor=inline", *SLOW, "limit=1").done().err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Make the test's folder a disk of 700 kB; return a function that changes its size."""
    command = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("small disks cannot be made here (only root can, on Linux)")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(tmp_path)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_loses_nothing(
    run: Run, tmp_path: Path, small_disk: Callable[[str], None], tiny_database: tuple[str, ...]
) -> None:
    many = [*tiny_database, "archs_per_task=20"]
    run("build-database", "out=db", *many).refused("cannot write db/store.sqlite", "space left", "is safe")
    kept = labels(tmp_path / "db")
    assert 0 < kept < 80
    run("build-database", "out=db", *many).refused("No space left on device")
    run("database", "verify", "db").done()
    assert labels(tmp_path / "db") == kept
    small_disk("100m")
    said = run("build-database", "out=db", *many).done().err
    assert f"{80 - kept} computed, 0 failed, {kept} known before, 0 left" in said
    assert len(MetaDatabase.load(tmp_path / "db").records) == 80


def test_a_command_that_gets_no_label_does_not_end_well(
    run: Run, tmp_path: Path, tiny_database: tuple[str, ...]
) -> None:
    command = ["build-database", "out=db", *tiny_database, "archs_per_task=1"]
    wild = ["recipe.learning_rate=1e30", "recipe.warmup=0", "recipe.epochs=3"]
    for again in ([], [], ["retry_failed=true"]):  # what is only read in the store counts, too
        ended = run(*command, *wild, *again)
        assert ended.code == 1
        assert "Traceback" not in ended.err
        counts, error = ended.err.splitlines()
        assert counts == "db: 0 computed, 4 failed, 0 known before, 0 left"
        assert error.startswith("error: db has none of the labels asked for: 4 failed (4 like DivergedError: the")
        assert "`metad2a database export db labels.csv`" in error
        assert "retry_failed=true" in error
    assert {read_run(folder)["status"] for folder in (tmp_path / "runs/build-database").iterdir()} == {"failed"}
    run("database", "export", "db", "labels.csv").done()
    assert (tmp_path / "labels.csv").read_text().count("DivergedError") == 4
    said = run(*command).done().err  # labels of another recipe do not matter
    assert said == "db: 4 computed, 0 failed, 0 known before, 0 left\n"


def test_labels_that_failed_among_others_are_told_by_reason(
    run: Run, tmp_path: Path, tiny_database: tuple[str, ...]
) -> None:
    command = ["build-database", "out=db", *tiny_database]
    run(*command).done()
    jobs = planned(compose("build_database", tiny_database)).jobs
    reasons = [
        "the worker process died (exit code -9)",
        "A: a.",
        "A: a.",
        "B: b\nin line 3",
        "C: class 'x' has 3",
        "C: class 'y' has 12",
    ]
    with Store(tmp_path / "db/store.sqlite") as store:
        for job, reason in zip(jobs, reasons, strict=False):
            store.put(Record.failure(job, reason))
    for options, there in (((), [6, 6, 0]), (("retry_failed=true",), [6, 0, 6])):
        plan = run(*command, *options, "--dry-run").done().out
        assert [int(number) for number in re.findall(r"\d+", plan.splitlines()[4])][-3:] == there
        assert ("labels to compute now" in plan) == bool(options)
    counts, told = run(*command).done().err.splitlines()
    assert counts == "db: 0 computed, 6 failed, 6 known before, 0 left"
    assert told.startswith("db: 6 failed (2 like ")
    assert told.count("2 like A: a;") == len(re.findall(r"2 like C: class '[xy]' has \d+;", told)) == 1
    assert re.search(r"; 1 like [^;]*; 1 for other reasons\)\.", told)
    assert "in line 3" not in told
    again = run(*command, "retry_failed=true").done().err
    assert again == "db: 6 computed, 0 failed, 6 known before, 0 left\n"


def test_a_class_with_few_images_is_found_when_planning(
    run: Run, tmp_path: Path, tiny_database: tuple[str, ...]
) -> None:
    labels = np.repeat(np.arange(3), [5, 6, 7])
    np.savez(tmp_path / "few.npz", x=np.zeros((18, 8, 8, 3), dtype=np.uint8), y=labels)
    small = [text for text in tiny_database if not text.startswith("label_source.glyphs")]
    mine = ["images=few.npz", "licence=mine", "tasks=1", "classes_per_task=3"]
    command = ["build-database", "out=db", "label_source=images", *small]
    command += [f"label_source.mine.{text}" for text in mine]
    for way in ([], ["--dry-run"]):
        run(*command, "label_source.mine.images_per_class=50", *way).refused(
            "class '0' of 'mine' has 5 images, but a task takes 50 of each class",
            "images_per_class=[2,50]",
        )
        run(*command, *way).done()
    assert MetaDatabase.load(tmp_path / "db").tasks["images_per_class"].tolist() == [5]


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
        (["space=mobilenetv3"], ["recipe 'demo'", "unknown scale option for 'mobilenetv3'", "'~recipe.scale'"]),
        (["limit=-1"], ["limit=-1", "at least 1"]),
        (["out=file/db"], ["cannot write", "file/db"]),
    ],
)
def test_values_that_cannot_be_used(run: Run, tmp_path: Path, overrides: list[str], words: list[str]) -> None:
    (tmp_path / "file").write_text("a file where a folder is needed")
    run("build-database", "out=db", "executor=inline", *overrides).refused(*words)
    assert not (tmp_path / "db/records.parquet").exists()
