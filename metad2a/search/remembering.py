"""What searchers have in common: which architectures were asked for, and what they turned out to be worth."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace

FAILED = -math.inf
"""What a failed evaluation is worth: less than every other."""


class Remembering(ABC):
    """A searcher that never asks twice for an architecture.

    A method that proposes a known architecture again (evolution and REINFORCE do) is told its known value at once,
    which costs no evaluation. ``proposals`` counts these repeats, too; published curves of those methods are drawn
    over it. A proposal that was asked for and not told yet is drawn again and not counted. Where ``patience``
    proposals in a row bring nothing new, an architecture that was never asked for is drawn uniformly.

    Args:
        space: what is searched.
        seed: of all draws.
        first: architectures to ask for before any other, in this order (a ranking, for a warm start).

    Attributes:
        proposals: how many architectures were proposed, repeats included.
        patience: see above.
        stream: name of the method's stream of random numbers.

    Raises:
        ArchitectureError: one of ``first`` is none of the space.
    """

    patience = 100
    stream: str

    def __init__(self, space: SearchSpace, *, seed: int = 0, first: Sequence[Architecture] = ()) -> None:
        for arch in first:
            space.format(arch)
        self._space = space
        self._rng = numpy_rng(seed, self.stream)
        self._first = list(dict.fromkeys(first))
        self._taken = 0  # of the first
        self._pending: dict[Architecture, None] = {}  # asked for, in that order
        self._values: dict[Architecture, float] = {}  # told, in that order
        self.proposals = 0

    # --- a method -----------------------------------------------------------------------------------------

    @abstractmethod
    def _propose(self) -> Architecture:
        """Return what to look at next; it may be known."""

    @abstractmethod
    def _learn(self, arch: Architecture, value: float) -> None:
        """Take the value of an architecture that was told, or proposed again; ``FAILED`` is less than all."""

    def _own_state(self) -> dict[str, Any]:
        """Return the method's own state as plain data, in containers of its own."""
        return {}

    def _load_own_state(self, state: dict[str, Any]) -> None:  # noqa: B027 - a method may have none
        """Continue from ``_own_state``; everything else is loaded before."""

    # --- a searcher ---------------------------------------------------------------------------------------

    def ask(self, n: int) -> list[Architecture]:
        """Return ``n`` new architectures, fewer only when the space is exhausted."""
        asked: list[Architecture] = []
        while len(asked) < n and len(self._pending) + len(self._values) < self._space.size:
            arch = self._next()
            self._pending[arch] = None
            asked.append(arch)
        return asked

    def tell(self, archs: Sequence[Architecture], values: Sequence[float]) -> None:
        """Learn values (higher is better; NaN for a failed evaluation), also of what was not asked for."""
        for arch, value in zip(archs, values, strict=True):
            self._pending.pop(arch, None)
            self._values[arch] = FAILED if math.isnan(value) else float(value)
            self._learn(arch, self._values[arch])

    def state_dict(self) -> dict[str, Any]:
        """See ``metad2a.search.base.Searcher.state_dict``."""
        return {
            "rng": self._rng.bit_generator.state,
            "first": [self._space.format(arch) for arch in self._first],
            "taken": self._taken,
            "proposals": self.proposals,
            "pending": [self._space.format(arch) for arch in self._pending],
            "values": [
                [self._space.format(arch), None if value == FAILED else value]
                for arch, value in self._values.items()
            ],
            "own": self._own_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``metad2a.search.base.Searcher.load_state_dict``."""
        parse = self._space.parse
        self._rng.bit_generator.state = state["rng"]
        self._first = [parse(text) for text in state["first"]]
        self._taken = int(state["taken"])
        self.proposals = int(state["proposals"])
        self._pending = dict.fromkeys(parse(text) for text in state["pending"])
        self._values = {parse(text): FAILED if value is None else float(value) for text, value in state["values"]}
        self._load_own_state(state["own"])

    # --- for methods --------------------------------------------------------------------------------------

    def _known(self, arch: Architecture) -> bool:
        return arch in self._values or arch in self._pending

    def _unseen(self) -> Architecture:
        """Return a uniform architecture that is not known; there must be one."""
        while True:
            arch = self._space.sample(1, self._rng)[0]
            if not self._known(arch):
                return arch

    def _next(self) -> Architecture:
        while self._taken < len(self._first):
            arch = self._first[self._taken]
            self._taken += 1
            if not self._known(arch):
                self.proposals += 1
                return arch
        for _ in range(self.patience):
            arch = self._propose()
            if arch in self._pending:
                continue
            self.proposals += 1
            if arch not in self._values:
                return arch
            self._learn(arch, self._values[arch])
        self.proposals += 1
        return self._unseen()
