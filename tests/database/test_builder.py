import contextlib
import inspect
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from metad2a.database.builder import BuildSummary, build
from metad2a.database.executors import Executor, Inline, ProcessPool
from metad2a.database.planning import plan, sample_tasks
from metad2a.database.records import Job, Record
from metad2a.database.store import Store
from metad2a.errors import ConfigError, DatabaseError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201


def rows(store: Store) -> list[dict[str, object]]:
    """Return all rows without what a clock says."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in store.rows()]


@pytest.fixture(scope="module")
def expected(jobs: Sequence[Job], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """What an uninterrupted build in one process gives."""
    with Store(tmp_path_factory.mktemp("expected") / "labels.sqlite") as store:
        summary = build(jobs, store, Inline())
        assert summary == BuildSummary(computed=len(jobs), failed=0, known=0, left=0)
        return rows(store)


def test_labels_are_real(expected: list[dict[str, object]], jobs: Sequence[Job]) -> None:
    assert [row["key"] for row in expected] != [job.key for job in jobs]  # they are sorted
    assert {row["key"] for row in expected} == {job.key for job in jobs}
    assert {row["status"] for row in expected} == {"ok"}
    assert len({row["curve"] for row in expected}) > len(jobs) // 2
    possible = {100 * right / 9 for right in range(10)}  # three validation images of three classes
    assert all(any(abs(float(str(row["accuracy"])) - p) < 1e-6 for p in possible) for row in expected)


@pytest.mark.parametrize("workers", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4))])
def test_any_number_of_workers_gives_the_same_labels(
    workers: int, expected: list[dict[str, object]], jobs: Sequence[Job], tmp_path: Path
) -> None:
    with Store(tmp_path / "labels.sqlite") as store:
        build(jobs, store, ProcessPool(workers))
        assert rows(store) == expected
    assert not multiprocessing.active_children()


def test_labels_do_not_depend_on_order_history_or_threads(
    expected: list[dict[str, object]], jobs: Sequence[Job], tmp_path: Path
) -> None:
    torch.manual_seed(4321)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Store(tmp_path / "labels.sqlite") as store:
            store.announce(jobs)
            build(jobs[::-1], store, Inline())
            assert rows(store) == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Counting(Inline):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Job] = []

    def run(self, jobs: Sequence[Job]):  # type: ignore[no-untyped-def]
        self.asked += jobs
        return super().run(jobs)


def test_only_what_is_missing_is_computed(
    expected: list[dict[str, object]], jobs: Sequence[Job], tmp_path: Path
) -> None:
    seen: list[Record] = []
    with Store(tmp_path / "labels.sqlite") as store:
        first = Counting()
        summary = build(jobs, store, first, limit=4, on_record=seen.append)
        assert summary == BuildSummary(computed=4, failed=0, known=0, left=5)
        assert len(first.asked) == len(seen) == 4
        assert store.keys() == {record.key for record in seen}
        second = Counting()
        summary = build([*jobs, *jobs], store, second)
        assert summary == BuildSummary(computed=5, failed=0, known=4, left=0)
        assert not {job.key for job in first.asked} & {job.key for job in second.asked}
        assert rows(store) == expected
        third = Counting()
        assert build(jobs, store, third) == BuildSummary(computed=0, failed=0, known=9, left=0)
        assert third.asked == []


@pytest.mark.parametrize("executor", [Inline(), pytest.param(ProcessPool(1), marks=pytest.mark.slow)])
def test_failures_are_recorded_and_not_fatal(executor: Executor, jobs: Sequence[Job], tmp_path: Path) -> None:
    lost = replace(jobs[1], task=replace(jobs[1].task, source="no/such/folder"))
    wild = replace(jobs[2], recipe=replace(jobs[2].recipe, learning_rate=1e30, warmup=0.0, epochs=9))
    with Store(tmp_path / "labels.sqlite") as store:
        summary = build([jobs[0], lost, wild, jobs[3]], store, executor)
        assert summary == BuildSummary(computed=2, failed=2, known=0, left=0)
        errors = {row["key"]: row["error"] for row in store.rows() if row["status"] == "failed"}
        assert "no/such/folder" in errors[lost.key]
        assert errors[wild.key].startswith("DivergedError: the loss was not finite")
        assert store.keys("ok") == {jobs[0].key, jobs[3].key}
        before = build([jobs[0], lost], store, Inline())
        assert before == BuildSummary(computed=0, failed=1, known=1, left=0), "not tried again, and no label"
        assert build([lost], store, Inline(), retry_failed=True) == BuildSummary(0, failed=1, known=0, left=0)


def test_a_worker_that_dies_costs_its_row_and_is_replaced(
    expected: list[dict[str, object]], jobs: Sequence[Job], tmp_path: Path
) -> None:
    long = replace(jobs[0], recipe=replace(jobs[0].recipe, epochs=100_000))

    def kill_the_worker(record: Record) -> None:
        if record.key == jobs[1].key:  # now the single worker is at the long job
            time.sleep(0.5)
            (child,) = multiprocessing.active_children()
            os.kill(child.pid or 0, signal.SIGKILL)

    with Store(tmp_path / "labels.sqlite") as store:
        wanted = [jobs[1], long, jobs[2], jobs[3]]
        summary = build(wanted, store, ProcessPool(1), on_record=kill_the_worker)
        assert summary == BuildSummary(computed=3, failed=1, known=0, left=0)
        (failure,) = [row for row in store.rows() if row["status"] == "failed"]
        assert failure["key"] == long.key
        assert failure["error"] == "the worker process died (exit code -9)"
        keys = {job.key for job in wanted}
        others = [row for row in rows(store) if row["status"] == "ok"]
        assert others == [row for row in expected if row["key"] in keys]
    assert not multiprocessing.active_children()


def driver_jobs(count: int) -> list[Job]:
    """Return ``count`` jobs of a few tenths of a second for each of two tasks."""
    scale = {"channels": 2, "cells": 1}
    recipe = Recipe("slow", epochs=8, batch_size=8, learning_rate=0.1, resolution=8, scale=scale)
    tasks = sample_tasks("embedded:glyphs", 2, classes_per_task=3, images_per_class=12, seed=0)
    return plan(NASBench201(), tasks, archs_per_task=count, recipe=recipe)


DRIVER = f"""
import signal
import sys
from metad2a.database.builder import build
from metad2a.database.executors import Inline, ProcessPool
from metad2a.database.planning import plan, sample_tasks
from metad2a.database.records import Job
from metad2a.database.store import Store
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201

{inspect.getsource(driver_jobs)}
if __name__ == "__main__":
    path, executor, count = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
    with Store(path) as store:
        build(driver_jobs(int(count)), store, Inline() if executor == "inline" else ProcessPool(2))
"""


class Driver:
    """A build in a program of its own; leaving the ``with`` block ends whatever is left of it."""

    def __init__(self, folder: Path, executor: str, count: int) -> None:
        script = folder / "driver.py"
        script.write_text(DRIVER)
        self.path = folder / "labels.sqlite"
        self.log = folder / "stderr.txt"
        with self.log.open("w") as log:
            command = [sys.executable, str(script), str(self.path), executor, str(count)]
            self.process = subprocess.Popen(command, stderr=log, start_new_session=True)

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_for_rows(self, count: int) -> int:
        """Return the number of stored rows as soon as there are ``count``."""
        for _ in range(6000):
            assert self.process.poll() is None, self.log.read_text()
            found = self.rows()
            if found >= count:
                return found
            time.sleep(0.05)
        raise AssertionError("the driver stores nothing")

    def rows(self) -> int:
        try:
            with Store(self.path, read_only=True) as store:
                return len(store.keys())
        except DatabaseError:  # it has not begun
            return 0

    def wait_until_nothing_runs(self) -> None:
        """Return when it and all its workers are gone."""
        for _ in range(600):
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
        raise AssertionError("a process is left over")


@pytest.mark.parametrize("executor", ["inline", pytest.param("pool", marks=pytest.mark.slow)])
def test_ctrl_c_stops_cleanly_and_keeps_what_was_finished(executor: str, tmp_path: Path) -> None:
    with Driver(tmp_path, executor, count=300) as driver:
        found = driver.wait_for_rows(3)
        os.killpg(driver.process.pid, signal.SIGINT)  # what a terminal does
        assert driver.process.wait(60) != 0, driver.log.read_text()
        assert driver.log.read_text().rstrip().endswith(("KeyboardInterrupt", "Interrupted"))
        driver.wait_until_nothing_runs()
    with Store(driver.path) as store:  # the lock is free
        assert len(store.keys()) >= found
        assert store.keys("failed") == set()


@pytest.mark.parametrize("executor", ["inline", pytest.param("pool", marks=pytest.mark.slow)])
def test_a_killed_driver_loses_only_what_is_in_flight(executor: str, tmp_path: Path) -> None:
    with Driver(tmp_path, executor, count=300) as driver:
        found = driver.wait_for_rows(3)
        driver.process.kill()
        driver.process.wait()
        driver.wait_until_nothing_runs()
    with Store(driver.path) as store:
        kept = rows(store)
        jobs = driver_jobs(300)
        assert len(kept) >= found
        stored = store.keys()
        done = [job for job in jobs if job.key in stored]
        left = [job for job in jobs if job.key not in stored][:2]
        assert build([*done, *left], store, Inline()).known == len(kept)
        after = rows(store)
    assert [row for row in after if row in kept] == kept
    with Store(tmp_path / "whole.sqlite") as store:
        build([*done, *left], store, Inline())
        assert rows(store) == after


def test_the_number_of_workers() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        ProcessPool(0)
    assert ProcessPool().workers >= 1
    assert list(ProcessPool(2).run([])) == []
