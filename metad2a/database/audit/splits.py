"""What two parts of a split share: tasks, classes, cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

Codes = Int[np.ndarray, " _"]
Mask = Bool[np.ndarray, " R"]

PAIRS = (("valid", "train"), ("test", "train"), ("test", "valid"))


@dataclass(frozen=True)
class PartOverlap:
    """How much of one part is known from another.

    Attributes:
        part: that which should be new.
        known: that which was seen before.
        labels: of ``part``.
        tasks: of ``part``.
        same_tasks: those that occur in ``known``.
        same_classes: those whose source and set of classes occur in ``known``.
        sharing_classes: those with a class of the same source that occurs in ``known``.
        classes: of ``part``, each with its source.
        shared_classes: those that occur in ``known``.
        cells: of ``part``.
        same_cells: those that occur in ``known``.
        isomorphic_cells: those that compute the function of a cell of ``known``, itself included.
    """

    part: str
    known: str
    labels: int
    tasks: int
    same_tasks: int
    same_classes: int
    sharing_classes: int
    classes: int
    shared_classes: int
    cells: int
    same_cells: int
    isomorphic_cells: int


def find_overlaps(labels: pd.DataFrame, tasks: pd.DataFrame) -> list[PartOverlap]:
    """Compare the parts that ``labels`` has, pair by pair of ``PAIRS``.

    Args:
        labels: with columns ``task``, ``arch``, ``canonical``, ``split``.
        tasks: with columns ``task``, ``source``, ``classes``.
    """
    present = set(labels["split"].dropna())
    pairs = [pair for pair in PAIRS if set(pair) <= present]
    if not pairs:
        return []
    world = _World.of(labels, tasks)
    part = {name: labels["split"].eq(name).fillna(False).to_numpy(dtype=bool) for name in present}
    return [world.overlap(new, known, part[new], part[known]) for new, known in pairs]


@dataclass(frozen=True)
class _World:
    """Everything as numbers, which compare faster than texts.

    Attributes:
        task: row of the tasks' table of each label.
        arch: of each label.
        canonical: of each label.
        class_set: of each task, with its source.
        member_task: the row of its task, for each class of each task.
        member_class: the class, with its source.
    """

    task: Codes
    arch: Codes
    canonical: Codes
    class_set: Codes
    member_task: Codes
    member_class: Codes

    @classmethod
    def of(cls, labels: pd.DataFrame, tasks: pd.DataFrame) -> "_World":
        sources = tasks["source"].tolist()
        sets = [(source, *sorted(classes)) for source, classes in zip(sources, tasks["classes"], strict=True)]
        members = [(source, name) for source, *names in sets for name in names]
        return cls(
            task=pd.Index(tasks["task"]).get_indexer(pd.Index(labels["task"])),
            arch=pd.factorize(labels["arch"])[0],
            canonical=pd.factorize(labels["canonical"])[0],
            class_set=_numbers(sets),
            member_task=np.repeat(np.arange(len(sets)), [len(names) - 1 for names in sets]),
            member_class=_numbers(members),
        )

    def overlap(self, part: str, known: str, new: Mask, seen: Mask) -> PartOverlap:
        new_tasks, seen_tasks = np.unique(self.task[new]), np.unique(self.task[seen])
        of_new, of_seen = np.isin(self.member_task, new_tasks), np.isin(self.member_task, seen_tasks)
        shared = of_new & np.isin(self.member_class, self.member_class[of_seen])
        cells = np.unique(self.arch[new])
        isomorphic = np.unique(self.arch[new & np.isin(self.canonical, self.canonical[seen])])
        return PartOverlap(
            part=part,
            known=known,
            labels=int(new.sum()),
            tasks=len(new_tasks),
            same_tasks=int(np.isin(new_tasks, seen_tasks).sum()),
            same_classes=int(np.isin(self.class_set[new_tasks], self.class_set[seen_tasks]).sum()),
            sharing_classes=len(np.unique(self.member_task[shared])),
            classes=len(np.unique(self.member_class[of_new])),
            shared_classes=len(np.unique(self.member_class[shared])),
            cells=len(cells),
            same_cells=int(np.isin(cells, self.arch[seen]).sum()),
            isomorphic_cells=len(isomorphic),
        )


def _numbers(values: Sequence[tuple[str, ...]]) -> Codes:
    """Return a number for each value, the same for equal ones."""
    numbers: dict[tuple[str, ...], int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
