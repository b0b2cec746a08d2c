"""Writing a folder of prepared images, so that a killed run goes on where it was and no half is taken for whole."""

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from metad2a import __version__
from metad2a.data.prepared import (
    IMAGES_FILE,
    KIND,
    LABELS_FILE,
    MANIFEST,
    SCHEMA_VERSION,
    TASKS_FILE,
    Prepared,
    is_prepared,
    unfinished,
)
from metad2a.errors import DataError, OutputError
from metad2a.runtime import check_writable, sha256, write_json

_log = logging.getLogger(__name__)

_PROGRESS = "progress.json"
_SAVE_EVERY_S = 20.0
_COPY_BYTES = 2**25
"""Moved at once where gaps are closed."""


@dataclass
class Preparation:
    """The images of ``out`` while they are being written, in a folder beside it that takes its place at the end.

    Args:
        out: the folder to make.
        plan: names all that decides the images; what was begun by another plan is not continued.
        labels: class number of each image in the order of reading.
        resolution: pixels a side.

    Attributes:
        done: images read so far.
        lost: of those read, the rows of the images that could not be, with the reason.

    Raises:
        OutputError: ``out`` cannot be made, or something else is there, or was begun there.
    """

    out: Path
    plan: str
    labels: Int[np.ndarray, " I"]
    resolution: int
    done: int = field(default=0, init=False)
    lost: dict[int, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.out = self.out.absolute()
        self.folder = unfinished(self.out)
        check_writable(self.folder / _PROGRESS, make_folder=True)
        self._row = np.empty(len(self.labels), np.int64)  # in the order of classes
        self._row[np.argsort(self.labels, kind="stable")] = np.arange(len(self.labels))
        self._saved = time.monotonic()
        if not self._resumed():
            self._allocate()
            self._save()

    def write(self, images: UInt8[np.ndarray, "n S S 3"], problems: Mapping[int, str] | None = None) -> None:
        """Take the next images, of which those at the places that ``problems`` names could not be read.

        Raises:
            OutputError: the disk does not take them.
        """
        rows = self._row[self.done : self.done + len(images)]
        # Mapped for this block alone: else all that was written would seem to be this process's memory.
        np.lib.format.open_memmap(self.folder / IMAGES_FILE, mode="r+")[rows] = images
        self.lost |= {int(rows[place]): reason for place, reason in (problems or {}).items()}
        self.done += len(images)
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            self._save()

    def finish(self, manifest: Mapping[str, Any], tasks: Mapping[str, Any], classes: Sequence[str]) -> Prepared:
        """Write what is left, and put the folder in its place.

        Raises:
            DataError: a class has no image that could be read.
            OutputError: the disk does not take it.
        """
        self._save()
        labels = np.sort(self.labels, kind="stable")
        kept = np.ones(len(labels), bool)
        kept[list(self.lost)] = False
        counts = np.bincount(labels[kept], minlength=len(classes))
        if not counts.all():
            raise DataError(
                f"no image of class '{classes[int(counts.argmin())]}' can be read. The first problem: "
                f"{next(iter(self.lost.values()))} Then remove {self.folder} and start again."
            )
        if self.lost:
            self._close_gaps(kept)
        np.save(self.folder / LABELS_FILE, labels[kept].astype(np.int32))
        write_json(self.folder / TASKS_FILE, tasks)
        files = {name: sha256(self.folder / name) for name in (IMAGES_FILE, LABELS_FILE, TASKS_FILE)}
        whole = {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "resolution": self.resolution,
            "images": int(kept.sum()),
            **manifest,
            "unreadable": list(self.lost.values()),
            "plan": self.plan,
            "classes": list(classes),
            "images_of_class": counts.tolist(),
            "versions": {"metad2a": __version__, "numpy": np.__version__},
            "files": files,
        }
        write_json(self.folder / MANIFEST, whole)
        try:
            self.folder.replace(self.out)
            (self.out / _PROGRESS).unlink()
        except OSError as error:
            raise OutputError(f"cannot move {self.folder} to {self.out}: {error.strerror or error}.") from error
        return Prepared.open(self.out)

    def _resumed(self) -> bool:
        try:
            progress = json.loads((self.folder / _PROGRESS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            raise OutputError(f"{self.folder / _PROGRESS} is damaged ({error}). Remove {self.folder}.") from error
        if progress["plan"] != self.plan:
            raise OutputError(
                f"{self.folder} is the beginning of something else than is asked for now. Remove it, choose "
                "another folder, or give the images and options with which it was begun."
            )
        self.done = progress["done"]
        self.lost = {int(row): reason for row, reason in progress["lost"].items()}
        _log.info("%s: going on after %s of %s images", self.folder, f"{self.done:,}", f"{len(self.labels):,}")
        return True

    def _allocate(self) -> None:
        """Take the space on the disk: a process that finds it full while it writes a mapped file is killed."""
        path, shape = self.folder / IMAGES_FILE, (len(self.labels), self.resolution, self.resolution, 3)
        try:
            np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
            with path.open("r+b") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            path.unlink(missing_ok=True)
            needed = f"{np.prod(shape) / 1e9:.2f} GB"
            raise OutputError(f"cannot write {path}, of {needed}: {error.strerror or error}.") from error

    def _save(self) -> None:
        """Make sure that what is counted as done is on the disk."""
        with (self.folder / IMAGES_FILE).open("r+b") as file:
            os.fsync(file.fileno())
        lost = {str(row): reason for row, reason in self.lost.items()}
        write_json(self.folder / _PROGRESS, {"plan": self.plan, "done": self.done, "lost": lost})
        self._saved = time.monotonic()

    def _close_gaps(self, kept: np.ndarray) -> None:
        rows = np.flatnonzero(kept)
        path, closed = self.folder / IMAGES_FILE, self.folder / f"closed-{IMAGES_FILE}"
        old = np.load(path, mmap_mode="r")
        if len(old) == len(rows):
            return  # killed after this, on the way to the end
        new = np.lib.format.open_memmap(closed, mode="w+", dtype=np.uint8, shape=(len(rows), *old.shape[1:]))
        step = max(1, _COPY_BYTES // old[0].nbytes)
        for start in range(0, len(rows), step):
            new[start : start + step] = old[rows[start : start + step]]
        new.flush()
        closed.replace(path)


def existing(out: Path, plan: str) -> Prepared | None:
    """Return the images in ``out`` if ``plan`` made them; None where nothing is there yet.

    Raises:
        OutputError: something else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not is_prepared(out):
        raise OutputError(f"cannot write {out}: something else is there. Choose another folder.")
    prepared = Prepared.open(out)
    if prepared.manifest.get("plan") != plan:
        raise OutputError(
            f"{out} holds images that were prepared from something else, or with other options: "
            f"{prepared.manifest.get('command')}. Choose another folder."
        )
    return prepared


def replace_tasks(prepared: Prepared, tasks: Mapping[str, Any], manifest: Mapping[str, Any]) -> Prepared:
    """Write other tasks beside the same images.

    Raises:
        OutputError: they cannot be written.
    """
    write_json(prepared.folder / TASKS_FILE, tasks)
    files = prepared.manifest["files"] | {TASKS_FILE: sha256(prepared.folder / TASKS_FILE)}
    write_json(prepared.folder / MANIFEST, {**prepared.manifest, **manifest, "files": files})
    return Prepared.open(prepared.folder)
