"""What a searcher is: it asks for architectures to evaluate and is told their values."""

import inspect
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from metad2a import plugins
from metad2a.errors import ConfigError
from metad2a.spaces.base import Architecture, SearchSpace


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


def get_searcher(name: str, space: SearchSpace, *, seed: int = 0, **options: Any) -> Searcher:
    """Return the searcher ``name``, built in or from an installed package.

    Args:
        name: of the searcher.
        space: what it searches.
        seed: of all its draws.
        options: of its class; the built-in ones all take ``first``, architectures to ask for before any other.

    Raises:
        UnknownNameError: there is no such searcher.
        ConfigError: it has no such option, cannot use its value, or cannot search this space.
        UserError: it needs a package that is not installed.
    """
    make = plugins.load("searchers", name)
    taken = inspect.signature(make).parameters
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        known = sorted(set(taken) - {"space", "seed"})
        for option in options:
            if option not in known:
                raise ConfigError(f"searcher '{name}' has no option '{option}'. Its options: {', '.join(known)}.")
    searcher: Searcher = make(space, seed=seed, **options)
    return searcher
