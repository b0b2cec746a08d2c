import pytest

from metad2a.data.glyphs import glyph_classes
from metad2a.database.planning import plan, sample_tasks
from metad2a.database.records import GLYPHS, Record, Task
from metad2a.errors import ConfigError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201

TALL = ":k7e6-k7e6-k7e6-k7e6"


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


def test_pairs_are_spread_evenly_and_more_begin_with_the_fewer(tiny_recipe: Recipe) -> None:
    tasks = some_tasks()
    for space in (NASBench201(), MobileNetV3()):
        fewer, more = (plan(space, tasks, n=n, recipe=tiny_recipe) for n in (45, 200))
        assert len(fewer) == 45
        counts = [sum(job.task == task for job in fewer) for task in tasks]
        assert counts == [8, 8, 8, 7, 7, 7]
        for task in tasks:
            some, all_ = ([job for job in jobs if job.task == task] for jobs in (fewer, more))
            assert some == all_[: len(some)]
    assert [job.task for job in plan(NASBench201(), tasks, n=2, recipe=tiny_recipe)] == tasks[:2]


def test_networks_of_all_sizes_come_beside_uniform_ones(tiny_recipe: Recipe) -> None:
    space, tasks = MobileNetV3(), some_tasks(2)
    plain = plan(space, tasks, archs_per_task=5, recipe=tiny_recipe)
    jobs = plan(space, tasks, archs_per_task=5, sizes_per_task=4, recipe=tiny_recipe)
    sized = [job for job in jobs if job not in plain]
    assert (len(plain), len(sized), len(jobs)) == (10, 8, 18)
    params = space.params([space.parse(job.arch) for job in sized], 10).reshape(2, 4)
    ends = [space.params([space.parse("+".join([stage] * 5))], 10)[0] for stage in ("d2:k3e3-k3e3", "d4" + TALL)]
    assert params[:, :2].tolist() == [ends, ends]
    assert sized[2].arch != sized[6].arch
    more = plan(space, tasks, archs_per_task=5, sizes_per_task=6, recipe=tiny_recipe)
    assert {job.key for job in jobs} < {job.key for job in more}


def test_some_pairs_are_trained_twice(tiny_recipe: Recipe) -> None:
    tasks = some_tasks()
    plain = plan(NASBench201(), tasks, n=600, recipe=tiny_recipe, seeds=(0, 3))
    jobs = plan(NASBench201(), tasks, n=600, recipe=tiny_recipe, seeds=(0, 3), repeat_fraction=0.1)
    again = [job for job in jobs if job.seed == 4]
    assert [job for job in jobs if job.seed != 4] == plain
    assert 40 <= len(again) <= 80
    first = {(job.task.id, job.arch) for job in plan(NASBench201(), tasks, n=600, recipe=tiny_recipe)}
    assert {(job.task.id, job.arch) for job in again} <= first
    fewer = plan(NASBench201(), tasks, n=300, recipe=tiny_recipe, seeds=(0, 3), repeat_fraction=0.1)
    assert {job.key for job in fewer} < {job.key for job in jobs}
    every = plan(NASBench201(), tasks, n=60, recipe=tiny_recipe, repeat_fraction=1.0)
    assert len(every) == 120


def test_a_job_knows_its_part_of_the_split(tiny_recipe: Recipe) -> None:
    tasks = some_tasks(2)
    plain = plan(NASBench201(), tasks, archs_per_task=1, recipe=tiny_recipe)
    jobs = plan(NASBench201(), tasks, archs_per_task=1, recipe=tiny_recipe, splits={tasks[1].id: "valid"})
    assert [job.split for job in jobs] == [None, "valid"]
    assert [job.key for job in jobs] == [job.key for job in plain]
    assert Record.failure(jobs[1], "why").split == "valid"


def test_numbers_that_cannot_be_planned(tiny_recipe: Recipe) -> None:
    wishes = [
        {},
        {"n": 3, "archs_per_task": 3},
        {"n": 0},
        {"archs_per_task": 0},
        {"n": 3, "repeat_fraction": 1.5},
        {"n": 3, "seeds": ()},
        {"n": 3, "sizes_per_task": -1},
    ]
    for wish in wishes:
        with pytest.raises(ConfigError, match="give"):
            plan(NASBench201(), some_tasks(1), recipe=tiny_recipe, **wish)  # type: ignore[arg-type]
