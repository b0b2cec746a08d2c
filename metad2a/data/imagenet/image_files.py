"""ImageNet and Tiny-ImageNet as folders of image files."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from metad2a.data.encoded import read_square
from metad2a.data.imagenet.originals import BYTES_AT_ONCE, Block, Originals
from metad2a.errors import DataError

WNID = re.compile(r"n\d{8}")
ANNOTATIONS, WNIDS = "val_annotations.txt", "wnids.txt"
_ENDS = (".jpeg", ".jpg", ".png")


class ImageFiles(Originals):
    """Image files by class, each opened when it is read.

    Args:
        folder: above all files.
        files: of each class.
    """

    layout = "image folders"

    def __init__(self, folder: Path, files: Mapping[str, list[str]]) -> None:
        self.folder = folder
        self.classes = tuple(sorted(files))
        self._files = [file for name in self.classes for file in files[name]]
        self.labels = np.repeat(np.arange(len(files)), [len(files[name]) for name in self.classes])
        self.identity = hashlib.blake2b("\n".join(self._files).encode()).hexdigest()

    def read(self, wanted: Int[np.ndarray, " W"], size: int) -> Iterator[Block]:
        """See ``Originals.read``; files are decoded in threads, and those that cannot be are told of."""
        step = max(1, BYTES_AT_ONCE // (3 * size * size))
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(wanted), step):
                files = [self.folder / self._files[place] for place in wanted[start : start + step]]
                images, problems = np.zeros((len(files), size, size, 3), np.uint8), {}
                for place, square in enumerate(pool.map(partial(_try, size=size), files)):
                    if isinstance(square, str):
                        problems[place] = square
                    else:
                        images[place] = square
                yield Block(images, problems)


def _try(path: Path, size: int) -> np.ndarray | str:
    try:
        return read_square(path, size=size)
    except DataError as error:
        return str(error)


# --- finding the files ----------------------------------------------------------------------------------------


def class_folders(folder: Path) -> list[str]:
    """Return the names of the sub-folders that are called like a WordNet id, in order."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if WNID.fullmatch(entry.name) and entry.is_dir())


def open_image_files(folder: Path, parts: tuple[str, ...]) -> ImageFiles:
    """Return the image files of some ``parts`` (``train``, ``val``) of ``folder``.

    Raises:
        DataError: a part or a class is missing or empty.
    """
    found: dict[str, list[str]] = {}
    for part in parts:
        for name, files in _part(folder, part).items():
            found.setdefault(name, []).extend(files)
    listed = folder / WNIDS
    if listed.is_file():
        missing = sorted(set(listed.read_text(encoding="utf-8").split()) - set(found))
        if missing:
            raise DataError(
                f"{folder} lacks {len(missing)} of the classes that its {WNIDS} names, e.g. '{missing[0]}'. Was it "
                "unpacked to the end?"
            )
    return ImageFiles(folder, found)


def _part(folder: Path, part: str) -> dict[str, list[str]]:
    place = folder / part
    if part == "train" and not place.is_dir() and class_folders(folder):
        place = folder  # the part itself was given
    if not place.is_dir():
        raise DataError(f"{folder} has no folder '{part}' (it has: {found_in(folder)}).")
    if (place / ANNOTATIONS).is_file() and not class_folders(place):
        return _annotated(folder, place)
    names = class_folders(place)
    if not names:
        raise DataError(
            f"{place} has no sub-folders called by WordNet ids such as n01440764 (it has: {found_in(place)}). "
            f"Needed is a sub-folder a class, or {ANNOTATIONS} as Tiny-ImageNet has it."
        )
    return {name: _images(folder, place / name) for name in names}


def _images(folder: Path, place: Path) -> list[str]:
    inner = place / "images"  # Tiny-ImageNet has the boxes of objects beside it
    paths = (inner if inner.is_dir() else place).iterdir()
    files = sorted(path.relative_to(folder).as_posix() for path in paths if _is_image(path))
    if not files:
        raise DataError(f"class folder {place} has no image ({', '.join(_ENDS)}; it has: {found_in(place)}).")
    return files


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _ENDS and not path.name.startswith(".")


def _annotated(folder: Path, place: Path) -> dict[str, list[str]]:
    """Return the validation images of Tiny-ImageNet, whose classes stand in a list."""
    files: dict[str, list[str]] = {}
    lines = (place / ANNOTATIONS).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        name, wnid, *_ = [*line.split("\t"), "", ""]
        path = place / "images" / name
        if not WNID.fullmatch(wnid) or not path.is_file():
            raise DataError(
                f"{place / ANNOTATIONS}, line {number}: needed is an image in {place / 'images'}, a tab and a "
                f"WordNet id, but it is '{line}'."
            )
        files.setdefault(wnid, []).append(path.relative_to(folder).as_posix())
    return files


def found_in(folder: Path) -> str:
    """Return the first few names in a folder, for messages."""
    names = sorted(entry.name for entry in folder.iterdir())
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "nothing"
