"""Where a data set lies among the classes and tasks of meta-training."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metad2a.data.features import FeatureSet
from metad2a.models.reference import Reference, class_means

UNUSUAL, FAR = 90.0, 97.0
"""Percentiles of the typical class from which on a data set is unusual, and far; docs/how-to/read-the-report.md has
the values of data sets that are and are not like those of the shipped checkpoint."""
_SEVERAL = 2  # images without which a class mean says little
_CLASSES = 64  # of the data set that are compared with the tasks; more change nothing
_TASKS, _SHARED = 3, 5

Level = Literal["near", "unusual", "far", "unknown"]


@dataclass(frozen=True)
class NearClass:
    """A class of the data set and the class of meta-training that is most like it.

    Attributes:
        name: of the class.
        nearest: name of the other.
        distance: cosine distance of their mean features, 0 to 2.
        percentile: percent of the classes of meta-training that are nearer to another; None if not calibrated.
    """

    name: str
    nearest: str
    distance: float
    percentile: float | None


@dataclass(frozen=True)
class NearTask:
    """A task of meta-training like the data set.

    Attributes:
        distance: mean cosine distance from each class of the data set to the task's nearest.
        classes: those of the task that are nearest to one, the nearest first; five at most.
        accuracy: mean accuracy of the networks that were trained on it, in percent; None where nobody may tell.
        best: the best of these; None where nobody may tell.
        best_accuracy: its accuracy in percent.
    """

    distance: float
    classes: tuple[str, ...]
    accuracy: float | None
    best: str | None
    best_accuracy: float | None


@dataclass(frozen=True)
class Likeness:
    """How like meta-training a data set is.

    Attributes:
        level: ``near``, ``unusual``, ``far``, or ``unknown`` where the checkpoint does not say what it has seen.
        percentile: of the typical (median) class, see ``NearClass``; None if unknown.
        images_compared: images of which the means of most classes are made.
        known_classes: classes of meta-training.
        known_tasks: its tasks.
        classes: those of the data set, the farthest first.
        tasks: the nearest ones, the nearest first.
    """

    level: Level
    percentile: float | None = None
    images_compared: int = 0
    known_classes: int = 0
    known_tasks: int = 0
    classes: tuple[NearClass, ...] = ()
    tasks: tuple[NearTask, ...] = ()

    @property
    def uncertain(self) -> bool:
        """Whether the classes have too few images to be sure."""
        return self.level != "unknown" and self.images_compared < _SEVERAL


def likeness(features: FeatureSet, reference: Reference | None) -> Likeness:
    """Compare class means of ``features`` with those of meta-training.

    A class is compared with as many of its images as the distances of ``reference`` were measured with: a mean of
    few images is farther from everything.
    """
    if reference is None:
        return Likeness("unknown")
    sizes = _sizes(features, reference)
    distances = torch.empty(len(sizes), len(reference.classes))
    percentiles = np.full(len(sizes), np.nan)
    for size in sizes.unique().tolist():
        rows = (sizes == size).nonzero().squeeze(1)
        distances[rows] = reference.distances(class_means(features, rows, size))
        if size in reference.sizes:
            percentiles[rows.numpy()] = reference.percentiles(distances[rows].amin(1), size)
    typical = None if np.isnan(percentiles).any() else float(np.median(percentiles))
    return Likeness(
        level=_level(typical),
        percentile=typical,
        images_compared=int(sizes.median()),
        known_classes=len(reference.classes),
        known_tasks=len(reference.tasks),
        classes=_near_classes(features, reference, distances, percentiles),
        tasks=_near_tasks(reference, distances),
    )


def _sizes(features: FeatureSet, reference: Reference) -> Int[Tensor, " C"]:
    """Return how many images of each class are looked at."""
    sizes = torch.tensor(reference.sizes or (1,))
    return sizes[(torch.searchsorted(sizes, features.counts, right=True) - 1).clamp_min(0)]


def _level(percentile: float | None) -> Level:
    if percentile is None:
        return "unknown"
    return "far" if percentile >= FAR else "unusual" if percentile >= UNUSUAL else "near"


def _near_classes(
    features: FeatureSet,
    reference: Reference,
    distances: Float[Tensor, "C R"],
    percentiles: Float[np.ndarray, " C"],
) -> tuple[NearClass, ...]:
    least, nearest = distances.min(1)
    return tuple(
        NearClass(
            features.classes[row],
            reference.classes[int(nearest[row])],
            float(least[row]),
            None if np.isnan(percentiles[row]) else float(percentiles[row]),
        )
        for row in least.argsort(descending=True, stable=True).tolist()
    )


def _near_tasks(reference: Reference, distances: Float[Tensor, "C R"]) -> tuple[NearTask, ...]:
    rows = torch.linspace(0, len(distances) - 1, min(len(distances), _CLASSES)).round().long()
    tasks = reference.tasks.long()
    # A column more, at which padding points: it is never the nearest.
    padded = torch.cat([distances[rows], distances.new_full((len(rows), 1), torch.inf)], dim=1)
    to_tasks = padded[:, tasks].amin(2).mean(0)
    chosen = to_tasks.argsort(stable=True)[:_TASKS].tolist()
    return tuple(_near_task(reference, padded, int(task), float(to_tasks[task])) for task in chosen)


def _near_task(reference: Reference, padded: Float[Tensor, "C R1"], task: int, distance: float) -> NearTask:
    members = reference.tasks[task].long()
    to_members = padded[:, members].amin(0)
    nearest = members[to_members.argsort(stable=True)][:_SHARED].tolist()
    best = int(reference.best[task])
    return NearTask(
        distance=distance,
        classes=tuple(reference.classes[number] for number in nearest if number >= 0),
        accuracy=_known(reference.accuracy[task]),
        best=None if best < 0 else reference.archs[best],
        best_accuracy=None if best < 0 else _known(reference.best_accuracy[task]),
    )


def _known(value: Tensor) -> float | None:
    return None if value.isnan() else float(value)
