"""Limits on what a network may cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from metad2a.costs.latency_model import LatencyPredictor
from metad2a.costs.memory import network_memory
from metad2a.errors import ConfigError, LimitError
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.scale import NetworkScale

MEGABYTE = 1e6

_WORDS = {
    "params": "{:,.0f} parameters",
    "flops": "{:,.0f} multiply-adds",
    "memory_mb": "{:.3f} MB of memory",
    "latency_ms": "{:.2f} ms (predicted)",
}
_STARTS = 2  # architectures from which the cheapest one is looked for where they cannot be listed


@dataclass(frozen=True)
class Costs:
    """What networks for a data set cost.

    Args:
        space: of the architectures.
        num_classes: of the data set.
        latency: predicts milliseconds; None where they are not to be known.
        scale: of the networks; None: the space's own.
    """

    space: SearchSpace
    num_classes: int
    latency: LatencyPredictor | None = None
    scale: NetworkScale | None = None

    @property
    def counted(self) -> NetworkScale:
        """The scale of the networks whose costs these are."""
        return self.scale or NetworkScale(self.space.resolution)

    @property
    def memory_is_cheap(self) -> bool:
        """Whether the space has a rule for it."""
        scale = self.counted
        return self.space.memory([], self.num_classes, scale.resolution, **scale.options) is not None

    def of(self, name: str, archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        """Return one cost: ``params``, ``flops`` (multiply-adds), ``memory_mb`` or ``latency_ms``, of one image.

        Raises:
            ConfigError: the latency, where no model of it is known.
        """
        space, classes, scale = self.space, self.num_classes, self.counted
        if name == "params":
            cost = space.params(archs, classes, **scale.options)
        elif name == "flops":
            cost = space.flops(archs, classes, scale.resolution, **scale.options)
        elif name == "memory_mb":
            cost = network_memory(space, archs, classes, scale) / MEGABYTE
        elif self.latency is None:
            raise ConfigError(f"{name} is unknown: measure it, or give a latency model.")
        else:
            cost = self.latency.predict(archs)
        return cost.astype(np.float64)

    def excess(self, limits: Mapping[str, float], archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        """Return by how much each architecture is too expensive, in parts of the limits; 0 where it fits."""
        over = np.zeros(len(archs))
        for name, limit in limits.items():
            over += np.maximum(self.of(name, archs) / limit - 1, 0)
        return over

    def smallest(self, limits: Mapping[str, float]) -> Architecture:
        """Return the architecture of the least ``excess``: the cheapest one where the limits are tiny.

        Where the space cannot be listed it is looked for from neighbour to neighbour, which finds it where a
        cheaper decision is always cheaper, as for parameters and multiply-adds.
        """
        if self.space.listable:
            archs = list(self.space.enumerate())
            return archs[int(self.excess(limits, archs).argmin())]
        starts = self.space.sample(_STARTS, numpy_rng("smallest"))
        return min(
            (self._descend(limits, arch) for arch in starts), key=lambda arch: self.excess(limits, [arch])[0]
        )

    def _descend(self, limits: Mapping[str, float], arch: Architecture) -> Architecture:
        least = self.excess(limits, [arch])[0]
        while least > 0:
            near = self.space.neighbours(arch)
            excess = self.excess(limits, near)
            best = int(excess.argmin())
            if excess[best] >= least:
                break
            arch, least = near[best], excess[best]
        return arch


@dataclass(frozen=True)
class Limits:
    """Largest allowed costs; None is no limit.

    Args:
        max_params: trainable parameters.
        max_flops: multiply-adds of one image.
        max_latency_ms: median milliseconds of one image.
        max_memory_mb: megabytes (10^6 bytes) of one forward pass of one image, see ``metad2a.costs.memory``.
    """

    max_params: float | int | None = None
    max_flops: float | int | None = None
    max_latency_ms: float | int | None = None
    max_memory_mb: float | int | None = None

    def __post_init__(self) -> None:
        """Refuse limits that are no positive numbers."""
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise ConfigError(f"{name}={value} is not a positive number. Give a larger limit or none.")

    def known(self, costs: Costs) -> dict[str, float]:
        """Return the limits by the name of the cost, without that on latency where ``costs`` do not know it."""
        given = {name.removeprefix("max_"): float(value) for name, value in vars(self).items() if value is not None}
        if costs.latency is None:
            given.pop("latency_ms", None)
        return given

    def admits(self, costs: Costs, archs: Sequence[Architecture]) -> Bool[np.ndarray, " A"]:
        """Return which architectures meet the limits, but for that on a latency that ``costs`` do not know."""
        allowed = np.ones(len(archs), dtype=bool)
        for name, limit in self.known(costs).items():
            allowed &= costs.of(name, archs) <= limit
        return allowed

    def check_possible(self, costs: Costs) -> None:
        """Fail early, with the smallest possible values, where nothing qualifies.

        Where the space cannot be listed, the limits have to be met by what ``Costs.smallest`` finds.

        Raises:
            LimitError: no architecture of the space meets the limits.
        """
        limits = self.known(costs)
        if not limits or costs.excess(limits, [costs.smallest(limits)])[0] == 0:
            return
        scale = f" and {costs.scale}" if costs.scale is not None and costs.scale.differs(costs.space) else ""
        classes = f"With {costs.num_classes} classes{scale}"
        cheapest = {name: self._least(costs, name) for name in dict.fromkeys(("params", "flops", *limits))}
        *most, last = (_WORDS[name].format(least) for name, least in cheapest.items())
        smallest = f"{', '.join(most)} and {last}"
        reason = f"{classes} the smallest has {smallest}."
        if all(cheapest[name] <= limit for name, limit in limits.items()):
            reason = f"Each of the limits can be met, but not all together: {self._together(costs, limits)}."
        raise LimitError(f"no architecture of '{costs.space.name}' meets {self}. {reason} Raise the limit.")

    @staticmethod
    def _least(costs: Costs, name: str) -> float:
        # Against a tiny limit the excess is the cost itself, in tiny parts.
        return float(costs.of(name, [costs.smallest({name: 1e-6})])[0])

    @staticmethod
    def _together(costs: Costs, limits: Mapping[str, float]) -> str:
        closest = costs.smallest(limits)
        return "the closest has " + " and ".join(
            _WORDS[name].format(costs.of(name, [closest])[0]) for name in limits
        )

    def __str__(self) -> str:
        return ", ".join(f"{name}={value:g}" for name, value in vars(self).items() if value is not None)
