"""What every way of storing ImageNet can do: tell its labels, and read its images once from first to last."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Int, UInt8

BYTES_AT_ONCE = 2**24
"""About how much of the images is in memory at once."""


@dataclass(frozen=True)
class Block:
    """Some images, one after the other.

    Attributes:
        images: squares; black where ``problems`` says so.
        problems: why an image cannot be read, by its place in ``images``.
    """

    images: UInt8[np.ndarray, "n S S 3"]
    problems: dict[int, str] = field(default_factory=dict)


class Originals(ABC):
    """Images as others store them.

    Attributes:
        layout: what it is called.
        classes: names.
        labels: class number of each image, in the order of reading.
        identity: a text that is the same only for the same files.
        side: pixels a side; None where every image has its own.
    """

    layout: ClassVar[str]
    classes: tuple[str, ...]
    labels: Int[np.ndarray, " I"]
    identity: str
    side: int | None = None

    @abstractmethod
    def read(self, wanted: Int[np.ndarray, " W"], size: int) -> Iterator[Block]:
        """Yield the ``wanted`` images, whose places ascend, as squares of ``size`` pixels a side.

        Raises:
            DataError: they cannot be read at all.
        """
