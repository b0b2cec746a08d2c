"""Which labels a database should hold: tasks and architectures drawn at random."""

from collections.abc import Sequence

import numpy as np

from metad2a.data.glyphs import glyph_classes
from metad2a.data.image_set import ImageSet
from metad2a.database.records import GLYPHS, Job, Task
from metad2a.errors import ConfigError
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace

_TRIES = 100


def sample_tasks(
    source: str,
    n: int,
    *,
    classes_per_task: int,
    images_per_class: int,
    seed: int,
    valid_fraction: float = 0.25,
    classes: Sequence[str] | None = None,
) -> list[Task]:
    """Return ``n`` tasks of random classes of ``source``; task number ``i`` does not depend on ``n``.

    Args:
        source: what ``ImageSet.open`` takes.
        n: number of tasks.
        classes_per_task: drawn without replacement.
        images_per_class: for training and validation together.
        seed: of all choices.
        valid_fraction: share of every class's images for validation.
        classes: those to draw from; all of the source when None.

    Raises:
        ConfigError: there are not enough classes, or a number cannot be used.
        DataError: the source cannot be opened.
    """
    if classes is None:
        classes = glyph_classes() if source == GLYPHS else ImageSet.open(source).classes
    if not 2 <= classes_per_task <= len(classes):
        raise ConfigError(
            f"classes_per_task is {classes_per_task}, but must be between 2 and the {len(classes)} classes "
            f"of '{source}'."
        )
    if n < 1 or images_per_class < 2 or not 0 < valid_fraction < 1:
        raise ConfigError(
            f"cannot sample {n} tasks of {images_per_class} images a class, {valid_fraction} of them for "
            "validation: give at least 1 task, 2 images and a share between 0 and 1."
        )
    tasks = []
    for number in range(n):
        rng = numpy_rng("sample-tasks", seed, number)
        chosen = rng.choice(len(classes), classes_per_task, replace=False)
        tasks.append(
            Task(
                source=source,
                classes=tuple(classes[i] for i in chosen),
                images_per_class=images_per_class,
                seed=int(rng.integers(2**31)),
                valid_fraction=valid_fraction,
            )
        )
    return tasks


def plan(
    space: SearchSpace,
    tasks: Sequence[Task],
    *,
    archs_per_task: int,
    recipe: Recipe,
    seeds: Sequence[int] = (0,),
    seed: int = 0,
) -> list[Job]:
    """Return the jobs that label random architectures on every task.

    Architectures are drawn uniformly from the space, nothing is known of their quality. A task has no two that
    compute the same functions. The jobs of one task do not depend on the other tasks.

    Args:
        space: to draw from.
        tasks: to label on.
        archs_per_task: drawn for each task anew.
        recipe: how the networks are trained.
        seeds: each architecture is trained once from each.
        seed: of the choice of the architectures.

    Raises:
        ConfigError: the space has too few architectures, or nothing is asked for.
    """
    if archs_per_task < 1 or not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(
            f"cannot plan {archs_per_task} architectures a task with the seeds {list(seeds)}: "
            "give at least one of each, and no seed twice."
        )
    return [
        Job(task=task, space=space.name, arch=space.format(arch), canonical=text, recipe=recipe, seed=train_seed)
        for task in tasks
        for text, arch in _distinct(space, archs_per_task, numpy_rng("plan", seed, task.id)).items()
        for train_seed in seeds
    ]


def _distinct(space: SearchSpace, count: int, rng: np.random.Generator) -> dict[str, Architecture]:
    found: dict[str, Architecture] = {}
    for _ in range(_TRIES):
        for arch in space.sample(count, rng):
            if len(found) < count:
                found.setdefault(space.canonical(arch), arch)
        if len(found) == count:
            return found
    raise ConfigError(
        f"{_TRIES * count} draws from space '{space.name}' gave only {len(found)} architectures that differ, "
        f"but {count} a task are asked for. Lower archs_per_task."
    )
