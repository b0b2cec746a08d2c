"""Architectures by number, in the order of a published table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import Architecture, SearchSpace


@dataclass(frozen=True)
class ArchTable:
    """A numbered list of architectures, for example NATS-Bench's order of the cells of NAS-Bench-201.

    Attributes:
        archs: architecture ``i`` at place ``i``, all different.

    Raises:
        ArchitectureError: an architecture occurs twice.
    """

    archs: tuple[Architecture, ...]

    def __post_init__(self) -> None:
        if len(self._numbers) == len(self.archs):
            return
        for number, arch in enumerate(self.archs):
            if self._numbers[arch] != number:
                raise ArchitectureError(
                    f"the table has {arch} twice, in rows {number} and {self._numbers[arch]} (counted from 0). "
                    "Remove one of them."
                )

    @classmethod
    def from_texts(cls, space: SearchSpace, texts: Iterable[str], *, complete: bool = False) -> "ArchTable":
        """Return the table of the architectures that ``texts`` name.

        Args:
            space: their space.
            texts: one architecture each, in the order of the table.
            complete: demand every architecture of the space.

        Raises:
            ArchitectureError: a text is no architecture, one occurs twice, or one is missing.
        """
        archs = []
        for number, text in enumerate(texts):
            try:
                archs.append(space.parse(text))
            except ArchitectureError as error:
                raise ArchitectureError(f"row {number} of the table (counted from 0): {error}") from error
        table = cls(tuple(archs))
        if complete and len(table) < space.size:
            missing = next(arch for arch in space.enumerate() if arch not in table)
            raise ArchitectureError(
                f"the table has {len(table)} of the {space.size} architectures of '{space.name}'; "
                f"'{space.format(missing)}' is missing, for one. Give the whole table."
            )
        return table

    @cached_property
    def _numbers(self) -> dict[Architecture, int]:
        return {arch: number for number, arch in enumerate(self.archs)}

    def __len__(self) -> int:
        return len(self.archs)

    def __contains__(self, arch: Architecture) -> bool:
        return arch in self._numbers

    def index(self, arch: Architecture) -> int:
        """Return the number of ``arch``.

        Raises:
            ArchitectureError: the table does not have it.
        """
        return int(self.indices([arch])[0])

    def indices(self, archs: Sequence[Architecture]) -> Int64[np.ndarray, " B"]:
        """Return the number of each of ``archs``.

        Raises:
            ArchitectureError: the table does not have one of them.
        """
        try:
            return np.array([self._numbers[arch] for arch in archs], dtype=np.int64)
        except KeyError as error:
            raise ArchitectureError(
                f"{error.args[0]} is none of the {len(self)} architectures of the table. Use a table that has it."
            ) from error

    def arch(self, number: int) -> Architecture:
        """Return the architecture ``number``.

        Raises:
            ArchitectureError: the table has no such number.
        """
        if not 0 <= number < len(self):
            raise ArchitectureError(f"the table has no architecture {number}: its numbers are 0..{len(self) - 1}.")
        return self.archs[number]
