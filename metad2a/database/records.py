"""What is known and how it is named: tasks, jobs and records."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, lru_cache
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from metad2a import __version__
from metad2a.data.cache import choose_images
from metad2a.data.glyphs import glyphs
from metad2a.data.image_set import ImageSet
from metad2a.errors import DatabaseError, unknown_name
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import stream_seed

GLYPHS = "embedded:glyphs"
Split = Literal["train", "valid", "test"] | None


def content_hash(*content: Any) -> str:
    """Return 24 hexadecimal digits that depend on plain data and on nothing else."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True)
class Task:
    """A classification problem: some classes of an image source, and how their images are chosen.

    Attributes:
        source: what ``ImageSet.open`` takes, or a name of images that every machine has elsewhere.
        classes: names, in the order of the class numbers.
        images_per_class: for training and validation together; None when nobody knows.
        seed: of the choice of the images and of their split; None when nobody knows.
        valid_fraction: share of every class's images that only validation sees; None when nobody knows.
    """

    source: str
    classes: tuple[str, ...]
    images_per_class: int | None
    seed: int | None
    valid_fraction: float | None

    @cached_property
    def id(self) -> str:
        """A hash of all of it."""
        return content_hash("task", asdict(self))

    def open(self, images: ImageSet | None = None) -> tuple[ImageSet, ImageSet]:
        """Return the images to train on and those to validate on.

        Args:
            images: those of ``source``, if they are open already or ``ImageSet.open`` does not know that name.

        Raises:
            DatabaseError: it is not known which images they are.
            DataError: the source is not there or has too few images.
            UnknownNameError: the source has no class of this name.
        """
        if self.images_per_class is None or self.seed is None or self.valid_fraction is None:
            raise DatabaseError(
                f"task {self.id}: the database does not say which images of '{self.source}' it has. "
                "It can be learned from, but not trained on again."
            )
        if self.source == GLYPHS:
            chosen = glyphs(self.classes, images_per_class=self.images_per_class, seed=self.seed)
        else:
            chosen = self._choose(
                ImageSet.open(self.source) if images is None else images, self.images_per_class, self.seed
            )
        valid, train = chosen.split(self.valid_fraction, self.seed)
        return train, valid

    def _choose(self, images: ImageSet, images_per_class: int, seed: int) -> ImageSet:
        chosen = pick_classes(images, self.classes, self.source)
        if chosen.counts.min() < images_per_class:
            scarce = self.classes[int(np.argmin(chosen.counts))]
            raise DatabaseError(
                f"task {self.id}: class '{scarce}' of '{self.source}' has {chosen.counts.min()} images, "
                f"but {images_per_class} are asked for. Lower images_per_class."
            )
        return chosen.take(choose_images(chosen, images_per_class, seed))


def pick_classes(images: ImageSet, classes: Sequence[str], source: str) -> ImageSet:
    """Return the images of some ``classes``, numbered in the order given.

    Raises:
        UnknownNameError: the images of ``source`` have no class of this name.
    """
    number = {name: i for i, name in enumerate(images.classes)}
    for name in classes:
        if name not in number:
            raise unknown_name(f"class of '{source}'", name, number)
    return images.keep_classes([number[name] for name in classes])


@dataclass(frozen=True)
class Job:
    """One label to find out: train this architecture on this task by this recipe from this seed.

    Attributes:
        task: the images.
        space: name of the search space.
        arch: its own text of the architecture.
        canonical: its text for all architectures that compute the same functions.
        recipe: how the network is trained.
        seed: of the first weights, the order of the images and their augmentation.
        split: the part of the published split that the label belongs to; it decides nothing about the result.
    """

    task: Task
    space: str
    arch: str
    canonical: str
    recipe: Recipe
    seed: int
    split: Split = None

    @cached_property
    def key(self) -> str:
        """A hash of all that decides the result; equal keys need training only once."""
        return record_key(self.task.id, self.space, self.arch, self.fingerprint, self.seed)

    @property
    def fingerprint(self) -> str:
        """The recipe's."""
        return _fingerprint(self.recipe)

    @property
    def stream(self) -> int:
        """The seed of this job's random streams; no two tasks or architectures share one."""
        return stream_seed("job", self.key)


@lru_cache(maxsize=32)
def _fingerprint(recipe: Recipe) -> str:
    """Return the fingerprint; many jobs have one recipe."""
    return recipe.fingerprint


def record_key(task: str, space: str, arch: str, recipe: str, seed: int | None) -> str:
    """Return the key of the record of a task's id, an architecture, a recipe's fingerprint and a seed."""
    return content_hash("record", task, space, arch, recipe, seed)


@dataclass(frozen=True)
class Record:
    """What is known of one architecture on one task.

    Attributes:
        key: see ``record_key``.
        task: id of the task.
        space: name of the search space.
        arch: the space's own text of the architecture.
        canonical: equal for architectures that compute the same functions.
        recipe: fingerprint of the recipe.
        seed: None when nobody knows.
        status: ``failed`` records have a reason and no accuracy.
        error: why it failed.
        accuracy: of the validation images after the last epoch, in percent.
        best_accuracy: of the best epoch, in percent; None when unknown.
        curve: one row an epoch, see ``NetworkFit``.
        seconds: that one core computed for it; None when unknown.
        versions: of what computed it.
        split: which part of a published split it belongs to.
    """

    key: str
    task: str
    space: str
    arch: str
    canonical: str
    recipe: str
    seed: int | None
    status: Literal["ok", "failed"]
    error: str | None = None
    accuracy: float | None = None
    best_accuracy: float | None = None
    curve: list[dict[str, float | int]] = field(default_factory=list)
    seconds: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    split: Split = None

    @classmethod
    def of(cls, job: Job, *, status: Literal["ok", "failed"], **result: Any) -> "Record":
        """Return the record of ``job`` with what came of it."""
        return cls(
            key=job.key,
            task=job.task.id,
            space=job.space,
            arch=job.arch,
            canonical=job.canonical,
            recipe=job.fingerprint,
            seed=job.seed,
            status=status,
            **{"versions": versions(), "split": job.split} | result,
        )

    @classmethod
    def failure(cls, job: Job, reason: str) -> "Record":
        """Return the record of a ``job`` that has no result because of ``reason``."""
        return cls.of(job, status="failed", error=reason)


@cache
def versions() -> dict[str, str]:
    """Return the versions of what decides a result."""
    return {
        "metad2a": __version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
    }
