"""What the networks of a space are built for: classes, resolution and scale options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from metad2a.errors import ArchitectureError, ConfigError, unknown_name

if TYPE_CHECKING:
    from metad2a.spaces.base import SearchSpace


@dataclass(frozen=True)
class NetworkScale:
    """How large the networks of a space are.

    Attributes:
        resolution: pixels a side of their images.
        options: the space's scale options that are known; its defaults are those of the others.
    """

    resolution: int
    options: dict[str, int] = field(default_factory=dict, hash=False)

    @classmethod
    def of(
        cls, space: "SearchSpace", *, resolution: int | None = None, options: Mapping[str, int] | None = None
    ) -> "NetworkScale":
        """Return the scale that is told, and the space's own where nothing is.

        Raises:
            ArchitectureError: the space cannot build networks of it.
        """
        scale = cls(space.resolution if resolution is None else resolution, dict(options or {}))
        space.flops([], 1, scale.resolution, **scale.options)  # refuses what cannot be
        return scale

    def differs(self, space: "SearchSpace") -> bool:
        """Return whether anything was told."""
        return bool(self.options) or self.resolution != space.resolution

    def __str__(self) -> str:
        options = [f"{name} {value}" for name, value in self.options.items()]
        return ", ".join([*options, f"{self.resolution} pixels a side"])


def has_scale(space: "SearchSpace", options: Mapping[str, int]) -> bool:
    """Return whether the space has networks of these scale options."""
    try:
        space.params([], 2, **options)
    except ArchitectureError:
        return False
    return True


@runtime_checkable
class OfOneScale(Protocol):
    """What is true of networks of one scale alone: a table of their layers' latencies, say, or an oracle.

    Attributes:
        resolution: pixels a side of their images.
        scale: the space's scale options, as far as it knows them.
    """

    @property
    def resolution(self) -> int:
        """See the class."""

    @property
    def scale(self) -> Mapping[str, int]:
        """See the class."""


def agreed_scale(
    space: "SearchSpace",
    *,
    resolution: int | None = None,
    scale: Mapping[str, int] | None = None,
    knowing: Mapping[str, object] | None = None,
) -> NetworkScale:
    """Return the scale that is told, completed by what is true of one scale alone: nothing has to be told twice.

    Args:
        space: of the networks.
        resolution: pixels a side that were told; None for none.
        scale: scale options that were told.
        knowing: by how a message calls it, what may be ``OfOneScale``; the others say nothing.

    Raises:
        ArchitectureError: the space cannot build networks of it.
        ConfigError: two of them contradict each other; the message says which, and in what.
    """
    told = NetworkScale.of(space, resolution=resolution, options=scale)
    known = {**told.options, **({} if resolution is None else {"resolution": resolution})}
    source = dict.fromkeys(known, "the search")
    for what, one in (knowing or {}).items():
        if not isinstance(one, OfOneScale):
            continue
        for name, value in {**one.scale, "resolution": one.resolution}.items():
            if known.setdefault(name, value) != value:
                raise ConfigError(
                    f"{what} is for networks of {name}={value}, but {source[name]} is for {name}={known[name]}. "
                    f"Leave out what was told of the {name}, or give one for {name}={known[name]}."
                )
            source.setdefault(name, what)
    pixels = known.pop("resolution", space.resolution)
    return NetworkScale.of(space, resolution=pixels, options=known)


def checked_scale(
    space: str,
    defaults: Mapping[str, int],
    given: Mapping[str, int],
    *,
    num_classes: int,
    resolution: int = 1,
    min_resolution: int = 1,
) -> dict[str, int]:
    """Return all scale options of a network: those ``given``, the ``defaults`` for the others.

    Args:
        space: name of the space, for the message.
        defaults: the options that the space has.
        given: the options that the caller gave.
        num_classes: outputs of the network.
        resolution: pixels a side of its images.
        min_resolution: the smallest images that the networks can take.

    Raises:
        ArchitectureError: an option is unknown, or a number is too small.
    """
    for name in given:
        if name not in defaults:
            raise ArchitectureError(str(unknown_name(f"scale option for '{space}':", name, defaults)))
    scale = {**defaults, **given}
    for name, value in {"num_classes": num_classes, **scale}.items():
        if value < 1:
            raise ArchitectureError(f"a network of '{space}' cannot have {name}={value}. Give 1 or more.")
    if resolution < min_resolution:
        raise ArchitectureError(
            f"networks of '{space}' cannot take images of {resolution} pixels a side. "
            f"Give {min_resolution} or more."
        )
    return scale
