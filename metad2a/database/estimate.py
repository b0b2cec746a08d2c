"""How long a build will take, from a few of its networks trained for an epoch or two."""

import contextlib
import math
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metad2a.database.labelling import TaskImages, label, make_network, one_thread
from metad2a.database.records import Job
from metad2a.database.sources import ImageSources
from metad2a.errors import DatabaseError, MetaD2AError
from metad2a.fitting.network import fit_network
from metad2a.fitting.recipe import InheritedRecipe
from metad2a.runtime import numpy_rng

_SAMPLE = 24  # networks at most
_STEADY_S = 1.0  # an epoch that took so long says enough; a shorter one begins with what is done only once


@dataclass(frozen=True)
class Estimate:
    """What labels will cost.

    Attributes:
        labels: to compute.
        measured: of them, in part.
        seconds: that one core of this machine needs for all of them.
        error: standard error of ``seconds``, from the differences between those measured; None for a single one.
    """

    labels: int
    measured: int
    seconds: float
    error: float | None


def estimate(
    jobs: Sequence[Job], images: Mapping[str, str] | None = None, *, budget: float = 60.0, seed: int = 0
) -> Estimate:
    """Train a random few of ``jobs`` for an epoch or two, keep nothing, and say what all of them will take.

    Args:
        jobs: labels to compute.
        images: where the images of sources are, see ``ImageSources``.
        budget: seconds after which no other network is begun.
        seed: of the choice.

    Raises:
        DatabaseError: none of them could be trained.
    """
    sources, of_task = ImageSources(images), Counter(job.task.id for job in jobs)
    begun, costs, problem = time.monotonic(), list[float](), ""
    for number in numpy_rng("estimate", seed).permutation(len(jobs))[:_SAMPLE]:
        if costs and time.monotonic() - begun > budget:
            break
        job = jobs[number]
        try:
            costs.append(_cost(job, sources, of_task[job.task.id]))
        except MetaD2AError as error:
            problem = problem or str(error)
    if jobs and not costs:
        raise DatabaseError(f"nothing could be measured, since no network could be trained: {problem}")
    mean = statistics.fmean(costs) if costs else 0.0
    spread = statistics.stdev(costs) / math.sqrt(len(costs)) * len(jobs) if len(costs) > 1 else None
    return Estimate(labels=len(jobs), measured=len(costs), seconds=mean * len(jobs), error=spread)


class _Enough(Exception):  # noqa: N818 - nothing is wrong
    """Ends a training that has been measured."""


def _cost(job: Job, sources: ImageSources, labels_of_task: int) -> float:
    """Return the seconds of one label; those of reading a task's images are shared by its labels."""
    started = time.thread_time()
    with one_thread():
        images = TaskImages.read(job.task, job.recipe.resolution, sources)
        read = time.thread_time()
        if isinstance(job.recipe, InheritedRecipe):
            return (read - started) / labels_of_task + _inherited_cost(job, images)
        epochs = [read]

        def on_epoch(_row: Any) -> None:
            epochs.append(time.thread_time())
            if epochs[-1] - epochs[-2] > _STEADY_S or len(epochs) > 2:
                raise _Enough

        net, parts = make_network(job), (images.train, images.valid)
        with contextlib.suppress(_Enough):
            fit_network(net, *parts, job.recipe, seed=job.stream, on_epoch=on_epoch)
    first, last = epochs[1] - epochs[0], epochs[-1] - epochs[-2]
    return (read - started) / labels_of_task + first + last * (job.recipe.epochs - 1)


def _inherited_cost(job: Job, images: TaskImages) -> float:
    record = label(job, images)
    if record.seconds is None:
        raise DatabaseError(record.error or "")
    return record.seconds
