"""Images that a data set of torchvision makes one by one."""

import hashlib
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from metad2a.data.encoded import BROKEN, describe, square
from metad2a.data.sources import ImageFacts, ImageSource
from metad2a.errors import DataError


class ItemImages(ImageSource):
    """Images that are made when they are asked for by number, one after the other: sets need not stand threads.

    Args:
        dataset: its items are a Pillow image and something else.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def load(self, rows: Int[np.ndarray, " I"], size: int) -> UInt8[np.ndarray, "I {size} {size} 3"]:
        """Return the central squares of the images at ``rows``.

        Raises:
            DataError: an image cannot be read.
        """
        out = np.empty((len(rows), size, size, 3), np.uint8)
        for position, row in enumerate(rows.tolist()):
            out[position] = square(self._make(row), size)
        return out

    def content_keys(self, rows: Int[np.ndarray, " I"]) -> list[str]:
        """Return a hash of the pixels, their shape and mode.

        Raises:
            DataError: an image cannot be read.
        """
        return [_key(self._make(row)) for row in rows.tolist()]

    def facts(self, rows: Int[np.ndarray, " I"]) -> list[ImageFacts]:
        """Return what the images at ``rows`` are."""
        return [self._look(row) for row in rows.tolist()]

    def _look(self, row: int) -> ImageFacts:
        try:
            image = self._dataset[row][0]
            return describe(image, _key(image))
        except BROKEN as error:
            return ImageFacts(problem=str(error))

    def _make(self, row: int) -> Image.Image:
        try:
            image: Image.Image = self._dataset[row][0]
        except BROKEN as error:
            raise DataError(f"cannot read {self.where(row)} of {type(self._dataset).__name__}: {error}.") from error
        return image


def _key(image: Image.Image) -> str:
    head = f"{image.mode} {image.size}".encode()
    return hashlib.blake2b(head + image.tobytes(), digest_size=16).hexdigest()
