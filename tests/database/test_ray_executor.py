"""Labelling with a real Ray: two machines' worth of it, both on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metad2a.database.executors import Executor, Inline
from metad2a.database.planning import plan, sample_tasks
from metad2a.database.ray_executor import Ray
from metad2a.database.records import Job, Record
from metad2a.database.sources import ImageSources
from metad2a.errors import ConfigError, DatabaseError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Start a head and a second node with one core each; return the address."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        try:
            made.add_node(num_cpus=1)
            yield made.address
        finally:
            made.shutdown()


def results(records: Sequence[Record]) -> dict[str, Record]:
    """Return records by key, without what a clock says."""
    return {record.key: replace(record, seconds=None) for record in records}


def workers() -> list[int]:
    """Return the processes of this test's Ray that are labelling."""
    listing = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [
        (int(pid), int(parent), args)
        for pid, parent, args in (line.split(None, 2) for line in listing.splitlines()[1:])
    ]
    parents = {pid: parent for pid, parent, _ in rows}

    def ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and ours(parents[pid]))

    return [pid for pid, _, args in rows if args.startswith("ray::_Worker.label") and ours(pid)]


def test_ray_gives_the_same_labels_and_needs_no_images_where_it_works(
    cluster: str, jobs: Sequence[Job], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "mine.npz"
    labels = np.repeat(np.arange(4), 12)
    np.savez(path, x=np.random.default_rng(0).integers(0, 256, (48, 9, 9, 3), dtype=np.uint8), y=labels)
    places = {"mine": str(path)}
    sources = ImageSources(places)
    tasks = sample_tasks("mine", 3, classes_per_task=3, images_per_class=12, seed=0, sources=sources)
    found = plan(NASBench201(), tasks, archs_per_task=2, recipe=tiny_recipe)
    lost = replace(jobs[0], task=replace(jobs[0].task, source="no/such/folder"))
    wanted = [*found, *jobs, lost]
    expected = results(list(Inline(places).run(wanted)))
    executor = Ray(cluster, images=places)
    assert isinstance(executor, Executor)
    got = []
    for record in executor.run(wanted):
        got.append(record)
        if record.task == tasks[0].id:
            path.unlink(missing_ok=True)  # this process has read it, and only this one needs to
    assert results(got) == expected
    assert {record.status for record in got if record.key != lost.key} == {"ok"}
    assert workers() == []


def test_a_worker_that_dies_costs_its_row_and_is_replaced(cluster: str, jobs: Sequence[Job]) -> None:
    long = replace(jobs[0], recipe=replace(jobs[0].recipe, epochs=100_000))
    wanted = [jobs[1], long, jobs[2], jobs[3]]
    got = []
    for record in Ray(cluster, workers=1).run(wanted):
        got.append(record)
        if record.key == jobs[1].key:
            for _ in range(100):  # now the only worker is at the long job, or will be soon
                time.sleep(0.1)
                if pids := workers():
                    time.sleep(0.5)
                    os.kill(pids[0], signal.SIGKILL)
                    break
    (failure,) = [record for record in got if record.status == "failed"]
    assert (failure.key, failure.error) == (long.key, "the Ray worker died (SYSTEM_ERROR)")
    others = [job for job in wanted if job is not long]
    assert results([record for record in got if record is not failure]) == results(list(Inline().run(others)))


def test_what_is_running_stops_with_the_generator(cluster: str, jobs: Sequence[Job]) -> None:
    long = [replace(job, recipe=replace(job.recipe, epochs=100_000)) for job in jobs[1:3]]
    records = Ray(cluster, workers=2).run([jobs[0], *long])
    assert next(records).key == jobs[0].key
    records.close()
    assert workers() == []


def test_more_workers_than_cores_are_refused(cluster: str, jobs: Sequence[Job]) -> None:
    with pytest.raises(DatabaseError, match="9 workers are asked for, but Ray has 2 cores"):
        list(Ray(cluster, workers=9).run(jobs))


def test_what_is_not_there_is_named(jobs: Sequence[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Ray(workers=0)
    assert list(Ray("127.0.0.1:9").run([])) == []
    started = time.monotonic()
    with pytest.raises(DatabaseError, match=r"no Ray cluster answers at '127\.0\.0\.1:9'"):
        list(Ray("127.0.0.1:9").run(jobs))
    assert time.monotonic() - started < 6
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DatabaseError, match=r"not installed.*metad2a\[ray\]"):
        list(Ray().run(jobs))
