"""How many images a network classifies rightly, how sure that is, and which it takes for which."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

_Z95 = 1.959963984540054  # the standard normal distribution has 95 % between -z and z


def wilson(right: int, images: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion, in percent (Wilson, 1927).

    It says how far the accuracy on all images of this kind may be from that on these few; what another training
    would give is not in it.
    """
    share, squared = right / images, _Z95**2
    centre = (share + squared / (2 * images)) / (1 + squared / images)
    half = _Z95 / (1 + squared / images) * math.sqrt(share * (1 - share) / images + squared / (4 * images**2))
    # Rounding could leave 0 and 100 just outside.
    low, high = (0.0 if right == 0 else centre - half), (1.0 if right == images else centre + half)
    return 100 * low, 100 * high


@dataclass(frozen=True)
class Scores:
    """What a network makes of labelled images.

    Attributes:
        confusion: images by true (row) and predicted (column) class.
        classes: their names.
    """

    confusion: Int[np.ndarray, "C C"]
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls, labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: Sequence[str]
    ) -> "Scores":
        """Count how often each class was taken for each."""
        counts = np.bincount(labels * len(classes) + predicted, minlength=len(classes) ** 2)
        return cls(counts.reshape(len(classes), len(classes)), tuple(classes))

    @property
    def images(self) -> int:
        """How many there are."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """How many of them were classified rightly."""
        return int(self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """The share of those, in percent."""
        return 100 * self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the accuracy, in percent; see ``wilson``."""
        return wilson(self.right, self.images)

    def per_class(self) -> list[dict[str, Any]]:
        """Return ``name``, ``images`` and ``accuracy`` (percent, None without images) of each class."""
        rows = zip(self.classes, self.confusion.sum(1).tolist(), self.confusion.diagonal().tolist(), strict=True)
        return [
            {"name": name, "images": images, "accuracy": 100 * right / images if images else None}
            for name, images, right in rows
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {
            "accuracy": self.accuracy,
            "interval95": list(self.interval),
            "right": self.right,
            "images": self.images,
            "per_class": self.per_class(),
            "confusion": self.confusion.tolist(),
        }
