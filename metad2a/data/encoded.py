"""Images as files or as what files hold, opened only when they are asked for."""

import hashlib
import struct
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from metad2a.data.sources import ImageFacts, ImageSource, centre_square
from metad2a.errors import DataError

T = TypeVar("T")
Encoded = Path | bytes
"""A file, or what a file would hold."""

# Formats whose decoders live inside Pillow. Others (EPS, for one) start programs on the file they are given.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
AT_ONCE = 256  # encoded images that are in memory together
_GLANCE = 32  # pixels a side of the square that is made only to see that it can be
_ORIENTATION, _TURNED = 0x0112, range(5, 9)  # EXIF's tag, and those of its values that swap the sides


class EncodedImages(ImageSource):
    """Encoded images; what their decoders need is done here: orientation, colours, cropping, resizing."""

    @abstractmethod
    def contents(self, rows: Int[np.ndarray, " I"]) -> Sequence[Encoded]:
        """Return the files at ``rows``, or what is in them; they are asked for some at a time."""

    def load(self, rows: Int[np.ndarray, " I"], size: int) -> UInt8[np.ndarray, "I {size} {size} 3"]:
        """Return the central squares of the images at ``rows``, decoded in threads.

        Raises:
            DataError: an image is damaged, or no image.
        """
        out = np.empty((len(rows), size, size, 3), np.uint8)
        for position, square in enumerate(self._map(partial(read_square, size=size), rows)):
            out[position] = square
        return out

    def content_keys(self, rows: Int[np.ndarray, " I"]) -> list[str]:
        """Return a hash of each file's bytes.

        Raises:
            DataError: a file cannot be read.
        """
        return self._map(_content_hash, rows)

    def facts(self, rows: Int[np.ndarray, " I"]) -> list[ImageFacts]:
        """Return what the images at ``rows`` are, each read, hashed and decoded once, in threads."""
        return self._map(look_at, rows)

    def _map(self, function: Callable[[Encoded, str], T], rows: Int[np.ndarray, " I"]) -> list[T]:
        out: list[T] = []
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(rows), AT_ONCE):
                some = rows[start : start + AT_ONCE]
                out += pool.map(function, self.contents(some), map(self.where, some.tolist()))
        return out


class FileImages(EncodedImages):
    """Image files.

    Args:
        paths: of the files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def contents(self, rows: Int[np.ndarray, " I"]) -> list[Encoded]:
        """Return the paths at ``rows``."""
        return [self._paths[row] for row in rows]

    def where(self, row: int) -> str:
        """Return the path."""
        return str(self._paths[row])


def _content_hash(content: Encoded, where: str) -> str:
    if isinstance(content, bytes):
        return hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        with content.open("rb") as file:
            return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {where}: {error.strerror or error}.") from error


# --- one image ------------------------------------------------------------------------------------------------


def read_square(content: Encoded, where: str = "", *, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Return the central square of an encoded image, upright, RGB, on white where it is transparent.

    Of an animation the first picture counts.

    Args:
        content: a file, or what is in it.
        where: what messages call it; its path when not given.
        size: pixels a side.

    Raises:
        DataError: it is damaged, no image, or of a format or colour mode that is not supported.
    """
    where = where or str(content)
    try:
        with Image.open(_opened(content), formats=formats()) as image:
            return square(image, size)
    except UnidentifiedImageError as error:
        raise DataError(no_image(where)) from error
    except BROKEN as error:
        raise DataError(f"cannot read the image {where}: {error}. Repair, convert or remove it.") from error


def square(image: Image.Image, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Return the central square of an image that Pillow opened, as ``read_square`` does."""
    # Decodes a large JPEG at a fraction of its size; twice the goal leaves enough for the resize.
    image.draft(None, (2 * size, 2 * size))
    upright = ImageOps.exif_transpose(image)
    middle = upright.crop(centre_square(upright.height, upright.width))
    return np.asarray(_to_rgb(middle).resize((size, size), Image.Resampling.BICUBIC))


def look_at(content: Encoded, where: str) -> ImageFacts:
    """Return what an encoded image is, or why it cannot be read; it is read and decoded once."""
    try:
        data = content if isinstance(content, bytes) else content.read_bytes()
    except OSError as error:
        return ImageFacts(problem=f"cannot be read: {error.strerror or error}")
    key = _content_hash(data, where)
    try:
        with Image.open(BytesIO(data), formats=formats()) as image:
            facts = describe(image, key, suffix=content.suffix if isinstance(content, Path) else "")
            square(image, _GLANCE)
            return facts
    except UnidentifiedImageError:
        return ImageFacts(key=key, problem="is no image" if data else "is empty")
    except BROKEN as error:
        return ImageFacts(key=key, problem=str(error))


def describe(image: Image.Image, key: str, *, suffix: str = "") -> ImageFacts:
    """Return what the header of an image says.

    Args:
        image: as Pillow opened it.
        key: of its content.
        suffix: of the file's name, if there is one.
    """
    orientation = image.getexif().get(_ORIENTATION, 1)
    width, height = reversed(image.size) if orientation in _TURNED else image.size
    return ImageFacts(
        width=width,
        height=height,
        mode=image.mode,
        key=key,
        format=image.format or "",
        transparent=image.has_transparency_data,
        turned=orientation in range(2, 9),
        animated=bool(getattr(image, "is_animated", False)),
        misnamed=suffix.lower() in extensions() and not _same_format(suffix, image.format),
    )


def _same_format(suffix: str, name: str | None) -> bool:
    # A JPEG of several pictures is MPO to Pillow, and any of PPM's relatives is a PPM.
    return {Image.registered_extensions()[suffix.lower()]} & {name, "JPEG" if name == "MPO" else name} != set()


def _opened(content: Encoded) -> Path | BytesIO:
    return BytesIO(content) if isinstance(content, bytes) else content


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_sixteen_bits(image)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; convert it to 8 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255, which turns a 16-bit picture white.
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its pixels are 32-bit numbers of unknown range; convert it to 8 bits")
    return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")


def no_image(where: str) -> str:
    """Return what to say of a file that is no image."""
    return (
        f"{where} is no image that can be read ({', '.join(formats())} can). Remove the file or convert it; "
        "hidden files are ignored."
    )


@cache
def formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read here."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@cache
def extensions() -> frozenset[str]:
    """Return the ends of file names that mean one of these formats."""
    return frozenset(end for end, kind in Image.registered_extensions().items() if kind in formats())
