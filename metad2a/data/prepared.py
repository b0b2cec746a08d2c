"""Images that were made ready once: a folder of arrays that are read from the disk where they are needed.

``images.npy`` (I,S,S,3) uint8 has the images class by class, ``labels.npy`` (I,) their class numbers,
``tasks.json`` the tasks that were made of the classes, and ``manifest.json`` says what all of it is and holds the
checksums.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from metad2a.errors import DataError
from metad2a.runtime import sha256

SCHEMA_VERSION = 1
MANIFEST, IMAGES_FILE, LABELS_FILE, TASKS_FILE = "manifest.json", "images.npy", "labels.npy", "tasks.json"
UNFINISHED = ".unfinished"
"""Ends the name of the folder in which another one is being made."""
KIND = "metad2a images"

_AGAIN = "Prepare the images again, or get the folder again."


@dataclass(frozen=True)
class Prepared:
    """A folder of prepared images.

    Attributes:
        folder: where it is.
        manifest: what it says of itself.
        images: left in their file.
        labels: class number of each image, ascending.
        classes: names.
    """

    folder: Path
    manifest: dict[str, Any]
    images: UInt8[np.ndarray, "I S S 3"]
    labels: Int[np.ndarray, " I"]
    classes: tuple[str, ...]

    @classmethod
    def open(cls, folder: str | Path) -> "Prepared":
        """Return what is in ``folder``; of the images nothing is read yet.

        Raises:
            DataError: it holds no prepared images, or they are damaged, incomplete or newer than this program.
        """
        folder = Path(folder).absolute()  # the images are read later, perhaps from another working folder
        manifest = _read_manifest(folder)
        try:
            classes = tuple(map(str, manifest["classes"]))
            images = np.load(folder / IMAGES_FILE, mmap_mode="r", allow_pickle=False)
            labels = np.load(folder / LABELS_FILE, allow_pickle=False).astype(np.int64)
            sound = (
                images.shape == (len(labels), *(manifest["resolution"],) * 2, 3)
                and images.dtype == np.uint8
                and labels.ndim == 1
                and np.array_equal(np.unique(labels), np.arange(len(classes)))
            )
        except (OSError, ValueError, EOFError, TypeError, KeyError) as error:
            raise DataError(f"the prepared images in {folder} are damaged ({error}). {_AGAIN}") from error
        if not sound:
            raise DataError(f"the prepared images in {folder} are damaged: their files do not fit. {_AGAIN}")
        return cls(folder, manifest, images, labels, classes)

    def verify(self) -> None:
        """Read every file and compare it with its checksum.

        Raises:
            DataError: a file is missing, or is not the one that the manifest describes.
        """
        for name, wanted in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file():
                raise DataError(f"{self.folder} lacks {name}. {_AGAIN}")
            if sha256(path) != wanted:
                raise DataError(f"{path} was changed or damaged: its checksum differs. {_AGAIN}")


def is_prepared(folder: str | Path) -> bool:
    """Return whether ``folder`` holds prepared images, rather than anything else."""
    try:
        manifest = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == KIND


def unfinished(folder: str | Path) -> Path:
    """Return the folder in which ``folder`` is made."""
    path = Path(folder)
    return path.with_name(path.name + UNFINISHED)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        kind, version = manifest.get("kind"), manifest.get("schema_version")
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no prepared images: it has no {MANIFEST}.") from error
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}. {_AGAIN}") from error
    if kind != KIND or not isinstance(version, int):
        raise DataError(f"{folder} holds no prepared images: its {MANIFEST} is of something else.")
    if version > SCHEMA_VERSION:
        raise DataError(
            f"the images in {folder} were prepared by a newer metad2a ({version}; this one reads up to "
            f"{SCHEMA_VERSION}). Upgrade metad2a."
        )
    missing = [key for key in ("classes", "resolution", "files") if key not in manifest]
    if missing:
        raise DataError(f"{path} lacks '{missing[0]}'. {_AGAIN}")
    return manifest
