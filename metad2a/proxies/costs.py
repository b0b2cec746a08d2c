"""The costs of a network as scores: bigger networks are often better, so every claim must beat them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from metad2a.proxies.base import Proxy
from metad2a.spaces.base import Architecture, SearchSpace


class Params(Proxy):
    """The number of parameters."""

    name = "params"

    def score(self, space: SearchSpace, archs: Sequence[Architecture], num_classes: int) -> Float[np.ndarray, " A"]:
        """See ``Proxy.score``."""
        return space.params(archs, num_classes).astype(np.float64)


class Flops(Proxy):
    """Multiply-adds of one image."""

    name = "flops"

    def score(self, space: SearchSpace, archs: Sequence[Architecture], num_classes: int) -> Float[np.ndarray, " A"]:
        """See ``Proxy.score``."""
        return space.flops(archs, num_classes, space.resolution).astype(np.float64)
