"""What an embedder is."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from metad2a import plugins


class Embedder(ABC):
    """A frozen function from images to feature vectors.

    Attributes:
        name: as given to ``get_embedder``.
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


def get_embedder(name: str) -> Embedder:
    """Return the embedder ``name``, built in or from an installed package.

    Raises:
        UnknownNameError: there is no such embedder.
    """
    embedder: Embedder = plugins.load("embedders", name)()
    return embedder
