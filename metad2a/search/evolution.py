"""Regularised evolution: the oldest of a small population makes room for a mutated child."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from metad2a.errors import ConfigError
from metad2a.search.remembering import FAILED, Remembering
from metad2a.spaces.base import Architecture, SearchSpace

_DROPS = ("oldest", "worst")


class Evolution(Remembering):
    """Mutates the best of a few members of the population, again and again.

    Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019, with the sizes of
    NAS-Bench-201's REA. A mutation changes one decision, all such changes being equally likely. The members that
    are known when a child is asked for are its possible parents, so several can be asked for at once.

    Of more than ``population`` architectures ``first``, the best ``population`` become the first population.

    Args:
        space: what is searched.
        seed: of all draws.
        first: see ``Remembering``.
        population: members; so many architectures are drawn uniformly before the first mutation.
        sample: members that are drawn, with replacement, to be the parent; the best of them is.
        drop: ``oldest`` member, or the ``worst`` (evolution that is not regularised).
        crossover: chance that a child has two parents, drawn alike, and takes each decision from one of them before
            it is mutated.

    Raises:
        ArchitectureError: one of ``first`` is none of the space.
        ConfigError: an option cannot be used.
    """

    stream = "evolution"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        first: Sequence[Architecture] = (),
        population: int = 10,
        sample: int = 3,
        drop: str = "oldest",
        crossover: float = 0.0,
    ) -> None:
        if population < 1 or sample < 1:
            raise ConfigError(f"evolution: population={population}, sample={sample}: give numbers of at least 1.")
        if drop not in _DROPS:
            raise ConfigError(f"evolution: drop='{drop}'. Choose one of {', '.join(_DROPS)}.")
        if not 0 <= crossover <= 1:
            raise ConfigError(f"evolution: crossover={crossover} is a chance. Give a number from 0 to 1.")
        super().__init__(space, seed=seed, first=first)
        self._population, self._sample, self._drop, self._crossover = population, sample, drop, crossover
        self._members: deque[tuple[Architecture, float]] = deque()  # the oldest first

    def _propose(self) -> Architecture:
        begun = len(self._pending) + len(self._values)
        if begun < self._population or not self._members:
            return self._space.sample(1, self._rng)[0]
        parent = self._parent()
        if self._crossover and self._rng.random() < self._crossover:
            parent = self._space.crossover(parent, self._parent(), self._rng)
        return self._space.mutate(parent, self._rng)

    def _parent(self) -> Architecture:
        drawn = self._rng.integers(len(self._members), size=self._sample).tolist()
        return max((self._members[place] for place in drawn), key=lambda member: member[1])[0]

    def _learn(self, arch: Architecture, value: float) -> None:
        self._members.append((arch, value))
        if len(self._members) <= self._population:
            return
        if self._drop == "worst" or len(self._values) <= len(self._first):
            self._members.remove(min(self._members, key=lambda member: member[1]))
        else:
            self._members.popleft()

    def _own_state(self) -> dict[str, Any]:
        members = [[self._space.format(arch), None if value == FAILED else value] for arch, value in self._members]
        return {"members": members}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self._members = deque(
            (self._space.parse(text), FAILED if value is None else float(value)) for text, value in state["members"]
        )
