"""Random search: the baseline every method has to beat."""

from metad2a.search.remembering import Remembering
from metad2a.spaces.base import Architecture


class RandomSearch(Remembering):
    """Uniform architectures, each at most once; see ``Remembering`` for the arguments."""

    stream = "random search"

    def _propose(self) -> Architecture:
        # One at a time: asking in other portions gives the same architectures.
        return self._space.sample(1, self._rng)[0]

    def _learn(self, arch: Architecture, value: float) -> None:
        """Ignore the values: that is what makes it random search."""
