"""The best architectures by a number that is known of each, one after the other, also where none can list them."""

import heapq
import itertools
import math
from collections.abc import Sequence
from typing import Any

from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.extremes import Score, best_by


class Descending:
    """Proposes the networks of a large space in the order of a score, the highest first, each network once.

    The next one is the best among the neighbours of those before. That is the true order where from every
    architecture a way of single changes leads up to the best one, as with costs; ties are broken at random.

    Args:
        space: what is proposed from.
        score: see ``best_by``.
        seed: of the ties.
    """

    def __init__(self, space: SearchSpace, score: Score, *, seed: int = 0) -> None:
        self._space, self._score, self._seed = space, score, seed
        self._begin()

    def _begin(self) -> None:
        self._rng = numpy_rng("ties", self._seed)
        self._number = itertools.count()
        self._asked = 0
        self._waiting: list[tuple[float, float, int, Architecture]] = []  # a heap
        self._seen: set[str] = set()
        self._push([best_by(self._space, self._score)])

    def _push(self, archs: Sequence[Architecture]) -> None:
        new = {text: arch for arch in archs if (text := self._space.canonical(arch)) not in self._seen}
        self._seen |= set(new)
        if new:
            scores = self._score(list(new.values())).tolist()
            for value, arch in zip(scores, new.values(), strict=True):
                worth = math.inf if math.isnan(value) else -value
                heapq.heappush(self._waiting, (worth, self._rng.random(), next(self._number), arch))

    def ask(self, n: int) -> list[Architecture]:
        """See ``metad2a.search.base.Searcher.ask``."""
        asked: list[Architecture] = []
        while len(asked) < n and self._waiting:
            *_, arch = heapq.heappop(self._waiting)
            asked.append(arch)
            self._push(self._space.neighbours(arch))
        self._asked += len(asked)
        return asked

    def tell(self, archs: Sequence[Architecture], values: Sequence[float]) -> None:
        """Ignore the values: the order is fixed."""

    def state_dict(self) -> dict[str, Any]:
        """See ``metad2a.search.base.Searcher.state_dict``."""
        return {"asked": self._asked, "seed": self._seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``metad2a.search.base.Searcher.load_state_dict``."""
        self._seed = int(state["seed"])
        self._begin()
        self.ask(int(state["asked"]))
