"""Which records of a database meta-training learns from, and which it is validated on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from metad2a.database.audit.splits import PartOverlap, find_overlaps
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError, unknown_name

SPLITS = ("auto", "own", "by_task", "official")
"""How a database can be split; ``official`` is an older name of ``own``."""


@dataclass(frozen=True)
class Split:
    """A database in two parts.

    Attributes:
        name: ``own`` for the split that the database comes with, or ``by_task``.
        valid: for each record whether it belongs to meta-validation.
        overlap: what the parts share.
        refused: what the parts of the database's own split share, where ``auto`` did not take it.
    """

    name: Literal["own", "by_task"]
    valid: Bool[np.ndarray, " R"]
    overlap: PartOverlap
    refused: PartOverlap | None = None

    def __str__(self) -> str:
        both, other = self.overlap, self.refused
        why = ""
        if other is not None:
            why = f", since the database's own has {other.same_tasks} of {other.tasks} tasks in both parts"
        return (
            f"meta-validation has {self.valid.sum():,} of {len(self.valid):,} records, of {both.tasks:,} "
            f"tasks (split {self.name}{why}). Of these tasks {both.same_tasks} are also in meta-training, of "
            f"their {both.classes} classes {both.shared_classes}"
        )


def split_database(database: MetaDatabase, how: str = "auto", *, fraction: float = 0.2, seed: int = 0) -> Split:
    """Split a database.

    ``own`` is the split that the database comes with, whatever its parts share; ``by_task`` draws tasks for
    meta-validation; ``auto`` is ``own`` where that has no task in both parts, else ``by_task``.

    Args:
        database: its records.
        how: one of ``SPLITS``.
        fraction: share of the tasks for meta-validation (``by_task``).
        seed: of their choice.

    Raises:
        UnknownNameError: ``how`` is none of these.
        DatabaseError: the database has no split of its own, or fewer than two tasks.
        ConfigError: ``fraction`` is not between 0 and 1.
    """
    if how not in SPLITS:
        raise unknown_name("split", how, SPLITS)
    refused = None
    if how != "by_task":
        try:
            valid = database.split_own()
        except DatabaseError:
            if how != "auto":
                raise
        else:
            own = Split("own", valid, class_overlap(database, valid))
            if how != "auto" or own.overlap.same_tasks == 0:
                return own
            refused = own.overlap
    valid = database.split_by_task(fraction, seed)
    return Split("by_task", valid, class_overlap(database, valid), refused)


def class_overlap(database: MetaDatabase, valid: Bool[np.ndarray, " R"] | None = None) -> PartOverlap:
    """Return how much of meta-validation is known from meta-training: tasks, classes, cells.

    Args:
        database: its records and tasks.
        valid: for each record whether it belongs to meta-validation; the database's own split when not given.

    Raises:
        DatabaseError: no split is given, and the database comes without one.
    """
    valid = database.split_own() if valid is None else valid
    parts = np.where(valid, "valid", "train")
    [overlap] = find_overlaps(database.records.assign(split=parts), database.tasks)
    return overlap
