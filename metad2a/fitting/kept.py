"""Finished trainings are kept, interrupted ones go on: for whoever trains several networks on the same images."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metad2a.fitting.loop import DivergedError
from metad2a.fitting.network import LabelledImages
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import write_json


class Measured(NamedTuple):
    """What a training gave.

    Attributes:
        accuracy: in percent; None where it diverged.
        seconds: that it took.
    """

    accuracy: float | None
    seconds: float


class KeptTrainings:
    """A small file for each finished training, named by all that it depends on: none is taken for another's.

    Args:
        folder: for the files.
        recipe: of all trainings.
        images: that networks learn from, are chosen by, or are measured on.
    """

    def __init__(self, folder: Path, recipe: Recipe, *images: LabelledImages) -> None:
        self._folder, self._recipe, self._images = folder, recipe, _digest(*images)

    def place(self, arch: str, seed: int) -> Path:
        """Return a path without suffix that belongs to one training alone."""
        content = json.dumps([arch, self._recipe.fingerprint, self._images])
        key = hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
        return self._folder / key / f"seed-{seed}"

    def once(self, arch: str, seed: int, train: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """Return what ``train`` returned for this architecture and seed, now or in an earlier session.

        Args:
            arch: text.
            seed: of the training.
            train: trains it and returns plain data; it is given ``place``, for files of its own.
        """
        place = self.place(arch, seed)
        done = place.with_suffix(".json")
        if done.is_file():
            return dict(json.loads(done.read_text(encoding="utf-8")))
        done.parent.mkdir(parents=True, exist_ok=True)
        row = {"arch": arch, "seed": seed, "recipe": self._recipe.to_dict()} | train(place)
        write_json(done, row)
        return row

    def measured(self, arch: str, seed: int, fit: Callable[[Path], Measured]) -> Measured:
        """Return what ``fit`` gave for this architecture and seed, now or earlier; that it diverged is kept, too.

        Args:
            arch: text.
            seed: of the training.
            fit: trains it; it is given ``place``, and may raise ``DivergedError``.
        """

        def train(place: Path) -> dict[str, Any]:
            try:
                return fit(place)._asdict()
            except DivergedError:
                return Measured(None, 0.0)._asdict()

        row = self.once(arch, seed, train)
        return Measured(row["accuracy"], row["seconds"])


def _digest(*parts: LabelledImages) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        for tensor in (part.images, part.labels):
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
