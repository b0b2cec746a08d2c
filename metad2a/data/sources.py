"""Where images come from: what every source can do, and how any image becomes a square."""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch.nn import functional as F

from metad2a.errors import DataError

_log = logging.getLogger(__name__)

SQUARE_VERSION = "centre-square-bicubic-1"
"""Names how images become squares; part of every cache key, so change it when the pixels change."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image is before anything is done to it.

    Attributes:
        width: in pixels, as it is meant to be seen.
        height: in pixels, as it is meant to be seen.
        mode: how colours are stored, by Pillow's names: L, P, RGB, RGBA, CMYK, I;16 ...
        key: equal only for equal images, like ``ImageSource.content_keys``.
        format: PNG, JPEG ...; empty for what is no file.
        transparent: some of it may be.
        turned: it is stored lying on its side, upside down or mirrored, and says so (EXIF).
        animated: it has several pictures.
        misnamed: the end of its name means another format.
        problem: why it cannot be read; empty when it can.
    """

    width: int = 0
    height: int = 0
    mode: str = ""
    key: str = ""
    format: str = ""
    transparent: bool = False
    turned: bool = False
    animated: bool = False
    misnamed: bool = False
    problem: str = ""


class ImageSource(ABC):
    """Some images that can be read by position. To add a kind of source, write these four methods."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def load(self, rows: Int[np.ndarray, " I"], size: int) -> UInt8[np.ndarray, "I {size} {size} 3"]:
        """Return RGB images of ``size`` pixels a side: the central square of each, resized (bicubic)."""

    @abstractmethod
    def content_keys(self, rows: Int[np.ndarray, " I"]) -> list[str]:
        """Return a text for each image that is equal only for equal images, wherever they are stored."""

    @abstractmethod
    def facts(self, rows: Int[np.ndarray, " I"]) -> list[ImageFacts]:
        """Return what each image is; one that cannot be read says why, and stops nothing."""

    def where(self, row: int) -> str:
        """Return what to call the image at ``row`` in a message."""
        return f"image {row}"


def centre_square(height: int, width: int) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the largest central square.

    Cropping before resizing gives the picture of "resize the shorter side, then crop" without scaling what is
    thrown away.
    """
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def resize(images: UInt8[np.ndarray, "I S S 3"], size: int) -> UInt8[np.ndarray, "I {size} {size} 3"]:
    """Resize square images, all at once (antialiased bicubic, as Pillow does)."""
    if images.shape[1] == size:
        return images
    if len(images) == 0:
        return np.empty((0, size, size, 3), np.uint8)
    channels_first = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    resized = F.interpolate(channels_first, (size, size), mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())


class ArrayImages(ImageSource):
    """Images that are in memory already.

    Args:
        x: (N,H,W) gray, or (N,H,W,C) with C = 1 gray, 3 RGB, 4 RGB and alpha; uint8.
        name: of the image set, for messages.

    Raises:
        DataError: another type or shape.
    """

    def __init__(self, x: np.ndarray, *, name: str) -> None:
        _check_pixels(x, name)
        self._x = x if x.ndim == 4 else x[..., None]

    def __len__(self) -> int:
        return len(self._x)

    def load(self, rows: Int[np.ndarray, " I"], size: int) -> UInt8[np.ndarray, "I {size} {size} 3"]:
        """Return the central squares of the images at ``rows``."""
        left, top, right, bottom = centre_square(*self._x.shape[1:3])
        return resize(_to_rgb(self._x[rows, top:bottom, left:right]), size)

    def content_keys(self, rows: Int[np.ndarray, " I"]) -> list[str]:
        """Return a hash of the pixels and their shape."""
        shape = str(self._x.shape[1:]).encode()
        return [hashlib.blake2b(shape + self._x[row].tobytes(), digest_size=16).hexdigest() for row in rows]

    def facts(self, rows: Int[np.ndarray, " I"]) -> list[ImageFacts]:
        """Return the one size and mode that all have, and their keys."""
        height, width, channels = self._x.shape[1:]
        mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        keys = self.content_keys(rows)
        return [ImageFacts(width, height, mode, key, transparent=channels == 4) for key in keys]


def _to_rgb(x: UInt8[np.ndarray, "I H W C"]) -> UInt8[np.ndarray, "I H W 3"]:
    channels = x.shape[-1]
    if channels == 1:
        return np.repeat(x, 3, axis=-1)
    if channels == 3:
        return x
    colour, alpha = x[..., :3].astype(np.uint16), x[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _check_pixels(x: np.ndarray, name: str) -> None:
    if np.issubdtype(x.dtype, np.floating):
        convert = "(x * 255).round()" if x.size and np.nanmax(x) <= 1 else "x.round()"
        raise DataError(
            f"image set '{name}': the images are {x.dtype}, not uint8. "
            f'Convert them: {convert}.clip(0, 255).astype("uint8").'
        )
    if x.dtype != np.uint8:
        raise DataError(
            f"image set '{name}': the images are {x.dtype}, not uint8. Scale them to 0..255, then "
            'x.astype("uint8").'
        )
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 3, 4):
        raise DataError(
            f"image set '{name}': the images have shape {x.shape}, colours before pixels. "
            "Move them to the end: x.transpose(0, 2, 3, 1)."
        )
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3, 4)) or 0 in x.shape:
        raise DataError(
            f"image set '{name}': the images have shape {x.shape}. Needed is (N,H,W) or (N,H,W,C) with C = 1 "
            "(gray), 3 (RGB) or 4 (RGB and alpha), and at least one image."
        )


def used_classes(
    y: np.ndarray, num_images: int, classes: Sequence[str] | None, *, name: str
) -> tuple[Int[np.ndarray, " I"], tuple[str, ...]]:
    """Return the labels renumbered without gaps, and the names of the classes that have images.

    Without ``classes`` the numbers are the names. A name without images is left out: a subset of a larger data
    set keeps its list of names.

    Raises:
        DataError: the labels are no class numbers, fewer than two are used, or they do not fit images or names.
    """
    where = f"image set '{name}': "
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(
            f'{where}the labels are {y.dtype}, not integers. Convert them: y.astype("int64"), or for names '
            "classes, y = np.unique(y, return_inverse=True)."
        )
    if y.ndim != 1 or len(y) != num_images:
        raise DataError(
            f"{where}the labels have shape {y.shape}, but there are {num_images} images. Needed is one "
            f"label an image, shape ({num_images},)."
        )
    if y.min() < 0:
        raise DataError(f"{where}image {int(y.argmin())} has label {y.min()}. Labels count from 0.")
    used, labels = np.unique(y, return_inverse=True)
    if classes is not None and used[-1] >= len(classes):
        raise DataError(f"{where}label {used[-1]} has no name: only {len(classes)} class names are given.")
    if len(used) < 2:
        raise DataError(f"{where}all images are of one class. At least two classes are needed.")
    if classes is not None and len(used) < len(classes):
        _log.info(
            "%s%d of %d classes have no image and are left out", where, len(classes) - len(used), len(classes)
        )
    names = tuple(str(number) for number in used) if classes is None else tuple(classes[number] for number in used)
    return labels.astype(np.int64), names
