"""Local search: go to a better neighbour until there is none."""

from collections.abc import Sequence
from typing import Any

from metad2a.errors import ConfigError
from metad2a.search.remembering import FAILED, Remembering
from metad2a.spaces.base import Architecture, SearchSpace

_AT_OPTIMUM = ("restart", "next_best")


class LocalSearch(Remembering):
    """Climbs from a random architecture, through those that differ in one decision, and starts anew at the top.

    White, Nolen and Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI 2021. The neighbours
    are looked at in random order; values that are known are used without asking. Asked for more than the
    neighbours that are left, it fills up with random architectures; whatever is better than the current
    architecture becomes it.

    Args:
        space: what is searched.
        seed: of all draws.
        first: see ``Remembering``; it climbs from the best of them.
        full_neighbourhood: look at all neighbours and go to the best, not to the first that is better.
        starts: how many random architectures to look at before climbing from the best of them.
        at_optimum: ``restart`` with random architectures, or go on from the ``next_best`` known architecture whose
            neighbours were not looked at.

    Raises:
        ArchitectureError: one of ``first`` is none of the space.
        ConfigError: an option cannot be used.
    """

    stream = "local search"
    patience = 10_000  # a neighbourhood may be known altogether

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        first: Sequence[Architecture] = (),
        full_neighbourhood: bool = False,
        starts: int = 1,
        at_optimum: str = "restart",
    ) -> None:
        if starts < 1:
            raise ConfigError(f"local_search: starts={starts}. Give a number of at least 1.")
        if at_optimum not in _AT_OPTIMUM:
            known = ", ".join(_AT_OPTIMUM)
            raise ConfigError(f"local_search: at_optimum='{at_optimum}'. Choose one of {known}.")
        super().__init__(space, seed=seed, first=first)
        self._full, self._starts, self._at_optimum = full_neighbourhood, starts, at_optimum
        self._left = 0 if first else starts  # random architectures to propose before climbing
        self._best: Architecture | None = None  # of this climb
        self._around: Architecture | None = None  # whose neighbours are looked at
        self._queue: list[Architecture] = []  # these neighbours, the next one last
        self._expanded: dict[Architecture, None] = {}

    def _propose(self) -> Architecture:
        if not self._queue and self._best is not None and not self._left:
            settled = not self._pending  # nothing that was asked for could still be better
            if self._best != self._around and (settled or not self._full):
                self._look_around(self._best)
            elif settled:
                self._leave_optimum()
        if self._queue:
            return self._queue.pop()
        self._left = max(self._left - 1, 0)
        return self._unseen()

    def _look_around(self, arch: Architecture) -> None:
        neighbours = self._space.neighbours(arch)
        self._around, self._best = arch, arch
        self._expanded[arch] = None
        self._queue = [neighbours[place] for place in self._rng.permutation(len(neighbours)).tolist()]

    def _leave_optimum(self) -> None:
        rest = (
            [arch for arch in self._values if arch not in self._expanded] if self._at_optimum != "restart" else []
        )
        if rest:
            self._look_around(max(rest, key=self._values.__getitem__))
        else:
            self._best = self._around = None
            self._left = self._starts

    def _learn(self, arch: Architecture, value: float) -> None:
        if self._at_optimum == "next_best" and arch in self._expanded:
            return  # it was left for something worse
        if self._best is not None and value <= self._values.get(self._best, FAILED):
            return
        self._best = arch
        if not self._full:
            self._queue = []  # look around the better one next

    def _own_state(self) -> dict[str, Any]:
        text = self._space.format
        return {
            "left": self._left,
            "best": None if self._best is None else text(self._best),
            "around": None if self._around is None else text(self._around),
            "queue": [text(arch) for arch in self._queue],
            "expanded": [text(arch) for arch in self._expanded],
        }

    def _load_own_state(self, state: dict[str, Any]) -> None:
        parse = self._space.parse
        self._left = int(state["left"])
        self._best = None if state["best"] is None else parse(state["best"])
        self._around = None if state["around"] is None else parse(state["around"])
        self._queue = [parse(text) for text in state["queue"]]
        self._expanded = dict.fromkeys(parse(text) for text in state["expanded"])
