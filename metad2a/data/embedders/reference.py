"""Embedders as texts: ``NAME`` or ``NAME:MODEL``, and options behind it: ``?resolution=96&weights=FILE``."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metad2a.errors import ConfigError, unknown_name

MODEL = "model"
_READERS: Mapping[str, Callable[[str], Any]] = {"resolution": int, "weights": Path}  # others are texts


@dataclass(frozen=True)
class Reference:
    """Which embedder, and with which options.

    Args:
        name: of the embedder, as installed packages offer it.
        model: which of those it knows; None for an embedder that is one.
        options: their values by name, as texts.
    """

    name: str
    model: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Return the reference that ``text`` is.

        Raises:
            ConfigError: an option has no value, or two.
        """
        head, _, query = text.partition("?")
        name, colon, model = head.partition(":")
        options: dict[str, str] = {}
        for part in query.split("&") if query else []:
            option, _, value = part.partition("=")
            if not value or option in options:
                problem = "is given twice" if option in options else "has no value"
                raise ConfigError(f"embedder '{text}': the option '{option}' {problem}. Write NAME?OPTION=VALUE.")
            options[option] = value
        return cls(name, model if colon else None, options)

    def __str__(self) -> str:
        head = self.name if self.model is None else f"{self.name}:{self.model}"
        query = "&".join(f"{option}={value}" for option, value in self.options.items())
        return f"{head}?{query}" if query else head

    def arguments(self, factory: Callable[..., Any]) -> dict[str, Any]:
        """Return what ``factory`` must be called with; the names of its parameters are those of the options.

        Raises:
            ConfigError: it needs a model and none is given, or the other way round, or a value is no number.
            UnknownNameError: it has no such option.
        """
        known = inspect.signature(factory).parameters
        if (self.model is None or not self.model) and MODEL in known:
            raise ConfigError(f"the embedder '{self.name}' needs the name of a model: {form(self.name, factory)}.")
        if self.model is not None and MODEL not in known:
            raise ConfigError(f"embedder '{self}': '{self.name}' is a model itself. Leave out ':{self.model}'.")
        options = [name for name in known if name != MODEL]
        for option in self.options:
            if option not in options:
                raise unknown_name(f"option of the embedder '{self.name}'", option, options)
        read = {option: self._read(option, value) for option, value in self.options.items()}
        return read if self.model is None else {MODEL: self.model, **read}

    def _read(self, option: str, value: str) -> Any:
        try:
            return _READERS.get(option, str)(value)
        except ValueError as error:
            raise ConfigError(f"embedder '{self}': {option}={value} is no whole number.") from error


def form(name: str, factory: Callable[..., Any]) -> str:
    """Return how references to an embedder look: ``timm:MODEL?resolution=&weights=``."""
    known = list(inspect.signature(factory).parameters)
    query = "&".join(f"{option}=" for option in known if option != MODEL)
    return name + (":MODEL" if MODEL in known else "") + (f"?{query}" if query else "")


def whole(name: str, model: str | None = None, *, resolution: int | None, weights: Path | None) -> str:
    """Return the reference that stands in checkpoints: of a file only its name, which is the same everywhere."""
    options = {"resolution": resolution, "weights": weights and weights.name}
    return str(Reference(name, model, {option: str(value) for option, value in options.items() if value}))
