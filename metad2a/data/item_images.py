"""Images that something makes one by one, as most data sets of torchvision do."""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from metad2a.data.encoded import BROKEN, describe, square
from metad2a.data.sources import ImageFacts, ImageSource
from metad2a.errors import DataError


class ItemImages(ImageSource):
    """Images that something makes when it is asked for them by number.

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
        for position, made in enumerate(self._map(lambda image: square(image, size), rows)):
            out[position] = made
        return out

    def content_keys(self, rows: Int[np.ndarray, " I"]) -> list[str]:
        """Return a hash of the pixels, their shape and mode.

        Raises:
            DataError: an image cannot be read.
        """
        return list(self._map(_key, rows))

    def facts(self, rows: Int[np.ndarray, " I"]) -> list[ImageFacts]:
        """Return what the images at ``rows`` are."""

        def look(row: int) -> ImageFacts:
            try:
                image = self._dataset[row][0]
                return describe(image, _key(image))
            except BROKEN as error:
                return ImageFacts(problem=str(error))

        with ThreadPoolExecutor() as pool:
            return list(pool.map(look, rows.tolist()))

    def _map(self, function: Callable[[Image.Image], Any], rows: Int[np.ndarray, " I"]) -> Iterable[Any]:
        def one(row: int) -> Any:
            try:
                return function(self._dataset[row][0])
            except BROKEN as error:
                raise DataError(
                    f"cannot read {self.where(row)} of {type(self._dataset).__name__}: {error}."
                ) from error

        with ThreadPoolExecutor() as pool:
            yield from pool.map(one, rows.tolist())


def _key(image: Image.Image) -> str:
    head = f"{image.mode} {image.size}".encode()
    return hashlib.blake2b(head + image.tobytes(), digest_size=16).hexdigest()
