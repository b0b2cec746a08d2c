import pytest

from metad2a.data.glyphs import glyph_classes
from metad2a.database.planning import plan, sample_tasks
from metad2a.database.records import GLYPHS, Task
from metad2a.errors import ConfigError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201


def some_tasks(n: int = 6, seed: int = 0) -> list[Task]:
    return sample_tasks(GLYPHS, n, classes_per_task=5, images_per_class=8, seed=seed)


def test_tasks_are_distinct_repeatable_and_independent_of_their_number() -> None:
    tasks = some_tasks()
    assert tasks == some_tasks()
    assert tasks[:3] == some_tasks(3)
    assert len({task.id for task in tasks}) == len({task.seed for task in tasks}) == 6
    assert not {task.id for task in tasks} & {task.id for task in some_tasks(seed=1)}
    for task in tasks:
        assert len(set(task.classes)) == 5
        assert set(task.classes) <= set(glyph_classes())


def test_classes_can_be_kept_back() -> None:
    tasks = sample_tasks(GLYPHS, 20, classes_per_task=3, images_per_class=8, seed=0, classes=["a", "b", "c", "d"])
    assert {name for task in tasks for name in task.classes} == {"a", "b", "c", "d"}


def test_any_image_source_gives_tasks() -> None:
    (task,) = sample_tasks("embedded:digits", 1, classes_per_task=4, images_per_class=8, seed=0)
    train, valid = task.open()
    assert train.counts.tolist() == [6] * 4
    assert valid.counts.tolist() == [2] * 4


def test_architectures_differ_within_a_task_and_between_tasks(tiny_recipe: Recipe) -> None:
    space, tasks = NASBench201(), some_tasks()
    jobs = plan(space, tasks, archs_per_task=30, recipe=tiny_recipe, seeds=(0, 1))
    assert jobs == plan(space, tasks, archs_per_task=30, recipe=tiny_recipe, seeds=(0, 1))
    assert len({job.key for job in jobs}) == len(jobs) == 6 * 30 * 2
    cells = [{job.canonical for job in jobs if job.task == task} for task in tasks]
    assert all(len(some) == 30 for some in cells)
    assert cells[0] != cells[1]
    assert all(space.canonical(space.parse(job.arch)) == job.canonical for job in jobs)
    assert [job.task for job in jobs[::60]] == tasks
    alone = plan(space, tasks[2:3], archs_per_task=30, recipe=tiny_recipe, seeds=(0, 1))
    assert alone == jobs[120:180]
    other = plan(space, tasks, archs_per_task=30, recipe=tiny_recipe, seed=1)
    assert {job.arch for job in other} != {job.arch for job in jobs}


class TwoCells(NASBench201):
    """A space so small that it is soon used up."""

    def canonical(self, arch: object) -> str:
        return str(hash(arch) % 2)


def test_impossible_wishes_are_refused(tiny_recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match="only 2 architectures that differ"):
        plan(TwoCells(), some_tasks(1), archs_per_task=3, recipe=tiny_recipe)
    with pytest.raises(ConfigError, match="no seed twice"):
        plan(NASBench201(), some_tasks(1), archs_per_task=3, recipe=tiny_recipe, seeds=(1, 1))
    with pytest.raises(ConfigError, match="between 2 and the 10 classes"):
        sample_tasks("embedded:digits", 1, classes_per_task=11, images_per_class=8, seed=0)
    with pytest.raises(ConfigError, match="at least 1 task"):
        sample_tasks("embedded:digits", 0, classes_per_task=2, images_per_class=8, seed=0)
