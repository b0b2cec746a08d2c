"""Tasks made of ImageNet's classes: drawn, or as their authors listed them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metad2a.data.imagenet.names import ImageNetNames
from metad2a.errors import ConfigError, DataError
from metad2a.runtime import numpy_rng


@dataclass(frozen=True)
class ClassTask:
    """The classes of a task, and which part of meta-training it is for.

    Attributes:
        classes: names, in the order of the task's class numbers.
        split: ``train`` or ``valid``.
    """

    classes: tuple[str, ...]
    split: Literal["train", "valid"]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"classes": list(self.classes), "split": self.split}


def draw_tasks(
    classes: Sequence[str],
    *,
    tasks: int,
    valid_tasks: int,
    classes_per_task: int = 20,
    valid_classes: float = 0.2,
    seed: int = 0,
) -> list[ClassTask]:
    """Return random tasks; those for validation are of classes that the others never have.

    First the classes are split, then the tasks of either part are drawn from its classes. Task number ``i`` of a
    part does not depend on how many there are.

    Args:
        classes: names.
        tasks: for meta-training.
        valid_tasks: for meta-validation.
        classes_per_task: drawn without replacement.
        valid_classes: share of the classes that are for meta-validation.
        seed: of all choices.

    Raises:
        ConfigError: a part has too few classes, or a number cannot be used.
    """
    if (
        tasks < 0
        or valid_tasks < 0
        or tasks + valid_tasks < 1
        or classes_per_task < 2
        or not 0 <= valid_classes <= 1
    ):
        raise ConfigError(
            f"cannot draw {tasks} and {valid_tasks} tasks of {classes_per_task} classes each, the latter from "
            f"{valid_classes} of them: give one task at least, of 2 classes or more, and a share from 0 to 1."
        )
    order = numpy_rng("split-classes", seed).permutation(len(classes))
    aside = set(order[: round(valid_classes * len(classes))].tolist())
    drawn = []
    wanted: tuple[tuple[Literal["train", "valid"], int], ...] = (("train", tasks), ("valid", valid_tasks))
    for split, count in wanted:
        own = [name for number, name in enumerate(classes) if (number in aside) == (split == "valid")]
        if count and len(own) < classes_per_task:
            raise ConfigError(
                f"{len(own)} of {len(classes)} classes are for {split} tasks, but a task needs {classes_per_task}. "
                "Change the share of classes for validation, ask for fewer classes a task, or for no such task."
            )
        for number in range(count):
            rng = numpy_rng("imagenet-tasks", seed, split, number)
            chosen = rng.choice(len(own), classes_per_task, replace=False)
            drawn.append(ClassTask(tuple(own[i] for i in chosen), split))
    return drawn


def read_tasks(
    path: Path, names: ImageNetNames, *, tasks: int | None = None, valid_tasks: int = 0, seed: int = 0
) -> list[ClassTask]:
    """Return the tasks of a list, which are MetaD2A's own or of that form.

    Their classes cannot be split, since any two tasks may share some: here tasks are for training or validation.

    Args:
        path: JSON, a list of classes for each task: ImageNet32's labels, which count from 1, or names.
        names: of the labels.
        tasks: take so many, the first; all when None.
        valid_tasks: so many of them are for meta-validation.
        seed: of their choice.

    Raises:
        DataError: the file is missing, damaged, or no such list.
        ConfigError: there are fewer tasks than are asked for.
    """
    content = _read(path)
    listed = [_classes(path, number, entry, names) for number, entry in enumerate(content)]
    count = len(listed) if tasks is None else tasks
    if not 0 < count <= len(listed) or not 0 <= valid_tasks <= count:
        raise ConfigError(
            f"{path} lists {len(listed)} tasks, but {count} are asked for, {valid_tasks} of them for validation."
        )
    valid = set(numpy_rng("valid-tasks", seed).permutation(count)[:valid_tasks].tolist())
    return [
        ClassTask(classes, "valid" if number in valid else "train") for number, classes in enumerate(listed[:count])
    ]


def _read(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"the list of tasks {path} cannot be read: {error}.") from error
    if not isinstance(content, list) or not content:
        raise DataError(f"{path} is no list of tasks. Needed is JSON: [[class, class, ...], ...].")
    return content


def _classes(path: Path, number: int, entry: Any, names: ImageNetNames) -> tuple[str, ...]:
    kinds = {type(value) for value in entry} if isinstance(entry, list) else set()
    if kinds not in ({int}, {str}) or len(set(entry)) < len(entry) or len(entry) < 2:
        raise DataError(
            f"{path}: task {number} is {str(entry)[:80]}, but must be a list of classes, each once: all by "
            "ImageNet32's labels, which count from 1, or all by their names."
        )
    return tuple(names.of_label(value) if isinstance(value, int) else value for value in entry)
