from dataclasses import replace

import numpy as np
import pytest

from metad2a.database.records import GLYPHS, Job, Record, Task, record_key
from metad2a.errors import DatabaseError, UnknownNameError
from metad2a.fitting.recipe import Recipe

TASK = Task(GLYPHS, ("A", "g", "8"), images_per_class=8, seed=3, valid_fraction=0.25)


def test_ids_depend_on_everything() -> None:
    others = [
        replace(TASK, source="embedded:digits"),
        replace(TASK, classes=("g", "A", "8")),
        replace(TASK, images_per_class=9),
        replace(TASK, seed=4),
        replace(TASK, valid_fraction=0.5),
        replace(TASK, seed=None),
    ]
    assert len({TASK.id} | {other.id for other in others}) == len(others) + 1
    assert replace(TASK).id == TASK.id


def test_ids_are_for_ever() -> None:
    assert TASK.id == "6bf81f0c4e614a037c825a45"
    assert record_key(TASK.id, "nasbench201", "a", "r", 0) == "bdf327ec0054e31d2fb64c76"


def test_keys_depend_on_task_architecture_recipe_and_seed(tiny_recipe: Recipe) -> None:
    job = Job(TASK, "nasbench201", "a", "c", tiny_recipe, 0)
    others = [
        replace(job, task=replace(TASK, seed=4)),
        replace(job, space="other"),
        replace(job, arch="b"),
        replace(job, recipe=replace(tiny_recipe, epochs=3)),
        replace(job, seed=1),
    ]
    assert len({job.key} | {other.key for other in others}) == len(others) + 1
    assert len({job.stream} | {other.stream for other in others}) == len(others) + 1
    renamed = replace(job, recipe=replace(tiny_recipe, name="other"), canonical="d")
    assert (renamed.key, renamed.stream) == (job.key, job.stream)


def test_a_task_opens_the_same_images_every_time_and_keeps_them_apart() -> None:
    train, valid = TASK.open()
    assert train.classes == valid.classes == TASK.classes
    assert train.counts.tolist() == [6, 6, 6]
    assert valid.counts.tolist() == [2, 2, 2]
    again, _ = TASK.open()
    assert np.array_equal(train.load(range(18), 8), again.load(range(18), 8))
    assert not set(train.content_keys(range(18))) & set(valid.content_keys(range(6)))
    other, _ = replace(TASK, seed=4).open()
    assert not np.array_equal(train.load(range(18), 8), other.load(range(18), 8))


def test_a_task_of_found_images_takes_some_of_each_class() -> None:
    task = Task("embedded:digits", ("7", "1"), images_per_class=20, seed=0, valid_fraction=0.5)
    train, valid = task.open()
    assert train.classes == ("7", "1")
    assert train.counts.tolist() == valid.counts.tolist() == [10, 10]
    other, _ = replace(task, seed=1).open()
    assert train.content_keys(range(20)) != other.content_keys(range(20))


def test_tasks_that_cannot_be_opened_say_why() -> None:
    digits = Task("embedded:digits", ("7", "1"), images_per_class=20, seed=0, valid_fraction=0.5)
    with pytest.raises(UnknownNameError, match="class of 'embedded:digits' 'seven'"):
        replace(digits, classes=("seven", "1")).open()
    with pytest.raises(DatabaseError, match="Lower images_per_class"):
        replace(digits, images_per_class=10_000).open()
    with pytest.raises(DatabaseError, match="does not say which images"):
        replace(digits, images_per_class=None).open()


def test_a_record_carries_its_job(tiny_recipe: Recipe) -> None:
    job = Job(TASK, "nasbench201", "a", "c", tiny_recipe, 2)
    record = Record.failure(job, "why")
    assert (record.key, record.task, record.recipe, record.seed) == (job.key, TASK.id, tiny_recipe.fingerprint, 2)
    assert (record.status, record.error, record.accuracy) == ("failed", "why", None)
    assert set(record.versions) == {"metad2a", "python", "torch", "numpy"}
