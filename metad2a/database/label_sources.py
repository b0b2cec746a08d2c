"""Which tasks a database is built of: how many of which image source, and what is kept for meta-validation."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from metad2a.data.glyphs import glyph_classes
from metad2a.database.planning import ImagesPerClass, make_task, sample_tasks
from metad2a.database.records import GLYPHS, Split, Task
from metad2a.database.sources import ImageSources
from metad2a.errors import ConfigError, unknown_name
from metad2a.runtime import numpy_rng, stream_seed

_TEXTS = ("source", "licence", "images", "task_list")
_SHARES = ("valid_classes", "valid_fraction")
_NUMBERS = ("classes_per_task", "images_per_class")  # or the least and the most
_LIST_FORM = 'Its form is {"tasks": [{"classes": ["a", "b"], "split": "train"}]}; split: train, valid or null.'


@dataclass(frozen=True)
class LabelSource:
    """An image source, and the tasks that are drawn from it.

    Attributes:
        source: its name in the database, the same on every machine; no path of this one.
        licence: of the images, in words.
        classes_per_task: a number, or the least and the most, between which every task draws its own.
        images_per_class: for training and validation together; or the least and the most, between which a task
            takes as many as its scarcest class has; None takes as many, however many there are.
        images: what ``ImageSet.open`` takes to get them here; ``source`` itself when None.
        tasks: to draw.
        valid_tasks: to draw for meta-validation, from classes of which no other task has any.
        valid_classes: share of the classes that are set aside for them, before anything is drawn.
        valid_fraction: share of every class's images that a network is validated on.
        task_list: a JSON file ``{"tasks": [{"classes": [...], "split": "train"}, ...]}`` that takes the place of
            ``tasks``, ``valid_tasks``, ``valid_classes`` and ``classes_per_task``. ``split`` is ``train``,
            ``valid`` or absent.

    Raises:
        ConfigError: a value cannot be used.
    """

    source: str
    licence: str
    classes_per_task: int | tuple[int, int]
    images_per_class: ImagesPerClass
    images: str | None = None
    tasks: int = 0
    valid_tasks: int = 0
    valid_classes: float = 0.0
    valid_fraction: float = 0.25
    task_list: str | None = None

    def __post_init__(self) -> None:
        listed = self.task_list is not None
        rules = {
            "licence": (bool(self.licence), "said in words, such as 'CC BY 4.0'"),
            "tasks": (
                self.tasks >= 0 and (listed or self.tasks + self.valid_tasks > 0),
                "0 or more, and 1 or more together with valid_tasks",
            ),
            "valid_tasks": (self.valid_tasks >= 0, "0 or more"),
            "valid_classes": (
                0 <= self.valid_classes <= 1 and (self.valid_classes > 0 or not self.valid_tasks),
                "a share of the classes from 0 to 1, above 0 for valid_tasks",
            ),
        }
        for name, (good, rule) in rules.items():
            if not good:
                raise ConfigError(
                    f"label source '{self.source}': {name} is {getattr(self, name)!r}, but must be {rule}."
                )
        if self.valid_classes == 1 and self.tasks and not listed:
            raise ConfigError(
                f"label source '{self.source}' is held out whole (valid_classes is 1), so it has no classes for "
                f"{self.tasks} other tasks. Set tasks to 0, or valid_classes lower."
            )

    @classmethod
    def from_dict(cls, name: str, content: Mapping[str, Any]) -> "LabelSource":
        """Return what ``content`` describes; ``name`` is the source's when ``content`` has none.

        Raises:
            UnknownNameError: a key is no field.
            ConfigError: a field is missing or cannot be used.
        """
        known = {entry.name: entry for entry in fields(cls)}
        for key in content:
            if key not in known:
                raise unknown_name(f"field of label source '{name}'", str(key), known)
        missing = [key for key, entry in known.items() if entry.default is MISSING and key not in content]
        missing = [key for key in missing if key != "source"]
        if missing:
            raise ConfigError(f"label source '{name}' lacks {', '.join(missing)}.")
        values = {key: _typed(name, key, value) for key, value in content.items()}
        return cls(**values | {"source": values.get("source") or name})

    def draw(self, sources: ImageSources, seed: int) -> dict[Task, Split]:
        """Return its tasks with the part of the split each belongs to: ``train``, ``valid``, or None.

        Task number ``i`` depends neither on how many there are nor on other sources.

        Raises:
            ConfigError: there are too few classes or images of one, or the list of tasks cannot be used.
            DataError: the images cannot be opened.
        """
        if self.task_list is not None:
            return self._listed(Path(self.task_list), sources, seed)
        classes = glyph_classes() if self.source == GLYPHS else sources.open(self.source).classes
        order = numpy_rng("split-classes", seed, self.source).permutation(len(classes))
        aside = set(order[: round(self.valid_classes * len(classes))].tolist())
        drawn: dict[Task, Split] = {}
        parts: list[tuple[Split, int]] = [("train", self.tasks), ("valid", self.valid_tasks)]
        for split, count in parts:
            if count:
                tasks = sample_tasks(
                    self.source,
                    count,
                    classes_per_task=self.classes_per_task,
                    images_per_class=self.images_per_class,
                    seed=seed if split == "train" else stream_seed(seed, "valid"),
                    valid_fraction=self.valid_fraction,
                    classes=[name for i, name in enumerate(classes) if (i in aside) == (split == "valid")],
                    sources=sources,
                )
                part: Split = split if self.valid_tasks else None
                drawn |= dict.fromkeys(tasks, part)
        return drawn

    def _listed(self, path: Path, sources: ImageSources, seed: int) -> dict[Task, Split]:
        return {
            make_task(
                self.source,
                classes,
                images_per_class=self.images_per_class,
                seed=stream_seed("task-list", seed, number) % 2**31,
                valid_fraction=self.valid_fraction,
                sources=sources,
            ): split
            for number, (classes, split) in enumerate(_read_list(path))
        }


def draw_tasks(
    parts: Sequence[LabelSource], *, seed: int, sources: ImageSources | None = None
) -> tuple[list[Task], dict[str, Split]]:
    """Return the tasks of all ``parts``, and by each task's id the part of the split it belongs to.

    Tasks of several sources come in a shuffled order, always the same, so that a database of which only the
    first half is built is as diverse as the whole. The split is empty when nothing is kept for meta-validation.

    Args:
        parts: the image sources.
        seed: of all choices.
        sources: opened images, to use them again; else those that ``parts`` name.

    Raises:
        ConfigError: there are no parts, too few classes or images of one, or parts of one source contradict each
            other.
        DataError: images cannot be opened.
    """
    if not parts:
        raise ConfigError("there is no source of tasks. Give at least one.")
    for key in ("images", "licence", "valid_classes"):
        _check_agreement(parts, key)
    sources = ImageSources(places(parts)) if sources is None else sources
    drawn: dict[Task, Split] = {}
    for part in parts:
        drawn |= part.draw(sources, seed)
    tasks = list(drawn)
    if len(parts) > 1:
        tasks.sort(key=lambda task: stream_seed("task-order", seed, task.id))
    if "valid" not in drawn.values():
        return tasks, {}
    return tasks, {task.id: split or "train" for task, split in drawn.items()}


def places(parts: Sequence[LabelSource]) -> dict[str, str]:
    """Return where this machine has the images of each source: what ``ImageSources`` and executors take."""
    return {part.source: part.images for part in parts if part.images is not None}


def licences(parts: Sequence[LabelSource]) -> dict[str, str]:
    """Return the licence of the images of each source."""
    return {part.source: part.licence for part in parts}


def _check_agreement(parts: Sequence[LabelSource], key: str) -> None:
    known: dict[str, Any] = {}
    for part in parts:
        value = getattr(part, key)
        if known.setdefault(part.source, value) != value:
            raise ConfigError(
                f"two label sources are called '{part.source}', but their {key} differ: {known[part.source]!r} "
                f"and {value!r}. Give them one value, or two names."
            )


def _read_list(path: Path) -> list[tuple[list[str], Split]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["tasks"]
        tasks = [(list(task["classes"]), task.get("split")) for task in content]
    except OSError as error:
        raise ConfigError(f"cannot read the list of tasks {path}: {error.strerror or error}.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path} is no list of tasks ({type(error).__name__}: {error}). {_LIST_FORM}") from error
    for classes, split in tasks:
        if split not in (None, "train", "valid") or not all(isinstance(name, str) for name in classes):
            raise ConfigError(f"{path} has a task of classes {classes} and split {split!r}. {_LIST_FORM}")
    if not tasks:
        raise ConfigError(f"{path} lists no tasks. {_LIST_FORM}")
    return tasks


def _typed(source: str, key: str, value: Any) -> Any:
    """Return ``value`` as the field wants it; data from files can hold anything."""
    if key in _TEXTS:
        return None if value is None and key != "licence" else str(value or "")
    if key in _SHARES:
        good, wanted = type(value) in (int, float), "a number"
    elif key in _NUMBERS and isinstance(value, list | tuple):
        value = tuple(value)
        good, wanted = len(value) == 2 and all(type(n) is int for n in value), "one whole number or two"
    else:
        good, wanted = type(value) is int or (value is None and key == "images_per_class"), "a whole number"
    if not good:
        raise ConfigError(f"label source '{source}': {key} is {value!r}, but must be {wanted}.")
    return float(value) if key in _SHARES else value
