from collections.abc import Sequence

import pytest

from metad2a.database.planning import plan, sample_tasks
from metad2a.database.records import GLYPHS, Job
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """Two epochs on 8-pixel images: a few hundredths of a second a network."""
    return Recipe(
        name="tiny",
        epochs=2,
        batch_size=8,
        learning_rate=0.1,
        schedule="one_cycle",
        warmup=0.3,
        flip=True,
        crop_padding=1,
        resolution=8,
        scale={"channels": 2, "cells": 1},
    )


@pytest.fixture(scope="session")
def jobs(tiny_recipe: Recipe) -> Sequence[Job]:
    """Three tasks with three cells each."""
    tasks = sample_tasks(GLYPHS, 3, classes_per_task=3, images_per_class=12, seed=5)
    return plan(NASBench201(), tasks, archs_per_task=3, recipe=tiny_recipe, seed=1)
