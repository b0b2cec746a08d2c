"""Finding out one label: the work that executors hand out."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from metad2a.database.records import GLYPHS, Job, Record, Task
from metad2a.database.sources import ImageSources
from metad2a.errors import ConfigError
from metad2a.fitting.loop import Row
from metad2a.fitting.network import LabelledImages, fit_network, seeded
from metad2a.fitting.recipe import InheritedRecipe
from metad2a.oracles.supernet import SupernetOracle, supernet_of
from metad2a.spaces.mobile import MobileSpace
from metad2a.spaces.registry import get_space


@dataclass(frozen=True)
class TaskImages:
    """The images of a task, as networks get them.

    Attributes:
        train: to learn from.
        valid: to measure on.
    """

    train: LabelledImages
    valid: LabelledImages

    @classmethod
    def read(cls, task: Task, resolution: int, sources: ImageSources) -> "TaskImages":
        """Read them, ``resolution`` pixels a side.

        Raises:
            DatabaseError: it is not known which images they are.
            DataError: the source is not there or has too few images.
            UnknownNameError: the source has no class of this name.
        """
        images = None if task.source == GLYPHS else sources.open(task.source)
        train, valid = task.open(images)
        return cls(LabelledImages.of(train, resolution), LabelledImages.of(valid, resolution))


class Labeller:
    """Trains networks one after the other, or lets them inherit weights, and keeps the images of the last task.

    Args:
        images: where the images of sources are, see ``ImageSources``.
    """

    def __init__(self, images: Mapping[str, str] | None = None) -> None:
        self._sources = ImageSources(images)
        self._prepared: tuple[str, int] | None = None
        self._images: TaskImages | None = None

    def label(self, job: Job) -> Record:
        """Return the record of ``job``; if it cannot be done, the record says why."""
        try:
            images = self._read(job)
        except Exception as error:
            return Record.failure(job, reason(error))
        return label(job, images)

    def _read(self, job: Job) -> TaskImages:
        wanted = (job.task.id, job.recipe.resolution)
        if self._images is None or self._prepared != wanted:
            self._images = TaskImages.read(job.task, job.recipe.resolution, self._sources)
            self._prepared = wanted
        return self._images


def label(job: Job, images: TaskImages) -> Record:
    """Return the record of ``job`` on the images of its task; if it cannot be done, the record says why."""
    try:
        with one_thread():
            return (
                _inherit(job, job.recipe, images)
                if isinstance(job.recipe, InheritedRecipe)
                else _train(job, images)
            )
    except Exception as error:
        return Record.failure(job, reason(error))


def reason(error: Exception) -> str:
    """Return what a record says of an error."""
    return f"{type(error).__name__}: {error}"


def make_network(job: Job) -> nn.Module:
    """Return the network of ``job`` with its first weights."""
    space = get_space(job.space)
    with seeded(job.stream):
        return space.build(space.parse(job.arch), len(job.task.classes), **job.recipe.scale)


def _train(job: Job, images: TaskImages) -> Record:
    started = time.thread_time()
    fit = fit_network(make_network(job), images.train, images.valid, job.recipe, seed=job.stream)
    return Record.of(
        job,
        status="ok",
        accuracy=fit.accuracy,
        best_accuracy=fit.best_accuracy,
        curve=fit.curve,
        seconds=time.thread_time() - started,
    )


def _inherit(job: Job, recipe: InheritedRecipe, images: TaskImages) -> Record:
    space = get_space(job.space)
    if not isinstance(space, MobileSpace):
        raise ConfigError(
            f"space '{job.space}' has no supernet: mobile networks alone have. Set space=mobilenetv3."
        )
    started = time.thread_time()
    oracle = SupernetOracle(
        supernet_of(recipe),
        images.train,
        images.valid,
        job.task.classes,
        space=space,
        calibration=recipe.calibration,
    )
    [measured] = oracle.measure([space.parse(job.arch)], seed=job.seed)
    curve: list[Row] = [{"epoch": 0, "val/accuracy": measured.accuracy, "val/loss": measured.loss}]
    seconds = time.thread_time() - started
    return Record.of(job, status="ok", accuracy=measured.accuracy, curve=curve, seconds=seconds)


@contextmanager
def one_thread() -> Iterator[None]:
    """Results depend on the number of threads in the last digits, so every executor uses one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
