"""What a method of a comparison is given."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.evaluation.compare.networks import COSTS
from metad2a.search.constraints import Costs
from metad2a.spaces.base import Architecture, SearchSpace

_LOOKED_AT, _SIDE = 256, 32  # images, pixels a side


@dataclass(frozen=True)
class Problem:
    """What a method is given.

    Attributes:
        space: of the architectures.
        data: labelled images, or features of images.
        images_per_class: that are embedded of each class.
        others: other data sets, one of which a method with shuffled data sets sees instead.
        networks: what those that the accuracies are of cost; None: those that the space makes by itself.
        cost: name of the cost that accuracy is weighed against.
    """

    space: SearchSpace
    data: ImageSet | FeatureSet
    images_per_class: int = 50
    others: tuple[ImageSet | FeatureSet, ...] = ()
    networks: Costs | None = None
    cost: str = COSTS[0]

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.data.classes)

    @property
    def every_cost(self) -> Costs:
        """What networks cost: those that the accuracies are of."""
        return self.networks or Costs(self.space, self.num_classes)

    def costs(self, archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        """Return the cost of each network that accuracy is weighed against."""
        return self.every_cost.of(self.cost, archs)

    def fingerprint(self) -> str:
        """Return a digest of the data: of all labels, and of features or of some images."""
        return data_digest(self.data, self.images_per_class)

    def others_fingerprint(self) -> str:
        """Return a digest of the other data sets."""
        return " ".join(data_digest(data, self.images_per_class) for data in self.others)


def data_digest(data: ImageSet | FeatureSet, images_per_class: int = 0) -> str:
    """Return a digest of all labels, and of features or of some images, of which so many a class are looked at."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr((data.classes, images_per_class)).encode())
    if isinstance(data, FeatureSet):
        digest.update(repr((data.embedder, data.counts.tolist())).encode())
        for block in data.blocks():
            digest.update(np.ascontiguousarray(block.numpy()).data)
    else:
        digest.update(np.ascontiguousarray(data.labels).data)
        some = np.unique(np.linspace(0, len(data) - 1, min(_LOOKED_AT, len(data))).round().astype(int))
        digest.update(np.ascontiguousarray(data.load(some, _SIDE)).data)
    return digest.hexdigest()
