"""The check of what the networks of a space are built for: classes, resolution and scale options."""

from collections.abc import Mapping

from metad2a.errors import ArchitectureError, unknown_name


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
