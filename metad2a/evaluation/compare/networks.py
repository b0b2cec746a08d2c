"""The networks that accuracies are of: their cost is what accuracy is weighed against."""

from metad2a.errors import unknown_name
from metad2a.oracles.base import Oracle
from metad2a.oracles.ofa import AccuracyPredictor
from metad2a.search.constraints import Costs
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.scale import NetworkScale, OfOneScale

COSTS = ("flops", "params")
IMAGENET = 1000
"""Classes of the networks that Once-for-All's predictor knows."""


def costs_of(oracle: Oracle, space: SearchSpace, num_classes: int) -> Costs:
    """Return what the networks that ``oracle`` is about cost, for a data set of ``num_classes``."""
    classes = IMAGENET if isinstance(oracle, AccuracyPredictor) else num_classes
    scale = NetworkScale(oracle.resolution, dict(oracle.scale)) if isinstance(oracle, OfOneScale) else None
    return Costs(space, classes, scale=scale)


def check_cost(name: str) -> None:
    """Refuse what is no cost.

    Raises:
        UnknownNameError: there is no such cost.
    """
    if name not in COSTS:
        raise unknown_name("cost", name, COSTS)
