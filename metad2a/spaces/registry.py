"""Search spaces by name."""

from metad2a import plugins
from metad2a.errors import ArchitectureError
from metad2a.spaces.base import Architecture, SearchSpace

DEFAULT_SPACE = "nasbench201"
"""What is meant where nothing says another one."""


def get_space(name: str) -> SearchSpace:
    """Return the search space ``name``, built in or from an installed package.

    Raises:
        UnknownNameError: there is no such space.
    """
    space: SearchSpace = plugins.load("spaces", name)()
    return space


def parse_in(space: SearchSpace, text: str, option: str) -> Architecture:
    """Return the architecture that ``text`` is in ``space``, for a command that was told of the space, or was not.

    Args:
        space: of the architecture.
        text: of the architecture.
        option: what names a space, up to its name.

    Raises:
        ArchitectureError: it is none; if it is one of another space, the message says how to name that.
    """
    try:
        return space.parse(text)
    except ArchitectureError as error:
        other = space_of(text)
        if other is None:
            raise
        raise ArchitectureError(
            f"'{text}' is of the space '{other}', not '{space.name}': give {option}{other}."
        ) from error


def space_of(text: str) -> str | None:
    """Return the name of the first space that ``text`` is an architecture of; None if it is one of no space."""
    return next((name for name in plugins.names("spaces") if _reads(get_space(name), text)), None)


def _reads(space: SearchSpace, text: str) -> bool:
    try:
        space.parse(text)
    except ArchitectureError:
        return False
    return True
