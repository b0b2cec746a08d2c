"""Whether a database is whole, and every row what it says."""

import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metad2a.database.published import MANIFEST, RECORD_SCHEMA, MetaDatabase
from metad2a.database.records import record_key
from metad2a.database.store import Store
from metad2a.database.upkeep.contents import published_contents, store_file
from metad2a.errors import DatabaseError, MetaD2AError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.registry import get_space

_CURVE = "val/accuracy"
_ROUNDING = 1e-6  # percent
_REPEATS = 100  # rows without a seed are numbered in their keys
_KINDS: dict[str, tuple[type, ...]] = {"string": (str,), "int64": (int,), "double": (float,)}
_NEEDED = ("key", "task", "space", "arch", "canonical", "recipe", "status", "curve", "versions")
_TYPES = {c.name: _KINDS[str(c.type)] + (() if c.name in _NEEDED else (type(None),)) for c in RECORD_SCHEMA}


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        where: file or folder.
        what: is wrong, in words.
        key: of the record; None when it is not about one.
    """

    where: Path
    what: str
    key: str | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.key is None else f"{self.where}: record {self.key}: {self.what}"


def verify(where: str | Path) -> list[Problem]:
    """Return what is wrong with the database at ``where``: a store, a folder, or a shipped database's name.

    Where a folder has a store and a published database, both are looked at. Files are checked as a whole (SQLite's
    own check, checksums), then every row: its key is computed from its content, its curve and versions are read,
    its accuracy must be possible and that of its curve's last epoch, its architecture one of the space.

    Raises:
        DatabaseError: there is no database.
    """
    problems: list[Problem] = []
    path = store_file(where)
    if path is not None:
        problems += verify_store(path)
    if path is None or (Path(where) / MANIFEST).is_file():
        problems += _verify_published(where)
    return problems


def verify_store(path: Path) -> list[Problem]:
    """Return what is wrong with a store."""
    try:
        with Store(path, read_only=True) as store:
            found = [text for (text,) in store.query("PRAGMA integrity_check(20)") if text != "ok"]
            if found:
                return [Problem(path, " ".join(text.split())) for text in found]
            rows = RowCheck(store.recipes(), {task.id for task in store.tasks()})
            strangers = store.query("SELECT key FROM records WHERE task NOT IN (SELECT task FROM tasks)")
            return [
                *(Problem(path, "its task is not known", key) for (key,) in strangers),
                *(Problem(path, what, row["key"]) for row in store.each_row() if (what := rows.problem(row))),
            ]
    except (DatabaseError, ValueError) as error:
        return [Problem(path, f"cannot be read: {error}")]


def _verify_published(where: str | Path) -> list[Problem]:
    try:
        MetaDatabase.load(where)  # compares checksums, columns, and the tables with each other
    except DatabaseError as error:
        if not (Path(where) / MANIFEST).is_file():
            raise
        return [Problem(Path(where), str(error))]
    found = published_contents(where)
    rows = RowCheck(found.recipes, {task.id for task in found.tasks})
    return [Problem(found.where, what, row["key"]) for row in found.rows() if (what := rows.problem(row))]


class RowCheck:
    """Finds what is wrong with single rows of the records table.

    Args:
        recipes: those that are known, by fingerprint.
        tasks: ids of those that are known.
    """

    def __init__(self, recipes: Mapping[str, Mapping[str, Any]], tasks: AbstractSet[str]) -> None:
        self._tasks = tasks
        self._recipes = {key: _recipe_problem(key, recipe) for key, recipe in recipes.items()}
        self._archs: dict[tuple[str, str, str], str | None] = {}

    def problem(self, row: Mapping[str, Any]) -> str | None:
        """Return what is wrong with ``row``, None when nothing is."""
        for name, kinds in _TYPES.items():
            if not isinstance(row[name], kinds):
                return f"its {name} is {row[name]!r}"
        if row["task"] not in self._tasks:
            return "its task is not known"
        if row["recipe"] not in self._recipes:
            return "its recipe is not known"
        if not _key_fits(row):
            return "its key does not belong to its content"
        arch = (row["space"], row["arch"], row["canonical"])
        if arch not in self._archs:
            self._archs[arch] = _arch_problem(*arch)
        return self._recipes[row["recipe"]] or self._archs[arch] or _result_problem(row)


def _recipe_problem(key: str, content: Mapping[str, Any]) -> str | None:
    try:
        fits = Recipe.from_dict(content).fingerprint == key
    except MetaD2AError:
        return None  # a recipe that others used and only described
    return None if fits else "its recipe's fingerprint does not belong to the recipe"


def _key_fits(row: Mapping[str, Any]) -> bool:
    content = (row["task"], row["space"], row["arch"], row["recipe"])
    seeds = [row["seed"]] if row["seed"] is not None else [None, *range(_REPEATS)]
    return any(record_key(*content, seed) == row["key"] for seed in seeds)


def _arch_problem(space: str, arch: str, canonical: str) -> str | None:
    try:
        known = get_space(space)
        fits = known.canonical(known.parse(arch)) == canonical
    except MetaD2AError as error:
        return f"its architecture cannot be read: {error}"
    return None if fits else "its canonical text does not belong to its architecture"


def _result_problem(row: Mapping[str, Any]) -> str | None:
    try:
        curve, versions = json.loads(row["curve"]), json.loads(row["versions"])
        measured = [float(epoch[_CURVE]) for epoch in curve if _CURVE in epoch]
    except (ValueError, TypeError) as error:
        return f"its curve or versions cannot be read: {error}"
    if row["status"] not in ("ok", "failed") or not isinstance(versions, dict):
        return f"its status is {row['status']!r}, its versions are {versions!r}"
    if row["status"] == "failed":
        return None if row["accuracy"] is None and row["error"] else "it failed, but without a reason"
    return _accuracy_problem(row, "accuracy", measured[-1:]) or (
        None if row["best_accuracy"] is None else _accuracy_problem(row, "best_accuracy", sorted(measured)[-1:])
    )


def _accuracy_problem(row: Mapping[str, Any], name: str, expected: Sequence[float]) -> str | None:
    value = row[name]
    if value is None or not 0 <= value <= 100:
        return f"its {name} is {value}, but must be between 0 and 100 percent"
    if expected and not math.isclose(value, expected[0], abs_tol=_ROUNDING):
        return f"its {name} is {value}, but its curve says {expected[0]}"
    return None
