"""What a searcher is: it asks for architectures to evaluate and is told their values."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from metad2a.spaces.base import Architecture


@runtime_checkable
class Searcher(Protocol):
    """Proposes architectures of one space; ``metad2a.testing.searchers`` checks the rules.

    A searcher is deterministic given its seed and what it was told, and continues from ``state_dict`` exactly.
    """

    def ask(self, n: int) -> list[Architecture]:
        """Return up to ``n`` architectures worth evaluating, fewer (or none) when it has no more."""

    def tell(self, archs: Sequence[Architecture], values: Sequence[float]) -> None:
        """Learn the values (higher is better; NaN for a failed evaluation) of architectures asked for."""

    def state_dict(self) -> dict[str, Any]:
        """Return plain data from which ``load_state_dict`` continues."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state_dict``."""


class Ranked:
    """Proposes a given list in its order, each architecture once: the searcher behind a finished ranking."""

    def __init__(self, archs: Sequence[Architecture]) -> None:
        self._archs = list(archs)
        self._next = 0

    def ask(self, n: int) -> list[Architecture]:
        """See ``Searcher.ask``."""
        asked = self._archs[self._next : self._next + n]
        self._next += len(asked)
        return asked

    def tell(self, archs: Sequence[Architecture], values: Sequence[float]) -> None:
        """Ignore the values: the order is fixed."""

    def state_dict(self) -> dict[str, Any]:
        """See ``Searcher.state_dict``."""
        return {"next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``Searcher.load_state_dict``."""
        self._next = int(state["next"])
