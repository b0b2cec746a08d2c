"""Finding out one label: the work that executors hand out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from metad2a.database.records import GLYPHS, Job, Record
from metad2a.database.sources import ImageSources
from metad2a.fitting.network import LabelledImages, fit_network, seeded
from metad2a.spaces.registry import get_space


class Labeller:
    """Trains networks one after the other, and keeps the images of the last task for the next job.

    Args:
        images: where the images of sources are, see ``ImageSources``.
    """

    def __init__(self, images: Mapping[str, str] | None = None) -> None:
        self._sources = ImageSources(images)
        self._prepared: tuple[str, int] | None = None
        self._images: tuple[LabelledImages, LabelledImages] | None = None

    def label(self, job: Job) -> Record:
        """Return the record of ``job``; if it cannot be done, the record says why."""
        try:
            with _one_thread():
                return self._train(job)
        except Exception as error:
            return Record.failure(job, f"{type(error).__name__}: {error}")

    def _train(self, job: Job) -> Record:
        space = get_space(job.space)
        train, valid = self._open(job)
        with seeded(job.stream):
            net = space.build(space.parse(job.arch), len(job.task.classes), **job.recipe.scale)
        fit = fit_network(net, train, valid, job.recipe, seed=job.stream)
        return Record.of(
            job,
            status="ok",
            accuracy=fit.accuracy,
            best_accuracy=fit.best_accuracy,
            curve=fit.curve,
            seconds=fit.seconds,
        )

    def _open(self, job: Job) -> tuple[LabelledImages, LabelledImages]:
        wanted = (job.task.id, job.recipe.resolution)
        if self._images is None or self._prepared != wanted:
            source = job.task.source
            images = None if source == GLYPHS else self._sources.open(source)
            train, valid = (LabelledImages.of(part, job.recipe.resolution) for part in job.task.open(images))
            self._prepared, self._images = wanted, (train, valid)
        return self._images


@contextmanager
def _one_thread() -> Iterator[None]:
    """Results depend on the number of threads in the last digits, so every executor uses one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
