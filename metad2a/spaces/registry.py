"""Search spaces by name."""

from metad2a import plugins
from metad2a.spaces.base import SearchSpace


def get_space(name: str) -> SearchSpace:
    """Return the search space ``name``, built in or from an installed package.

    Raises:
        UnknownNameError: there is no such space.
    """
    space: SearchSpace = plugins.load("spaces", name)()
    return space
