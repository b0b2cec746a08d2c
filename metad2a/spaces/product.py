"""What spaces of independent decisions have in common."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int64

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import Architecture, SearchSpace

LISTABLE = 10_000_000
"""Larger spaces refuse to be listed."""


class ProductSpace(SearchSpace):
    """A space whose decisions are independent: every combination of choices is an architecture.

    Attributes:
        options: the number of choices of each decision; decision ``i`` is a number in ``0..options[i]-1``.
    """

    options: tuple[int, ...]

    def choices(self, archs: Sequence[Architecture]) -> Int64[np.ndarray, "B D"]:
        """Return the decisions of ``archs`` as one table.

        Raises:
            ArchitectureError: one of them is none of this space.
        """
        for arch in archs:
            if arch.space != self.name:
                raise ArchitectureError(
                    f"{arch} belongs to the space '{arch.space}', not to '{self.name}'. "
                    f"Make architectures of '{self.name}' with its parse() or sample()."
                )
            if len(arch.choices) != len(self.options):
                raise ArchitectureError(
                    f"{arch} has {len(arch.choices)} choices; an architecture of '{self.name}' has "
                    f"{len(self.options)}."
                )
        table = np.array([arch.choices for arch in archs], dtype=np.int64).reshape(-1, len(self.options))
        outside = (table < 0) | (table >= np.array(self.options))
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise ArchitectureError(
                f"{archs[row]}: choice {column} is {table[row, column]}, "
                f"but must lie in 0..{self.options[column] - 1}."
            )
        return table

    def used(self, archs: Sequence[Architecture]) -> Bool[np.ndarray, "B D"]:
        """Return which decisions each network depends on, as far as the space knows; here: all of them.

        Raises:
            ArchitectureError: one of ``archs`` is none of this space.
        """
        return np.ones_like(self.choices(archs), dtype=bool)

    def _archs(self, table: np.ndarray) -> list[Architecture]:
        return [Architecture(self.name, tuple(row)) for row in table.tolist()]

    @property
    def size(self) -> int:
        """The number of architectures."""
        return math.prod(self.options)

    def sample(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Return ``n`` architectures drawn uniformly, with replacement."""
        return self._archs(rng.integers(self.options, size=(n, len(self.options))))

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """Return one of the ``neighbours``; all decisions in use are equally likely to change.

        Raises:
            ArchitectureError: ``arch`` is none of this space.
        """
        table = self.choices([arch])
        options = np.array(self.options)
        position = rng.choice(np.flatnonzero(self.used([arch])[0] & (options > 1)))
        step = rng.integers(1, options[position])
        table[0, position] = (table[0, position] + step) % options[position]
        return self._archs(table)[0]

    def crossover(self, a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
        """Return an architecture that takes each decision from ``a`` or ``b`` with equal chance.

        Raises:
            ArchitectureError: a parent is none of this space.
        """
        first, second = self.choices([a, b])
        return self._archs(np.where(rng.integers(2, size=len(first)), first, second)[None])[0]

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """Return all architectures that differ in one decision that ``arch`` uses, by decision, then by choice.

        Raises:
            ArchitectureError: ``arch`` is none of this space.
        """
        old = arch.choices
        return [
            Architecture(self.name, (*old[:position], choice, *old[position + 1 :]))
            for position in np.flatnonzero(self.used([arch])[0]).tolist()
            for choice in range(self.options[position])
            if choice != old[position]
        ]

    def enumerate(self) -> Iterator[Architecture]:
        """Yield every architecture once, counting upwards; the last decision changes fastest.

        Raises:
            ArchitectureError: the space has more than ``LISTABLE`` architectures.
        """
        if self.size > LISTABLE:
            return super().enumerate()
        combinations = itertools.product(*(range(count) for count in self.options))
        return (Architecture(self.name, choices) for choices in combinations)
