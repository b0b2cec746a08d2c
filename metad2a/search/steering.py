"""Penalties that lead a decoder to architectures within limits."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from metad2a.runtime import numpy_rng
from metad2a.search.constraints import Costs
from metad2a.spaces.base import Architecture, SearchSpace

_SAMPLES = 2000  # random architectures that say what a type costs at a vertex
_RIDGE = 1.0
_SHARE = 0.5  # of the architectures of a round that are to meet a limit
_GAIN = 3.0  # how far a penalty moves after a round in which none did, in standard deviations of the cost


class Steering:
    """What it costs to be chosen: a number for each vertex and type, subtracted from the decoder's logits.

    What a type adds to a cost at a vertex is learned from random architectures, as the linear part of the cost.
    Each limit has a price per standard deviation of its cost (a Lagrange multiplier). After each round the price
    rises if fewer than half of the decoded architectures met the limit, and falls, down to zero, if more did. So
    the decoder keeps its own preferences among what is cheap enough; a loose limit changes nothing.

    Args:
        costs: of architectures.
        limits: largest allowed costs, by name.
    """

    def __init__(self, space: SearchSpace, costs: Costs, limits: Mapping[str, float]) -> None:
        self._limits = dict(limits)
        self._costs = costs
        self._prices = dict.fromkeys(limits, 0.0)
        self._effects = _effects(space, costs, list(limits)) if limits else {}
        self.rising = False
        """Whether the last round made a price rise: the limits are yet to be reached."""

    @property
    def active(self) -> bool:
        """Whether there is a limit that can be steered to."""
        return bool(self._effects)

    @property
    def penalty(self) -> Float[Tensor, "N T"] | None:
        """What to subtract from the logits; None where nothing is to be changed."""
        if not any(self._prices.values()):
            return None
        return torch.stack([self._prices[name] * effect for name, effect in self._effects.items()]).sum(0)

    def learn(self, archs: Sequence[Architecture]) -> None:
        """Move the prices by how many of the architectures of a round meet each limit."""
        self.rising = False
        if not archs:
            return
        for name, limit in self._limits.items():
            if name in self._effects:
                share = float((self._costs.of(name, archs) <= limit).mean())
                step = _GAIN * (_SHARE - share) / _SHARE
                self._prices[name] = max(0.0, self._prices[name] + step)
                self.rising |= share < _SHARE / 2


def _effects(space: SearchSpace, costs: Costs, names: Sequence[str]) -> dict[str, Float[Tensor, "N T"]]:
    """Return what each type adds to each cost at each vertex, in standard deviations of the cost.

    A cost that does not vary has none.
    """
    archs = space.sample(_SAMPLES, numpy_rng("steering"))
    graphs = space.encode(archs)
    placed = F.one_hot(graphs.types, space.num_types).double() * graphs.mask[:, :, None]
    shape = placed.shape[1:]
    often = placed.mean(0)
    table = placed.flatten(1) - often.flatten()
    normal = table.T @ table + _RIDGE * torch.eye(table.shape[1], dtype=torch.double)
    found = {}
    for name in names:
        cost = torch.from_numpy(costs.of(name, archs))
        if cost.std() > 0:
            target = (cost - cost.mean()) / cost.std()
            found[name] = torch.linalg.solve(normal, table.T @ target).reshape(shape)
    return found
