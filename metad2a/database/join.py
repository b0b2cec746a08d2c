"""Several databases as one: each label stays known by its recipe."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool

from metad2a.database.choose_recipe import recipes
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError


class JoinedDatabase(MetaDatabase):
    """Labels of several databases, in memory.

    Args:
        parts: the databases whose labels are in it; the first one's tasks and records come first.
        rows: of all records.
    """

    def __init__(self, parts: Sequence[MetaDatabase], rows: pd.DataFrame) -> None:
        tasks = pd.concat([part.tasks for part in parts]).drop_duplicates("task")
        tasks = tasks[tasks["task"].isin(rows["task"])].reset_index(drop=True)
        merged = {
            name: {key: value for part in reversed(parts) for key, value in part.manifest.get(name, {}).items()}
            for name in ("recipes", "sources")
        }
        super().__init__(
            {"name": "+".join(part.name for part in parts), "space": parts[0].space, **merged}, tasks, rows
        )
        self.parts = tuple(parts)

    def curves(self) -> dict[str, list[dict[str, float | int]]]:
        """See ``MetaDatabase.curves``."""
        return {key: curve for part in reversed(self.parts) for key, curve in part.curves().items()}


def join(first: MetaDatabase, others: Sequence[MetaDatabase], valid: Bool[np.ndarray, " R"]) -> MetaDatabase:
    """Return the labels of ``first``, and after them those of ``others`` that meta-training may learn from.

    What ``first`` is validated on stays unseen: labels of the others are left out where their task is one of
    meta-validation, or has a class that only meta-validation has; so are labels that an earlier database has.

    Args:
        first: its labels are what is asked for; all of them are of one recipe.
        others: databases of the same space, of any recipes.
        valid: for each record of ``first`` whether it belongs to meta-validation.

    Raises:
        DatabaseError: a database is of another space.
    """
    for other in others:
        if other.space != first.space:
            raise DatabaseError(
                f"the database '{other.name}' is of space '{other.space}', '{first.name}' of '{first.space}': they "
                "cannot be learned from together. Leave one out."
            )
    if not others:
        return first
    forbidden = _held_out(first, valid)
    kept = [
        other.records[~other.records["task"].isin(other.tasks["task"][_touched(other, *forbidden)])]
        for other in others
    ]
    rows = pd.concat([first.records, *kept], ignore_index=True).drop_duplicates("key", ignore_index=True)
    return JoinedDatabase([first, *others], rows)


def recipe_names(database: MetaDatabase) -> dict[str, str]:
    """Return the recipes of a database's records by fingerprint, as they come, each with a name of its own."""
    known = recipes(database)
    names = list(known.values())
    return {
        str(key): known[key] if names.count(known[key]) == 1 else str(key)
        for key in database.records["recipe"].unique()
    }


def _held_out(database: MetaDatabase, valid: Bool[np.ndarray, " R"]) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the tasks of meta-validation, and the classes, by source and name, that no task of training has."""
    classes = {
        part: {
            (source, name)
            for task, source, names in zip(
                database.tasks["task"], database.tasks["source"], database.task_classes, strict=True
            )
            if task in tasks
            for name in names
        }
        for part, tasks in {
            True: set(database.records["task"][valid]),
            False: set(database.records["task"][~valid]),
        }.items()
    }
    return set(database.records["task"][valid]), classes[True] - classes[False]


def _touched(database: MetaDatabase, tasks: set[str], classes: set[tuple[str, str]]) -> Bool[np.ndarray, " T"]:
    """Return which tasks of a database are among ``tasks`` or have any of ``classes``."""
    rows = zip(database.tasks["task"], database.tasks["source"], database.task_classes, strict=True)
    return np.array(
        [task in tasks or any((source, name) in classes for name in names) for task, source, names in rows], bool
    )
