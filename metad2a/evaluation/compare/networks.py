"""The networks that accuracies are of: their cost is what accuracy is weighed against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from metad2a.errors import unknown_name
from metad2a.oracles.base import Oracle
from metad2a.oracles.ofa import AccuracyPredictor
from metad2a.oracles.supernet import SupernetOracle
from metad2a.spaces.base import Architecture, SearchSpace

COSTS = ("flops", "params")
IMAGENET = 1000
"""Classes of the networks that Once-for-All's predictor knows."""


@dataclass(frozen=True)
class Networks:
    """Of the architectures of a space.

    Attributes:
        space: of the architectures.
        num_classes: of their heads.
        resolution: pixels a side of their images.
        scale: the space's own size options.
        cost: ``flops`` (multiply-adds) or ``params``.

    Raises:
        UnknownNameError: there is no such cost.
    """

    space: SearchSpace
    num_classes: int
    resolution: int
    scale: Mapping[str, int] = field(default_factory=dict)
    cost: str = "flops"

    def __post_init__(self) -> None:
        check_cost(self.cost)

    def costs(self, archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        """Return the cost of each network, without building any."""
        if self.cost == "params":
            found = self.space.params(archs, self.num_classes, **self.scale)
        else:
            found = self.space.flops(archs, self.num_classes, self.resolution, **self.scale)
        return found.astype(np.float64)

    @classmethod
    def of(cls, oracle: Oracle, space: SearchSpace, num_classes: int, *, cost: str = "flops") -> "Networks":
        """Return the networks that ``oracle`` is about, for a data set of ``num_classes``."""
        if isinstance(oracle, AccuracyPredictor):
            return cls(space, IMAGENET, oracle.resolution, oracle.scale, cost)
        if isinstance(oracle, SupernetOracle):
            return cls(space, num_classes, oracle.resolution, oracle.scale, cost)
        return cls(space, num_classes, space.resolution, cost=cost)


def check_cost(name: str) -> None:
    """Refuse what is no cost.

    Raises:
        UnknownNameError: there is no such cost.
    """
    if name not in COSTS:
        raise unknown_name("cost", name, COSTS)
