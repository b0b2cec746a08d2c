"""Arrays as scikit-learn passes them around, turned into pictures."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from metad2a.errors import DataError

_SMALLEST_COLOUR_SIDE = 8  # rows of 3 * 8 * 8 numbers and more may well be colour pictures


@dataclass(frozen=True)
class PixelInput:
    """How rows of numbers become pictures, as it was learned from the training data.

    Attributes:
        shape: (height, width) or (height, width, channels) of a picture.
        low: the number that becomes black.
        high: the number that becomes white.
        bytes: whether the numbers were uint8.
    """

    shape: tuple[int, ...]
    low: float
    high: float
    bytes: bool

    @classmethod
    def of(cls, rows: np.ndarray, shape: Sequence[int] | None) -> "PixelInput":
        """Learn from the (n, features) training data; ``shape`` None means square gray pictures.

        uint8 are pixels, floats within 0..1 are shares of white; of other numbers the smallest and the largest
        become black and white. Rows that make no square are filled up with ``low`` at the end, with a warning.

        Raises:
            DataError: the rows do not have this shape, or are more likely colour pictures.
        """
        features = rows.shape[1]
        pictured = _square(features) if shape is None else _checked(tuple(shape), features)
        if rows.dtype == np.uint8:
            return cls(pictured, 0.0, 255.0, bytes=True)
        low, high = float(rows.min()), float(rows.max())
        if np.issubdtype(rows.dtype, np.floating) and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        return cls(pictured, low, high if high > low else low + 1.0, bytes=False)

    def images(self, rows: np.ndarray) -> UInt8[np.ndarray, "n ..."]:
        """Return the pictures of (n, features) rows.

        Raises:
            DataError: the rows are shares of white, but those of the training were uint8.
        """
        if rows.dtype == np.uint8 and self.bytes:
            pixels = rows
        else:
            if self.bytes and len(rows) and rows.max() <= 1 and (rows % 1 != 0).any():
                raise DataError(
                    "the classifier was fitted on uint8 pixels, but these are within 0..1. Give uint8 again."
                )
            # In two halves, since the largest floats would overflow when subtracted.
            span = self.high / 2 - self.low / 2
            shares = np.clip((rows / 2 - self.low / 2) / span, 0.0, 1.0)
            pixels = np.rint(255 * shares).astype(np.uint8)
        missing = math.prod(self.shape) - rows.shape[1]
        return np.pad(pixels, ((0, 0), (0, missing))).reshape(-1, *self.shape)


def _checked(shape: tuple[int, ...], features: int) -> tuple[int, ...]:
    if len(shape) not in (2, 3) or min(shape) < 1 or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise DataError(
            f"image_shape={shape} is no shape of pictures. Give (height, width) or (height, width, channels) with "
            "1 (gray), 3 (RGB) or 4 (RGB and alpha) channels."
        )
    if math.prod(shape) != features:
        raise DataError(
            f"image_shape={shape} makes {math.prod(shape)} numbers, but X has {features} features. "
            "Give the shape that the pictures had before they were flattened."
        )
    return shape


def _square(features: int) -> tuple[int, int]:
    side = math.isqrt(features)
    if side**2 == features:
        return side, side
    colour = math.isqrt(features // 3)
    if 3 * colour**2 == features and colour >= _SMALLEST_COLOUR_SIDE:
        raise DataError(
            f"X has {features} features: colour pictures of {colour} x {colour} pixels, perhaps. Say so with "
            f"image_shape=({colour}, {colour}, 3), the channels last, or give X with the shape of pictures."
        )
    warnings.warn(
        f"X has {features} features, which make no square picture: they fill one of {side + 1} x {side + 1} row by "
        "row, and the rest is black. If they are pictures, give image_shape=(height, width).",
        stacklevel=4,
    )
    return side + 1, side + 1
