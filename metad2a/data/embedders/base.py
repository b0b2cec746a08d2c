"""What an embedder is."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from metad2a import plugins
from metad2a.data.embedders.reference import Reference


class Embedder(ABC):
    """A frozen function from images to feature vectors.

    Attributes:
        name: the reference that ``get_embedder`` makes it from, without the folders of its files: checkpoints
            remember it, and it must be the same everywhere.
        dim: ``F``, numbers in a feature vector.
        resolution: pixels a side of the square images it takes.
        fingerprint: changes whenever the same image would get other features (weights, preprocessing, size);
            it is part of every cache key and every checkpoint.
    """

    name: str
    dim: int
    resolution: int
    fingerprint: str

    @abstractmethod
    def embed(self, images: UInt8[np.ndarray, "I S S 3"]) -> Float[Tensor, "I F"]:
        """Return the float32 features of RGB ``images`` of ``resolution`` pixels a side, on the CPU."""


def get_embedder(reference: str) -> Embedder:
    """Return an embedder, built in or from an installed package.

    Args:
        reference: ``NAME``, ``NAME:MODEL`` where it knows several, with options behind it, which are the parameters
            of its constructor: ``efficientnet-lite0?resolution=96``, ``timm:resnet50?weights=FILE``.

    Raises:
        UnknownNameError: there is no such embedder, model or option.
        ConfigError: an option has an unusable value, or what the embedder needs is not there.
    """
    asked = Reference.parse(reference)
    factory = plugins.load("embedders", asked.name)
    embedder: Embedder = factory(**asked.arguments(factory))
    return embedder
