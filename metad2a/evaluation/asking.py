"""Oracles that list no architectures: what stands for the space, and that no network is evaluated twice."""

import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from metad2a.oracles.base import Oracle
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace

SAMPLE = 500
"""Architectures that stand for a space of which no table exists."""


def uniform_sample(space: SearchSpace, count: int) -> list[Architecture]:
    """Return ``count`` uniform architectures of distinct networks, always the same; fewer where there are fewer.

    A larger sample begins with a smaller one.
    """
    rng = numpy_rng("uniform sample", space.name)
    networks: dict[str, Architecture] = {}
    for _ in range(20 * count):  # of a small space all are drawn, or nearly
        if len(networks) == min(count, space.size):
            break
        arch = space.sample(1, rng)[0]
        networks.setdefault(space.canonical(arch), arch)
    return list(networks.values())


class Remembered:
    """An oracle that evaluates each network once, and how long each took.

    Args:
        oracle: that is asked.
        space: of the architectures.
    """

    def __init__(self, oracle: Oracle, space: SearchSpace) -> None:
        self.name = oracle.name
        self._oracle, self._space = oracle, space
        self._known: dict[str, tuple[float, float]] = {}

    def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> Float[np.ndarray, " A"]:
        """See ``metad2a.oracles.base.Oracle.evaluate``; the seed is 0 for all."""
        return self.timed(archs)[0]

    def timed(self, archs: Sequence[Architecture]) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, " A"]]:
        """Return accuracies in percent, and the CPU seconds that each took when it was evaluated."""
        texts = list(map(self._space.canonical, archs))
        new = {text: arch for text, arch in zip(texts, archs, strict=True) if text not in self._known}
        if new:
            start = time.process_time()
            values = self._oracle.evaluate(list(new.values())).tolist()
            each = (time.process_time() - start) / len(new)
            self._known |= {text: (value, each) for text, value in zip(new, values, strict=True)}
        found = np.array([self._known[text] for text in texts], dtype=np.float64).reshape(-1, 2)
        return found[:, 0], found[:, 1]
