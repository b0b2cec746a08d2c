"""What a searcher is: it asks for architectures to evaluate and is told their values."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Unpack, get_args, get_origin, get_type_hints, runtime_checkable

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
    known = _options_of(make)
    unknown = next((option for option in options if known is not None and option not in known), None)
    if unknown is not None:
        raise ConfigError(f"searcher '{name}' has no option '{unknown}'. Its options: {', '.join(known or ())}.")
    searcher: Searcher = make(space, seed=seed, **options)
    return searcher


def _options_of(make: Callable[..., Searcher]) -> list[str] | None:
    """Return the names of a searcher's options; None where it takes any."""
    names: set[str] = set()
    for one in inspect.signature(make, eval_str=True).parameters.values():
        if one.kind is not inspect.Parameter.VAR_KEYWORD:
            names.add(one.name)
        elif get_origin(one.annotation) is Unpack:
            names |= set(get_type_hints(*get_args(one.annotation)))
        else:
            return None
    return sorted(names - {"space", "seed"})
