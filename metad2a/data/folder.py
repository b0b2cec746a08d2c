"""Images in a folder, one sub-folder per class, opened only when they are asked for."""

import hashlib
import os
import struct
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from metad2a.data.sources import ImageSource, centre_square
from metad2a.errors import DataError

# Formats whose decoders live inside Pillow. Others (EPS, for one) start programs on the file they are given.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}
SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class FolderImages(ImageSource):
    """Image files; what their decoders need is done here: orientation, colours, cropping, resizing.

    Args:
        paths: of the files.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def load(self, rows: Int[np.ndarray, " I"], size: int) -> UInt8[np.ndarray, "I {size} {size} 3"]:
        """Return the central squares of the files at ``rows``, decoded in threads.

        Raises:
            DataError: a file is damaged or no image.
        """
        out = np.empty((len(rows), size, size, 3), np.uint8)
        with ThreadPoolExecutor() as pool:
            squares = pool.map(partial(read_square, size=size), (self._paths[row] for row in rows))
            for position, square in enumerate(squares):
                out[position] = square
        return out

    def content_keys(self, rows: Int[np.ndarray, " I"]) -> list[str]:
        """Return a hash of each file's bytes.

        Raises:
            DataError: a file cannot be read.
        """
        with ThreadPoolExecutor() as pool:
            return list(pool.map(_file_hash, (self._paths[row] for row in rows)))


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error


# --- one file -------------------------------------------------------------------------------------------------


def read_square(path: Path, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Return the central square of an image file, upright, RGB, on white where it is transparent.

    Of an animation the first picture counts.

    Raises:
        DataError: the file is damaged, no image, or of a format or colour mode that is not supported.
    """
    try:
        with Image.open(path, formats=_formats()) as opened:
            # Decodes a large JPEG at a fraction of its size; twice the goal leaves enough for the resize.
            opened.draft(None, (2 * size, 2 * size))
            upright = ImageOps.exif_transpose(opened)
            image = upright.crop(centre_square(upright.height, upright.width))
        return np.asarray(_to_rgb(image).resize((size, size), Image.Resampling.BICUBIC))
    except UnidentifiedImageError as error:
        raise DataError(_no_image(path)) from error
    except BROKEN as error:
        raise DataError(f"cannot read the image {path}: {error}. Repair, convert or remove the file.") from error


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


def _no_image(path: Path) -> str:
    return (
        f"{path} is no image that can be read ({', '.join(_formats())} can). Remove the file or convert it; "
        "hidden files are ignored."
    )


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@cache
def _extensions() -> frozenset[str]:
    return frozenset(end for end, kind in Image.registered_extensions().items() if kind in _formats())


# --- the folder -----------------------------------------------------------------------------------------------


def scan(folder: Path) -> tuple[list[Path], Int[np.ndarray, " I"], tuple[str, ...]]:
    """Return the image files below ``folder``, their labels, and the class names, all in a fixed order.

    Files that lie beside the class folders and are no images (a read-me, a list of labels) are ignored.

    Raises:
        DataError: the folder or a class is missing, empty, or holds something that is no image.
    """
    classes = _class_folders(folder)
    paths: list[Path] = []
    counts = []
    for name, place in classes.items():
        found = sorted(_files(place), key=Path.as_posix)
        if not found:
            raise DataError(f"class '{name}' ({place}) has no image. Remove the folder or add images.")
        for path in found:
            _check_file(path)
        paths += found
        counts.append(len(found))
    return paths, np.repeat(np.arange(len(counts)), counts), tuple(classes)


def _class_folders(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(f"image folder {folder} {problem}. Give a folder with one sub-folder of images per class.")
    entries = [entry for entry in folder.iterdir() if not _hidden(entry.name)]
    loose = sorted(e for e in entries if not e.is_dir() and e.suffix.lower() in _extensions())
    if loose:
        raise DataError(
            f"image {loose[0]} lies beside the class folders, so it has no class. "
            "Give each class a sub-folder and move the images there."
        )
    # The same name can be stored in two Unicode forms; NFC is the one people type.
    found = {unicodedata.normalize("NFC", entry.name): entry for entry in entries if entry.is_dir()}
    classes = dict(sorted(found.items()))
    if not classes:
        raise DataError(f"image folder {folder} has no sub-folders. Needed is one sub-folder of images per class.")
    if {name.lower() for name in classes} <= SPLITS:
        raise DataError(
            f"image folder {folder} holds splits ({', '.join(classes)}), not classes. Give one of them: "
            f"{folder / next(iter(classes.values())).name}."
        )
    if len(classes) == 1:
        raise DataError(
            f"image folder {folder} has only one class ('{next(iter(classes))}'). "
            "At least two sub-folders, one per class, are needed."
        )
    return classes


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below ``folder``; links are followed, each real folder is entered once."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _hidden(name))
        yield from (Path(place, name) for name in files if not _hidden(name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED


def _check_file(path: Path) -> None:
    """Refuse what is no image by its name or, where the name says nothing, by its first bytes."""
    if path.suffix.lower() in _extensions():
        return
    try:
        with Image.open(path, formats=_formats()):
            return
    except BROKEN as error:
        raise DataError(_no_image(path)) from error
