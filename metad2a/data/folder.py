"""Finding the images of a folder that has one sub-folder per class."""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Int
from PIL import Image

from metad2a.data.encoded import BROKEN, extensions, formats, no_image
from metad2a.errors import DataError

IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}
SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


@dataclass(frozen=True)
class Listing:
    """What lies in a folder, in a fixed order.

    Attributes:
        paths: of what is taken for an image.
        labels: class number of each.
        classes: names of the class folders.
        empty: classes without an image.
        strangers: files in class folders that are no images.
        loose: images beside the class folders.
        ignored: hidden files, and files beside the class folders that are no images.
    """

    paths: list[Path]
    labels: Int[np.ndarray, " I"]
    classes: tuple[str, ...]
    empty: tuple[str, ...] = ()
    strangers: tuple[Path, ...] = ()
    loose: tuple[Path, ...] = ()
    ignored: tuple[Path, ...] = ()


def scan(folder: Path) -> Listing:
    """Return the images of a folder in which everything is as it should be.

    Files that lie beside the class folders and are no images (a read-me, a list of labels) are ignored.

    Raises:
        DataError: the folder or a class is missing, empty, or holds something that is no image.
    """
    found = survey(folder)
    if found.loose:
        raise DataError(
            f"image {found.loose[0]} lies beside the class folders, so it has no class. "
            "Give each class a sub-folder and move the images there."
        )
    if found.strangers:
        raise DataError(no_image(str(found.strangers[0])))
    if found.empty:
        raise DataError(
            f"class '{found.empty[0]}' ({folder / found.empty[0]}) has no image. Remove the folder or add images."
        )
    return found


def survey(folder: Path) -> Listing:
    """Return what lies in a folder, whether it can be used or not.

    Raises:
        DataError: the folder is missing, or has no sub-folders that could be classes.
    """
    classes, loose, ignored = _class_folders(folder)
    paths: list[Path] = []
    strangers: list[Path] = []
    counts = []
    above = _above(folder)
    for place in classes.values():
        before = len(paths)
        for path in sorted(_files(place, above, ignored), key=Path.as_posix):
            (paths if _looks_like_an_image(path) else strangers).append(path)
        counts.append(len(paths) - before)
    return Listing(
        paths,
        np.repeat(np.arange(len(counts)), counts),
        tuple(classes),
        empty=tuple(name for name, count in zip(classes, counts, strict=True) if not count),
        strangers=tuple(strangers),
        loose=tuple(loose),
        ignored=tuple(ignored),
    )


def _class_folders(folder: Path) -> tuple[dict[str, Path], list[Path], list[Path]]:
    """Return the class folders by name, the images beside them, and what else is there."""
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(f"image folder {folder} {problem}. Give a folder with one sub-folder of images per class.")
    entries = sorted(folder.iterdir())
    folders = [entry for entry in entries if not _hidden(entry.name) and entry.is_dir()]
    files = [entry for entry in entries if not entry.is_dir()]
    loose = [file for file in files if not _hidden(file.name) and file.suffix.lower() in extensions()]
    ignored = [file for file in files if file not in set(loose)]
    # The same name can be stored in two Unicode forms; NFC is the one people type.
    named = sorted((unicodedata.normalize("NFC", entry.name), entry) for entry in folders)
    classes = dict(named)
    if len(classes) < len(named):
        twice = next(name for (name, _), (other, _) in pairwise(named) if name == other)
        raise DataError(
            f"image folder {folder} has two sub-folders called '{twice}', in two forms of Unicode. Merge them."
        )
    if not classes:
        raise DataError(f"image folder {folder} has no sub-folders. Needed is one sub-folder of images per class.")
    if {name.lower() for name in classes} <= SPLITS:
        raise DataError(
            f"image folder {folder} holds splits ({', '.join(classes)}), not classes. Give one of them: "
            f"{folder / next(iter(classes.values())).name}."
        )
    if len(classes) == 1 and not loose:
        raise DataError(
            f"image folder {folder} has only one class ('{next(iter(classes))}'). "
            "At least two sub-folders, one per class, are needed."
        )
    return classes, loose, ignored


def _above(folder: Path) -> set[str]:
    """Return the real folder and those that it lies in: a class that links to one of them would be all classes."""
    real = Path(os.path.realpath(folder))
    return {str(place) for place in (real, *real.parents)}


def _files(folder: Path, above: set[str], ignored: list[Path]) -> Iterator[Path]:
    """Yield the files below ``folder``; links are followed, each real folder is entered once."""
    seen = set(above)
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in files:
            if _hidden(name):
                ignored.append(Path(place, name))
            else:
                yield Path(place, name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED


def _looks_like_an_image(path: Path) -> bool:
    """Return whether a file is an image by its name or, where the name says nothing, by its first bytes."""
    if path.suffix.lower() in extensions():
        return True
    try:
        with Image.open(path, formats=formats()):
            return True
    except BROKEN:
        return False
