"""Images as the models see them: features by class, and sets drawn from them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from metad2a.data.feature_file import FeatureInfo, read_features, write_features
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
        features: one row an image; not copied when the labels ascend.
        labels: class number of each image, in ``0..len(classes)-1``; every class has at least one image.
        classes: names.
        embedder: fingerprint of the embedder that made the features.
        name: of the image set.

    Attributes:
        features: the images of class ``c`` are the ``counts[c]`` rows from ``offsets[c]`` on.

    Raises:
        DataError: a class has no image.
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
        if (labels[1:] < labels[:-1]).any():
            features = features[torch.from_numpy(np.argsort(labels, kind="stable"))]
        self.features = features
        self.counts = torch.from_numpy(counts)
        self.offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)[:-1]]))

    @classmethod
    def load(cls, path: str | Path) -> "FeatureSet":
        """Return the features in a file that ``save`` or ``metad2a import features`` wrote.

        They stay in the file: a draw reads the rows it takes and no others.

        Raises:
            DataError: there is no such file, or it is another one, of a newer version, or damaged.
        """
        info, features, offsets = read_features(path)
        labels = np.repeat(np.arange(len(info.classes)), np.diff(offsets))
        return cls(features, labels, info.classes, embedder=info.embedder, name=info.name)

    def save(self, path: str | Path) -> None:
        """Write the features and what is known of them to a ``.safetensors`` file, atomically.

        Raises:
            DataError: another file name, or a feature that is not finite.
            OutputError: the file cannot be written.
        """
        write_features(path, FeatureInfo(self.name, self.classes, self.embedder), self.blocks())

    @property
    def dim(self) -> int:
        """``F``."""
        return self.features.shape[1]

    def __len__(self) -> int:
        return int(self.counts.sum())

    def blocks(self) -> list[Float[Tensor, "_ F"]]:
        """Return the features of each class, as views."""
        places = zip(self.offsets.tolist(), self.counts.tolist(), strict=True)
        return [self.features[start : start + count] for start, count in places]

    def keep_classes(self, numbers: Sequence[int], *, names: Sequence[str] | None = None) -> "FeatureSet":
        """Return the features of some classes, numbered anew in the order given; none is copied.

        Args:
            numbers: of the classes.
            names: new ones of these classes; they keep theirs when not given.
        """
        kept = copy.copy(self)
        kept.classes = tuple(names or (self.classes[number] for number in numbers))
        kept.counts, kept.offsets = self.counts[list(numbers)], self.offsets[list(numbers)]
        return kept

    def draw(
        self,
        tasks: Int[Tensor, "B C"],
        images_per_class: int,
        generator: torch.Generator,
        *,
        part: slice = slice(None),
    ) -> SetBatch:
        """Draw for each task up to ``images_per_class`` images of each of its classes, without replacement.

        Args:
            tasks: class numbers; -1 pads tasks with fewer classes.
            images_per_class: ``K``; a class with fewer images gives all of them and is masked beyond.
            generator: source of randomness, on the CPU.
            part: which of the sets to return. What is drawn for a task does not depend on it.
        """
        width = int((self.counts[tasks.clamp_min(0)] * (tasks >= 0)).max())
        keys = torch.rand(*tasks.shape, width, generator=generator)[part]
        tasks = tasks[part]
        counts = self.counts[tasks.clamp_min(0)] * (tasks >= 0)
        keys.masked_fill_(torch.arange(width) >= counts[..., None], 2.0)
        chosen = keys.topk(min(images_per_class, width), dim=-1, largest=False)
        mask = chosen.values < 2.0
        rows = (self.offsets[tasks.clamp_min(0)][..., None] + chosen.indices) * mask
        features = self.features.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        if not mask.all():
            features *= mask[..., None]
        return SetBatch(features, mask)
