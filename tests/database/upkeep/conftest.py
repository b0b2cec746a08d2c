"""A store of a size that fills some pages of its file; its accuracies are drawn, not trained."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from metad2a.database.planning import plan, sample_tasks
from metad2a.database.published import record_row
from metad2a.database.records import GLYPHS, Job, Record
from metad2a.database.store import Store
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import numpy_rng
from metad2a.spaces.nasbench201 import NASBench201

LICENCES = {GLYPHS: "ours"}


def drawn(job: Job) -> Record:
    """Return a record of ``job`` as training gives it, with numbers that depend on the job."""
    rng = numpy_rng("drawn", job.key)
    accuracies = (100 * rng.random(job.recipe.epochs)).tolist()
    curve = [
        {"epoch": number, "step": 9 * number, "lr": 0.1, "train/loss": float(rng.random()), "val/accuracy": value}
        for number, value in enumerate(accuracies, start=1)
    ]
    return Record.of(
        job, status="ok", accuracy=accuracies[-1], best_accuracy=max(accuracies), curve=curve, seconds=0.5
    )


@pytest.fixture(scope="session")
def many_jobs(tiny_recipe: Recipe) -> Sequence[Job]:
    """Six tasks with forty cells each."""
    tasks = sample_tasks(GLYPHS, 6, classes_per_task=3, images_per_class=12, seed=8)
    return plan(NASBench201(), tasks, archs_per_task=40, recipe=tiny_recipe)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a store with the records of some jobs."""

    def make(jobs: Sequence[Job], name: str = "db") -> Path:
        path = tmp_path / name / "store.sqlite"
        with Store(path) as store:
            store.announce(jobs)
            store.describe(sources=LICENCES, name=name, command=f"build {name}")
            store.put_rows([record_row(drawn(job)) for job in jobs])
        return path

    return make


@pytest.fixture
def damage() -> Callable[..., None]:
    """Return a function that overwrites a part of a file with noise."""

    def damage(path: Path, start: float, length: int) -> None:
        content = bytearray(path.read_bytes())
        at = int(start * len(content))
        content[at : at + length] = np.random.default_rng(0).bytes(length)
        path.write_bytes(content)

    return damage
