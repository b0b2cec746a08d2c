"""Oracles that list no architectures: what stands for the space, and that no network is evaluated twice."""

import hashlib
import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from metad2a.evaluation.compare.kept import Kept
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
        kept: where ``evaluate`` keeps what it returns, and finds it in another session; None keeps nothing.
        content: a digest of all that decides what the oracle answers, which names what is kept.
    """

    def __init__(self, oracle: Oracle, space: SearchSpace, *, kept: Kept | None = None, content: str = "") -> None:
        self.name, self.oracle = oracle.name, oracle
        self._space, self._kept, self._content = space, kept, content
        self._known: dict[str, tuple[float, float]] = {}

    def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> Float[np.ndarray, " A"]:
        """See ``metad2a.oracles.base.Oracle.evaluate``; the seed is 0 for all."""
        if self._kept is None:
            return self.timed(archs)[0]
        texts = "\n".join(map(self._space.format, archs))
        digest = hashlib.blake2b(texts.encode(), digest_size=8).hexdigest()
        what = {"what": "accuracies", "space": self._space.name, "oracle": self._content, "archs": digest}
        found = self._kept.once(what, lambda: {"accuracies": self.timed(archs)[0].tolist()})
        return np.array(found["accuracies"], dtype=np.float64)

    def timed(self, archs: Sequence[Architecture]) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, " A"]]:
        """Return accuracies in percent, and the CPU seconds that each took when it was evaluated."""
        texts = list(map(self._space.canonical, archs))
        new = {text: arch for text, arch in zip(texts, archs, strict=True) if text not in self._known}
        if new:
            start = time.process_time()
            values = self.oracle.evaluate(list(new.values())).tolist()
            each = (time.process_time() - start) / len(new)
            self._known |= {text: (value, each) for text, value in zip(new, values, strict=True)}
        found = np.array([self._known[text] for text in texts], dtype=np.float64).reshape(-1, 2)
        return found[:, 0], found[:, 1]
