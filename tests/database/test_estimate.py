import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from metad2a.database.estimate import Estimate, estimate
from metad2a.database.executors import Inline
from metad2a.database.planning import plan, sample_tasks
from metad2a.database.records import GLYPHS, Job
from metad2a.errors import DatabaseError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201


def test_an_estimate_is_near_what_it_takes() -> None:
    scale = {"channels": 4, "cells": 1}
    recipe = Recipe("some", epochs=12, batch_size=16, learning_rate=0.1, resolution=8, scale=scale)
    tasks = sample_tasks(GLYPHS, 2, classes_per_task=4, images_per_class=40, seed=0)
    jobs = plan(NASBench201(), tasks, archs_per_task=4, recipe=recipe)
    found = estimate(jobs)
    assert (found.labels, found.measured) == (8, 8)
    assert found.error is not None
    assert 0 < found.error < found.seconds
    took = sum(record.seconds or 0.0 for record in Inline().run(jobs))
    assert took / 2 < found.seconds < took * 2


def test_little_time_measures_little(jobs: Sequence[Job]) -> None:
    found = estimate(jobs, budget=0.0)
    assert (found.labels, found.measured, found.error) == (9, 1, None)
    started = time.monotonic()
    long = [replace(job, recipe=replace(job.recipe, epochs=100_000)) for job in jobs]
    assert estimate(long, budget=0.0).seconds > 9 * 1000
    assert time.monotonic() - started < 60
    assert estimate([]) == Estimate(labels=0, measured=0, seconds=0.0, error=None)


def test_networks_that_cannot_be_trained_are_passed_over(jobs: Sequence[Job]) -> None:
    lost = [replace(job, task=replace(job.task, source="no/such/folder")) for job in jobs]
    with pytest.raises(DatabaseError, match="no/such/folder"):
        estimate(lost)
    assert estimate([*jobs, *lost]).measured == len(jobs)
