"""Limits on what a network may cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from metad2a.errors import ConfigError, LimitError
from metad2a.spaces.base import Architecture, SearchSpace


@dataclass(frozen=True)
class Limits:
    """Largest allowed costs; None is no limit.

    Args:
        max_params: trainable parameters.
        max_flops: multiply-adds of one image.
        max_latency_ms: median milliseconds of one image on this machine.
    """

    max_params: float | int | None = None
    max_flops: float | int | None = None
    max_latency_ms: float | int | None = None

    def __post_init__(self) -> None:
        """Refuse limits that are no positive numbers."""
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise ConfigError(f"{name}={value} is not a positive number. Give a larger limit or none.")

    def admits(self, space: SearchSpace, archs: Sequence[Architecture], num_classes: int) -> Bool[np.ndarray, " A"]:
        """Return which architectures meet the limits that need no measurement (parameters and FLOPs)."""
        allowed = np.ones(len(archs), dtype=bool)
        if self.max_params is not None:
            allowed &= space.params(archs, num_classes) <= self.max_params
        if self.max_flops is not None:
            allowed &= space.flops(archs, num_classes, space.resolution) <= self.max_flops
        return allowed

    def check_possible(self, space: SearchSpace, num_classes: int) -> None:
        """Fail early, with the smallest possible values, where the space can be listed and nothing qualifies.

        Raises:
            LimitError: no architecture of the space meets the limits.
        """
        if (self.max_params is None and self.max_flops is None) or not space.listable:
            return
        archs = list(space.enumerate())
        if self.admits(space, archs, num_classes).any():
            return
        raise LimitError(
            f"no architecture of '{space.name}' meets {self}. With {num_classes} classes the smallest has "
            f"{space.params(archs, num_classes).min():,} parameters and "
            f"{space.flops(archs, num_classes, space.resolution).min():,} multiply-adds. Raise the limit."
        )

    def __str__(self) -> str:
        return ", ".join(f"{name}={value:g}" for name, value in vars(self).items() if value is not None)
