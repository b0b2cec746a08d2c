"""Images as the models see them: features by class, and sets drawn from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from metad2a.errors import DataError


@dataclass(frozen=True)
class SetBatch:
    """A batch of data sets, each a set of classes, each a set of image features.

    Attributes:
        features: 0 where ``mask`` is False.
        mask: True where an image exists. A class with no image does not exist.
    """

    features: Float[Tensor, "B C K F"]
    mask: Bool[Tensor, "B C K"]

    def __len__(self) -> int:
        return self.features.shape[0]

    def to(self, device: str | torch.device) -> "SetBatch":
        """Return the same sets on ``device``."""
        return SetBatch(self.features.to(device), self.mask.to(device))


class FeatureSet:
    """The embedded images of some classes, and random sets drawn from them.

    Args:
        features: one row an image.
        labels: class number of each image, in ``0..len(classes)-1``; every class has at least one image.
        classes: names.
        embedder: fingerprint of the embedder that made the features.
        name: of the image set.
    """

    def __init__(
        self,
        features: Float[Tensor, "I F"],
        labels: Int[np.ndarray, " I"],
        classes: Sequence[str],
        *,
        embedder: str,
        name: str,
    ) -> None:
        self.name = name
        self.embedder = embedder
        self.classes = tuple(classes)
        counts = np.bincount(labels, minlength=len(self.classes))
        if len(counts) > len(self.classes) or not counts.all():
            empty = self.classes[int(np.argmin(counts[: len(self.classes)]))]
            raise DataError(f"image set '{name}': class '{empty}' has no image. Remove the class or add images.")
        # Rows sorted by class: a class is a slice, and a draw is index arithmetic.
        order = np.argsort(labels, kind="stable")
        self.features = features[torch.from_numpy(order)]
        self.counts = torch.from_numpy(counts)
        self.offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)[:-1]]))

    @property
    def dim(self) -> int:
        """``F``."""
        return self.features.shape[1]

    def __len__(self) -> int:
        return self.features.shape[0]

    def draw(self, tasks: Int[Tensor, "B C"], images_per_class: int, generator: torch.Generator) -> SetBatch:
        """Draw for each task up to ``images_per_class`` images of each of its classes, without replacement.

        Args:
            tasks: class numbers; -1 pads tasks with fewer classes.
            images_per_class: ``K``; a class with fewer images gives all of them and is masked beyond.
            generator: source of randomness, on the CPU.
        """
        exists = tasks >= 0
        counts = self.counts[tasks.clamp_min(0)] * exists
        width = int(counts.max())
        keys = torch.rand(*tasks.shape, width, generator=generator)
        keys.masked_fill_(torch.arange(width) >= counts[..., None], 2.0)
        chosen = keys.topk(min(images_per_class, width), dim=-1, largest=False)
        mask = chosen.values < 2.0
        rows = (self.offsets[tasks.clamp_min(0)][..., None] + chosen.indices) * mask
        return SetBatch(self.features[rows] * mask[..., None], mask)
