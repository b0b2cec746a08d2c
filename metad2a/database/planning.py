"""Which labels a database should hold: tasks and architectures drawn at random."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from metad2a.data.glyphs import glyph_classes
from metad2a.data.image_set import ImageSet
from metad2a.database.records import GLYPHS, Job, Split, Task, pick_classes
from metad2a.database.sources import ImageSources
from metad2a.errors import ConfigError
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import numpy_rng, stream_seed
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.extremes import sample_sizes
from metad2a.spaces.product import ProductSpace

_TRIES = 100
ImagesPerClass = int | tuple[int, int] | None
"""A number; or the least and the most, between which a task takes as many as its scarcest class has; None: all."""


def sample_tasks(
    source: str,
    n: int,
    *,
    classes_per_task: int | tuple[int, int],
    images_per_class: ImagesPerClass,
    seed: int,
    valid_fraction: float = 0.25,
    classes: Sequence[str] | None = None,
    sources: ImageSources | None = None,
) -> list[Task]:
    """Return ``n`` tasks of random classes of ``source``; task number ``i`` does not depend on ``n``.

    Args:
        source: what ``ImageSet.open`` takes, or a name of ``sources``.
        n: number of tasks.
        classes_per_task: drawn without replacement; or the least and the most, every number in between as likely.
        images_per_class: for training and validation together.
        seed: of all choices.
        valid_fraction: share of every class's images for validation.
        classes: those to draw from; all of the source when None.
        sources: where the images of ``source`` are.

    Raises:
        ConfigError: there are not enough classes, a class has too few images, or a number cannot be used.
        DataError: the source cannot be opened.
    """
    sources = ImageSources() if sources is None else sources
    if classes is None:
        classes = glyph_classes() if source == GLYPHS else sources.open(source).classes
    least, most = (classes_per_task,) * 2 if isinstance(classes_per_task, int) else classes_per_task
    if not 2 <= least <= most <= len(classes):
        raise ConfigError(
            f"classes_per_task is {_text(least, most)}, but must be between 2 and the {len(classes)} classes "
            f"of '{source}' there are to choose from."
        )
    if n < 1:
        raise ConfigError(f"cannot sample {n} tasks of '{source}': give at least 1 task.")
    tasks = []
    for number in range(n):
        rng = numpy_rng("sample-tasks", seed, number)
        count = least if least == most else int(rng.integers(least, most + 1))
        chosen = rng.choice(len(classes), count, replace=False)
        tasks.append(
            make_task(
                source,
                [classes[i] for i in chosen],
                images_per_class=images_per_class,
                seed=int(rng.integers(2**31)),
                valid_fraction=valid_fraction,
                sources=sources,
            )
        )
    return tasks


def make_task(
    source: str,
    classes: Sequence[str],
    *,
    images_per_class: ImagesPerClass,
    seed: int,
    valid_fraction: float,
    sources: ImageSources,
) -> Task:
    """Return the task of these ``classes``; see ``sample_tasks``.

    Raises:
        ConfigError: a number cannot be used, or a class has too few images.
        DataError: the source cannot be opened.
        UnknownNameError: it has no such class.
    """
    least, most = _bounds(images_per_class)
    if len(classes) < 2 or least < 2 or not 0 < valid_fraction < 1:
        raise ConfigError(
            f"no task can have {len(classes)} classes of {least} images, {valid_fraction} of them for "
            f"validation (source '{source}'): give at least 2 classes, 2 images and a share between 0 and 1."
        )
    if source != GLYPHS:
        most = _as_many_as_there_are(pick_classes(sources.open(source), classes, source), source, least, most)
    elif least < most:
        raise ConfigError(f"images_per_class is no number, but '{source}' are drawn, not found. Give a number.")
    return Task(source, tuple(classes), most, seed, valid_fraction)


def _bounds(images_per_class: ImagesPerClass) -> tuple[int, int]:
    """Return the least and the most images of a class."""
    if images_per_class is None:
        return 2, sys.maxsize
    least, most = (images_per_class,) * 2 if isinstance(images_per_class, int) else images_per_class
    if least > most:
        raise ConfigError(f"images_per_class is {_text(least, most)}: give the least first, then the most.")
    return least, most


def _as_many_as_there_are(images: ImageSet, source: str, least: int, most: int) -> int:
    """Return the number of images of the scarcest class, but no more than ``most``; refuse less than ``least``."""
    scarcest = int(images.counts.argmin())
    count = int(images.counts[scarcest])
    if count < least:
        fewer = (
            f"give images_per_class=[2,{most}] (as many as a task's scarcest class has), or " if least > 2 else ""
        )
        raise ConfigError(
            f"class '{images.classes[scarcest]}' of '{source}' has {count} images, but a task takes {least} of "
            f"each class (images_per_class): {fewer}leave that class out."
        )
    return min(count, most)


def plan(
    space: SearchSpace,
    tasks: Sequence[Task],
    *,
    archs_per_task: int | None = None,
    n: int | None = None,
    sizes_per_task: int = 0,
    recipe: Recipe,
    seeds: Sequence[int] = (0,),
    repeat_fraction: float = 0.0,
    seed: int = 0,
    splits: Mapping[str, Split] | None = None,
) -> list[Job]:
    """Return the jobs that label random architectures on every task.

    Architectures are drawn uniformly from the space, or over all sizes: nothing is known of their quality. A task
    has no two that compute the same functions. The jobs of one task do not depend on the other tasks, and more
    architectures a task contain the fewer.

    Args:
        space: to draw from.
        tasks: to label on.
        archs_per_task: drawn for each task anew.
        n: pairs of a task and an architecture in all, spread evenly; in place of ``archs_per_task``.
        sizes_per_task: as many more for each task, from the smallest to the largest, see ``sample_sizes``: in large
            spaces uniform ones are all of middling size, and say nothing of others.
        recipe: how the networks are trained.
        seeds: each architecture is trained once from each.
        repeat_fraction: share of the pairs, drawn by chance, that are trained from one more seed (the one after the
            largest of ``seeds``), to know how much labels depend on it.
        seed: of the choice of the architectures and of what is repeated.
        splits: by id of the task, the part of the published split that its labels belong to.

    Raises:
        ConfigError: the space has too few architectures, nothing is asked for, or ``sizes_per_task`` of a space
            whose decisions depend on each other.
    """
    counts = _counts(len(tasks), archs_per_task, n)
    if not seeds or len(set(seeds)) < len(seeds) or not 0 <= repeat_fraction <= 1:
        raise ConfigError(
            f"cannot train from the seeds {list(seeds)}, and {repeat_fraction} of the pairs from one more: give at "
            "least one seed, no seed twice, and a share from 0 to 1."
        )
    return [
        Job(
            task=task,
            space=space.name,
            arch=space.format(arch),
            canonical=text,
            recipe=recipe,
            seed=train_seed,
            split=(splits or {}).get(task.id),
        )
        for task, count in zip(tasks, counts, strict=True)
        for text, arch in _archs(space, count, sizes_per_task, seed, task.id).items()
        for train_seed in (*seeds, *_repeat(seeds, repeat_fraction, seed, task.id, text))
    ]


def _counts(tasks: int, archs_per_task: int | None, n: int | None) -> list[int]:
    if (archs_per_task is None) == (n is None):
        raise ConfigError("give either archs_per_task or n, the number of pairs in all.")
    if archs_per_task is not None and archs_per_task < 1:
        raise ConfigError(f"cannot plan {archs_per_task} architectures a task: give at least one.")
    if n is not None and n < 1:
        raise ConfigError(f"cannot plan {n} pairs of a task and an architecture: give at least one.")
    if n is None:
        return [archs_per_task or 0] * tasks
    each, more = divmod(n, max(tasks, 1))
    return [each + (number < more) for number in range(tasks)]


def _repeat(seeds: Sequence[int], fraction: float, seed: int, task: str, arch: str) -> tuple[int, ...]:
    """Return the further seed of a pair, or none; it does not depend on which other pairs there are."""
    if fraction and stream_seed("repeat", seed, task, arch) < fraction * 2**63:
        return (max(seeds) + 1,)
    return ()


def _text(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _archs(space: SearchSpace, uniform: int, sized: int, seed: int, task: str) -> dict[str, Architecture]:
    """Return the architectures of a task by canonical text: uniform ones, then those of all sizes."""
    found = _more({}, space.sample, uniform, numpy_rng("plan", seed, task), space)
    if not sized:
        return found
    if not isinstance(space, ProductSpace) or sized < 0:
        raise ConfigError(
            f"sizes_per_task={sized}: give a number from 0, and 0 for '{space.name}' unless its decisions are "
            "independent (a ProductSpace)."
        )
    return _more(found, partial(sample_sizes, space), sized, numpy_rng("plan sizes", seed, task), space)


def _more(
    known: dict[str, Architecture],
    draw: Callable[[int, np.random.Generator], list[Architecture]],
    count: int,
    rng: np.random.Generator,
    space: SearchSpace,
) -> dict[str, Architecture]:
    """Return ``known`` and ``count`` more that are drawn, none of them another one's equal."""
    found, wanted = dict(known), len(known) + count
    for _ in range(_TRIES):
        if len(found) == wanted:
            return found
        for arch in draw(count, rng):
            if len(found) < wanted:
                found.setdefault(space.canonical(arch), arch)
    if len(found) == wanted:
        return found
    raise ConfigError(
        f"{_TRIES * count} draws from space '{space.name}' gave only {len(found)} architectures that differ, "
        f"but {wanted} a task are asked for. Ask for fewer a task."
    )
