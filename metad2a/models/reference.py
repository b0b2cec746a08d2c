"""What a checkpoint was meta-trained on, in short: enough to say how far a data set is from all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from metad2a.data.features import FeatureSet
from metad2a.errors import CheckpointError

_CLASSES_A_BATCH = 256
_TENSORS = ("means", "tasks", "accuracy", "best", "best_accuracy", "loneliness")
_NAMES = ("classes", "archs", "sizes")


@dataclass(frozen=True)
class Reference:
    """The classes and tasks of meta-training.

    A class mean of few images lies farther from everything than one of many, so ``loneliness`` knows what is usual
    for each number of images: the distances of classes of meta-training to the nearest other one.

    Attributes:
        classes: names.
        means: mean features of the classes, float16.
        tasks: class numbers of each task; -1 pads.
        archs: the architectures that ``best`` numbers.
        accuracy: mean accuracy of each task's records, in percent; NaN where it may not be told.
        best: the most accurate architecture of each task's records; -1 where it may not be told.
        best_accuracy: its accuracy in percent.
        sizes: numbers of images, ascending.
        loneliness: for each size ascending quantiles, evenly spaced, of the distances.
    """

    classes: tuple[str, ...]
    means: Float[Tensor, "R F"]
    tasks: Int[Tensor, "tasks C"]
    archs: tuple[str, ...]
    accuracy: Float[Tensor, " tasks"]
    best: Int[Tensor, " tasks"]
    best_accuracy: Float[Tensor, " tasks"]
    sizes: tuple[int, ...]
    loneliness: Float[Tensor, "S Q"]

    def distances(self, means: Float[Tensor, "U F"]) -> Float[Tensor, "U R"]:
        """Return the cosine distance, 0 to 2, of each of some class means to each class of meta-training."""
        return cosine_distances(means, self.means.float())

    def percentiles(self, distances: Float[Tensor, " U"], size: int) -> Float[np.ndarray, " U"]:
        """Return how many percent of the classes of meta-training are nearer to others than ``distances``.

        Args:
            distances: of class means of ``size`` images to the nearest class.
            size: one of ``sizes``.
        """
        usual = self.loneliness[self.sizes.index(size)].double().numpy()
        return np.interp(distances.double().numpy(), usual, np.linspace(0.0, 100.0, len(usual)))

    def header(self) -> dict[str, Any]:
        """Return what is no tensor, as plain data."""
        return {name: list(getattr(self, name)) for name in _NAMES}

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return {name: getattr(self, name).contiguous() for name in _TENSORS}

    @classmethod
    def restore(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Reference":
        """Return the reference that gave ``header`` and ``tensors``.

        Raises:
            CheckpointError: something is missing or of another size.
        """
        try:
            values: dict[str, Any] = {name: tuple(header[name]) for name in _NAMES}
            values |= {name: tensors[name] for name in _TENSORS}
            wrong = [name for name, fit in _fits(**values).items() if not fit]
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"what it was meta-trained on is damaged ({error!r}). Get the file again."
            ) from error
        if wrong:
            raise CheckpointError(
                f"what it was meta-trained on is damaged: {', '.join(wrong)} not of the others' size. "
                "Get the file again."
            )
        return cls(**values)


def cosine_distances(a: Float[Tensor, "A F"], b: Float[Tensor, "R F"]) -> Float[Tensor, "A R"]:
    """Return one minus the cosine of the angle between each row of ``a`` and each of ``b``."""
    return 1.0 - F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def class_means(features: FeatureSet, numbers: Int[Tensor, " U"], size: int) -> Float[Tensor, "U F"]:
    """Return the mean over ``size`` images of each of some classes, spread evenly over those it has.

    Args:
        features: of the images.
        numbers: of the classes; one with fewer images gives all of them.
        size: images a class.
    """
    counts = features.counts[numbers, None]
    taken, places = counts.clamp_max(size), torch.arange(int(counts.max().clamp_max(size)))
    rows = features.offsets[numbers, None] + places.minimum(taken - 1) * counts // taken
    weights = (places < taken) / taken
    batches = zip(rows.split(_CLASSES_A_BATCH), weights.split(_CLASSES_A_BATCH), strict=True)
    means = [torch.einsum("uif,ui->uf", features.features[part].float(), weight) for part, weight in batches]
    return torch.cat(means)


def _fits(
    *,
    classes: tuple[str, ...],
    archs: tuple[str, ...],
    sizes: tuple[int, ...],
    means: Tensor,
    tasks: Tensor,
    accuracy: Tensor,
    best: Tensor,
    best_accuracy: Tensor,
    loneliness: Tensor,
) -> dict[str, bool]:
    """Return for each tensor of a reference whether it goes with the rest."""
    count = len(tasks)
    return {
        "means": means.ndim == 2 and len(means) == len(classes) > 0,
        "tasks": tasks.ndim == 2 and _within(tasks, -1, len(classes)),
        "accuracy": accuracy.shape == (count,),
        "best": best.shape == (count,) and _within(best, -1, len(archs)),
        "best_accuracy": best_accuracy.shape == (count,),
        "loneliness": loneliness.ndim == 2 and len(loneliness) == len(sizes),
    }


def _within(numbers: Tensor, low: int, end: int) -> bool:
    return not len(numbers) or (low <= int(numbers.min()) and int(numbers.max()) < end)
