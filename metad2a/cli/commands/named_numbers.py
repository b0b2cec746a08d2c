"""Options that name numbers."""

from collections.abc import Sequence
from typing import TypeVar

from metad2a.errors import ConfigError

Number = TypeVar("Number", int, float)


def named_numbers(option: str, texts: Sequence[str], kind: type[Number], example: str) -> dict[str, Number]:
    """Return the numbers that the ``texts`` of an ``option`` give as ``NAME=NUMBER``.

    Raises:
        ConfigError: a text has another form than ``example``.
    """
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name] = kind(number)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise ConfigError(f"{option} {text}: give a name and {what}, as in {example}.") from None
    return found
