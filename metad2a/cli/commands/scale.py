"""The scale of networks on the command line: --resolution and --scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metad2a.cli.commands.named_numbers import named_numbers
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.scale import NetworkScale, agreed_scale


@dataclass(frozen=True)
class Told:
    """What a user told of the scale of the networks.

    Attributes:
        resolution: pixels a side; None where nothing was told.
        texts: size options of the space, as ``NAME=NUMBER``.
    """

    resolution: int | None
    texts: Sequence[str]

    def agreed(self, space: SearchSpace, knowing: Mapping[str, object]) -> NetworkScale:
        """Return it completed by what knows its own; see ``agreed_scale``."""
        return agreed_scale(space, resolution=self.resolution, scale=sizes(self.texts), knowing=knowing)


def sizes(texts: Sequence[str]) -> dict[str, int]:
    """Return size options given as ``NAME=NUMBER``.

    Raises:
        ConfigError: a text has another form.
    """
    return named_numbers("--scale", texts, int, "channels=16")
