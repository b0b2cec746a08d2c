"""From ImageNet as it is stored by others to a folder of prepared images and tasks made of their classes."""

import hashlib
import json
import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from metad2a.data.image_set import rank_within_class
from metad2a.data.imagenet.layouts import open_originals
from metad2a.data.imagenet.names import ImageNetNames
from metad2a.data.imagenet.originals import BYTES_AT_ONCE, Originals
from metad2a.data.imagenet.tasks import ClassTask, draw_tasks, read_tasks
from metad2a.data.preparation import Preparation, existing, replace_tasks
from metad2a.data.prepared import Prepared
from metad2a.errors import ConfigError
from metad2a.runtime import Bar, numpy_rng

_log = logging.getLogger(__name__)

LICENCE = "ImageNet: its terms of access, for research only"
TASKS, VALID_TASKS = 200, 50
"""Drawn when nothing is said."""


@dataclass(frozen=True, kw_only=True)
class ImageNetTasks:
    """What to make of ImageNet.

    Attributes:
        resolution: pixels a side.
        part: the images of ``train``, ``val``, or ``all``.
        images_per_class: taken at random; all when None.
        tasks: for meta-training; 200, or all of a list, when None.
        valid_tasks: for meta-validation; of a list, so many of its tasks.
        classes_per_task: of those drawn.
        valid_classes: share of the classes that only the tasks for validation have.
        task_list: a file of tasks that are taken instead of drawn ones, see ``read_tasks``.
        wnids: a file with the names of ImageNet32's labels; the one beside the images or the list when None.
        seed: of all choices.

    Raises:
        ConfigError: a number cannot be used.
    """

    resolution: int = 32
    part: str = "train"
    images_per_class: int | None = None
    tasks: int | None = None
    valid_tasks: int = VALID_TASKS
    classes_per_task: int = 20
    valid_classes: float = 0.2
    task_list: Path | None = None
    wnids: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("resolution", 1), ("images_per_class", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}, but must be at least {least}.")


def prepare_imagenet(source: str | Path, out: str | Path, wanted: ImageNetTasks | None = None) -> Prepared:
    """Write the images and tasks to the folder ``out``, with some of the images in memory at a time.

    Called again with the same arguments it continues what was interrupted, and does nothing when all is there;
    other tasks of the same images are only written anew. Images that cannot be read are left out and told of.

    Args:
        source: folders of image files, down-sampled batches, or an ``.npz``; see ``layouts.KNOWN``.
        out: opened by ``ImageSet.open``; beside it, a folder ``OUT.unfinished`` until all is there.
        wanted: the defaults when not given.

    Raises:
        DataError: the images are not there, incomplete, or of no known layout; or a class has no readable one.
        ConfigError: the tasks cannot be made of these classes.
        OutputError: ``out`` cannot be written, or holds something else.
    """
    source, out, wanted = Path(source), Path(out), wanted or ImageNetTasks()
    names = _names(source, wanted)
    originals = open_originals(source, names, part=wanted.part)
    tasks = _tasks(originals, names, wanted)
    chosen, classes = _choose(originals, tasks, wanted)
    labels = np.searchsorted(np.array(classes), np.array(originals.classes)[originals.labels[chosen]])
    plan = _plan(originals, chosen, wanted)
    content = {"tasks": [task.to_dict() for task in tasks]}
    about = _about(source, originals, wanted, tasks)
    prepared = existing(out, plan)
    if prepared is not None:
        _log.info("%s holds these images already", out)
        return replace_tasks(prepared, content, about)
    if originals.side is not None and originals.side < wanted.resolution:
        _log.warning(
            "the images have %d pixels a side: at a resolution of %d there is no more to see",
            originals.side,
            wanted.resolution,
        )
    preparation = Preparation(out, plan, labels.astype(np.int64), wanted.resolution)
    _fill(preparation, originals, chosen)
    return preparation.finish(about, content, classes)


def _names(source: Path, wanted: ImageNetTasks) -> ImageNetNames:
    if wanted.wnids is not None:
        return ImageNetNames.read(wanted.wnids)
    names = ImageNetNames.beside(source if source.is_dir() else source.parent)
    if names.wnids is None and wanted.task_list is not None:
        return ImageNetNames.beside(wanted.task_list.parent)
    return names


def _tasks(originals: Originals, names: ImageNetNames, wanted: ImageNetTasks) -> list[ClassTask]:
    if wanted.task_list is None:
        return draw_tasks(
            sorted(originals.classes),
            tasks=TASKS if wanted.tasks is None else wanted.tasks,
            valid_tasks=wanted.valid_tasks,
            classes_per_task=wanted.classes_per_task,
            valid_classes=wanted.valid_classes,
            seed=wanted.seed,
        )
    listed = read_tasks(
        wanted.task_list, names, tasks=wanted.tasks, valid_tasks=wanted.valid_tasks, seed=wanted.seed
    )
    known = set(originals.classes)
    lacking = [task for task in listed if not known.issuperset(task.classes)]
    if lacking:
        example = next(name for name in lacking[0].classes if name not in known)
        raise ConfigError(
            f"{len(lacking)} of {len(listed)} tasks in {wanted.task_list} have classes that the images lack, e.g. "
            f"'{example}'; there are images of {len(known)} classes, e.g. '{originals.classes[0]}'. Give images of "
            "all classes or, where classes are called 'label 1', their names: imagenet32_label_to_wnid.json."
        )
    return listed


def _choose(
    originals: Originals, tasks: Sequence[ClassTask], wanted: ImageNetTasks
) -> tuple[Int[np.ndarray, " W"], list[str]]:
    """Return the places of the images to take, and the classes they have, sorted."""
    listed = {name for task in tasks for name in task.classes}
    classes = sorted(listed if wanted.task_list is not None else originals.classes)
    taken = np.isin(np.array(originals.classes), np.array(classes))[originals.labels]
    if wanted.images_per_class is not None:
        ranks = rank_within_class(originals.labels, numpy_rng("prepare-images", wanted.seed))
        taken &= ranks < wanted.images_per_class
    return np.flatnonzero(taken), classes


def _plan(originals: Originals, chosen: Int[np.ndarray, " W"], wanted: ImageNetTasks) -> str:
    """Return a text that is the same only for the same images at the same resolution."""
    content = hashlib.blake2b(digest_size=16)
    for part in (originals.layout, originals.identity, json.dumps(originals.classes), str(wanted.resolution)):
        content.update(part.encode() + b"\0")
    content.update(originals.labels.astype("<i8").tobytes())
    content.update(chosen.astype("<i8").tobytes())
    return content.hexdigest()


def _fill(preparation: Preparation, originals: Originals, chosen: Int[np.ndarray, " W"]) -> None:
    size = preparation.resolution
    step = max(1, BYTES_AT_ONCE // (3 * size * size))
    left = chosen[preparation.done :]
    with Bar("preparing images", -(-len(chosen) // step), done=preparation.done // step) as bar:
        told = preparation.done // step
        for block in originals.read(left, size):
            for reason in block.problems.values():
                _log.warning("left out: %s", reason)
            preparation.write(block.images, block.problems)
            while told < preparation.done // step:  # blocks can be of any size
                told += 1
                bar.advance(f"{preparation.done:,} of {len(chosen):,}")


def _about(source: Path, originals: Originals, wanted: ImageNetTasks, tasks: Sequence[ClassTask]) -> dict[str, Any]:
    return {
        "name": source.stem,
        "licence": LICENCE,
        "origin": {"layout": originals.layout, "part": wanted.part, "images": len(originals.labels)},
        "tasks": {split: sum(task.split == split for task in tasks) for split in ("train", "valid")},
        "command": _command(source, wanted),
    }


def _command(source: Path, wanted: ImageNetTasks) -> str:
    """Return the command that prepares the same, without the paths of this machine."""
    options: dict[str, Any] = {
        "resolution": wanted.resolution,
        "part": wanted.part,
        "images-per-class": wanted.images_per_class,
        "tasks-count": wanted.tasks,
        "valid-tasks": wanted.valid_tasks,
        "seed": wanted.seed,
    }
    if wanted.task_list is None:
        options |= {"classes-per-task": wanted.classes_per_task, "valid-classes": wanted.valid_classes}
    else:
        options |= {"tasks": wanted.task_list.name}
    if wanted.wnids is not None:
        options |= {"wnids": wanted.wnids.name}
    given = [text for name, value in options.items() if value is not None for text in (f"--{name}", str(value))]
    return shlex.join(["metad2a", "data", "prepare", "imagenet", source.name, "OUT", *given])
