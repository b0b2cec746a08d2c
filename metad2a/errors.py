"""Errors a caller can meet. A message says what is wrong, where, why, and what to do, in that order."""

import difflib
from collections.abc import Iterable


class MetaD2AError(Exception):
    """Base of every error raised on purpose by this package."""


class UserError(MetaD2AError):
    """The caller's mistake: the command line prints the message alone and exits with code 1."""


class UsageError(UserError, ValueError):
    """Options that make no sense together: the command line exits with code 2."""


class ArchitectureError(UserError, ValueError):
    """A text or graph is no architecture of the space."""


class CheckpointError(UserError, ValueError):
    """A file is no usable checkpoint, or one of another space or embedder."""


class ConfigError(UserError, ValueError):
    """A configuration value cannot be used."""


class DatabaseError(UserError, ValueError):
    """A database cannot be read, written or understood."""


class DataError(UserError, ValueError):
    """Images or labels cannot be used."""


class LimitError(UserError, ValueError):
    """No architecture satisfies the given limits."""


class OutputError(UserError, OSError):
    """A result cannot be written where it was asked for."""


class UnknownNameError(UserError, ValueError):
    """A name is none of the known ones."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return a question, after a space, for the option that is written most like ``name``; empty if none is."""
    lower = {option.lower(): option for option in options}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return f" Did you mean '{lower[close[0]]}'?" if close else ""


def unknown_name(kind: str, name: str, options: Iterable[str]) -> UnknownNameError:
    """Return the error for an unknown ``name``, with the closest of ``options`` and the whole list."""
    known = sorted(options)
    return UnknownNameError(
        f"unknown {kind} '{name}'.{did_you_mean(name, known)} Known: {', '.join(known) or 'none'}."
    )
