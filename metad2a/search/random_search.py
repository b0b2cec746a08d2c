"""Random search: the baseline every method has to beat."""

from collections.abc import Sequence
from typing import Any

from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace


class RandomSearch:
    """Uniform architectures, each at most once."""

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        self._space = space
        self._rng = numpy_rng(seed, "random search")
        self._seen: dict[Architecture, None] = {}

    def ask(self, n: int) -> list[Architecture]:
        """Return ``n`` new architectures, fewer only when the space is exhausted."""
        asked: list[Architecture] = []
        # One at a time: asking in other portions gives the same architectures.
        while len(asked) < n and len(self._seen) < self._space.size:
            arch = self._space.sample(1, self._rng)[0]
            if arch not in self._seen:
                self._seen[arch] = None
                asked.append(arch)
        return asked

    def tell(self, archs: Sequence[Architecture], values: Sequence[float]) -> None:
        """Ignore the values: that is what makes it random search."""

    def state_dict(self) -> dict[str, Any]:
        """See ``metad2a.search.base.Searcher.state_dict``."""
        return {
            "rng": self._rng.bit_generator.state,
            "seen": [self._space.format(arch) for arch in self._seen],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``metad2a.search.base.Searcher.load_state_dict``."""
        self._rng.bit_generator.state = state["rng"]
        self._seen = dict.fromkeys(self._space.parse(text) for text in state["seen"])
