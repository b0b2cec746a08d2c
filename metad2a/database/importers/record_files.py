"""Records of trainings that people keep in CSV and Parquet files."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metad2a.database.importers.oracle_table import read_table
from metad2a.database.importers.provenance import file_facts
from metad2a.database.importers.table_files import NOT_STATED, SPACE, check_columns, parse_archs
from metad2a.database.published import MetaDatabase, publish, record_row
from metad2a.database.records import Record, Task, record_key
from metad2a.errors import DatabaseError
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.registry import get_space

RECIPE = "imported"
"""Of trainings whose recipe is not given."""
_SPLITS = ("train", "valid", "test")
_STATUS = ("ok", "failed")
_OF_TASK = ("source", "classes")
_UNKNOWN_RECIPE = "How the networks were trained the imported file does not say."


def import_records(
    sources: Sequence[str | Path],
    out_folder: str | Path,
    *,
    space: str = SPACE,
    licence: str | None = None,
    name: str | None = None,
) -> MetaDatabase:
    """Convert records of trainings to a published database.

    Args:
        sources: one or two ``.csv`` or ``.parquet`` files. The records have columns ``arch`` and ``accuracy``
            (percent) and perhaps ``seed``, ``recipe``, ``split`` (train, valid, test), ``best_accuracy``,
            ``seconds``, ``status`` (ok, failed) and ``error``. Which images they are of say columns ``source`` and
            ``classes`` (a list, as JSON in a CSV file); or a column ``task`` and a second file with ``task``,
            ``source``, ``classes`` and perhaps ``images_per_class``, ``seed``, ``valid_fraction``.
        out_folder: for the database.
        space: of the architectures.
        licence: of the images and figures, in words.
        name: of the database; that of the first file when None.

    Raises:
        DatabaseError: a file cannot be read, lacks a column, or holds something else; or a training is in it twice.
        UnknownNameError: there is no such space.
        OutputError: the folder cannot be written.
    """
    paths = [Path(source) for source in sources]
    records, searched = read_table(paths[0]), get_space(space)
    check_columns(paths[0], records, ["arch", "accuracy", *(["task"] if len(paths) > 1 else _OF_TASK)])
    tasks = _separate_tasks(paths[1], records["task"]) if len(paths) > 1 else _tasks_within(paths[0], records)
    rows = list(_rows(paths[0], records, tasks, searched))
    recipes = {row["recipe"] for row in rows}
    return publish(
        out_folder,
        name=name or paths[0].stem,
        space=space,
        tasks=list(dict.fromkeys(tasks)),
        rows=rows,
        recipes={recipe: {"name": recipe, "known": _UNKNOWN_RECIPE} for recipe in sorted(recipes)},
        sources={task.source: licence or NOT_STATED for task in tasks},
        command=f"metad2a import records {' '.join(path.name for path in paths)} OUT --space {space}",
        notes={"read": [file_facts(path) for path in paths]},
    )


# --- tasks ----------------------------------------------------------------------------------------------------


def _tasks_within(path: Path, table: pd.DataFrame) -> list[Task]:
    """Return the task of each row, from its columns ``source`` and ``classes``."""
    made: dict[tuple[Any, str], Task] = {}
    tasks = []
    for row, (source, classes) in enumerate(zip(table["source"], table["classes"], strict=True), start=1):
        key = source, str(classes)
        if key not in made:
            made[key] = Task(_text(path, row, "source", source), _classes(path, row, classes), None, None, None)
        tasks.append(made[key])
    return tasks


def _separate_tasks(path: Path, wanted: "pd.Series[Any]") -> list[Task]:
    """Return the task of each of ``wanted``, from the file of tasks."""
    table = read_table(path)
    check_columns(path, table, ["task", *_OF_TASK])
    if table["task"].duplicated().any():
        raise DatabaseError(f"{path} describes task '{table['task'][table['task'].duplicated()].iloc[0]}' twice.")
    described = {
        entry["task"]: Task(
            source=_text(path, row, "source", entry["source"]),
            classes=_classes(path, row, entry["classes"]),
            images_per_class=_whole(path, row, "images_per_class", entry.get("images_per_class")),
            seed=_whole(path, row, "seed", entry.get("seed")),
            valid_fraction=_number(path, row, "valid_fraction", entry.get("valid_fraction"), 1.0),
        )
        for row, entry in enumerate(table.to_dict("records"), start=1)
    }
    unknown = set(wanted) - set(described)
    if unknown:
        raise DatabaseError(
            f"{path} does not describe task '{min(map(str, unknown))}', of which there are records."
        )
    return [described[task] for task in wanted]


def _classes(path: Path, row: int, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    classes = tuple(map(str, value)) if isinstance(value, list | tuple | np.ndarray) else ()
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise DatabaseError(
            f"{path}, data row {row}: 'classes' must be a list of distinct names, two at least, such as "
            '["cat", "dog"].'
        )
    return classes


# --- records --------------------------------------------------------------------------------------------------


def _rows(path: Path, table: pd.DataFrame, tasks: Sequence[Task], space: SearchSpace) -> Iterable[dict[str, Any]]:
    ids = {task: task.id for task in set(tasks)}
    archs = parse_archs(path, table["arch"], space)
    seen: Counter[tuple[Any, ...]] = Counter()
    for row, (entry, task, (arch, canonical)) in enumerate(
        zip(table.to_dict("records"), tasks, archs, strict=True), start=1
    ):
        seed, recipe = _whole(path, row, "seed", entry.get("seed")), _missing(entry.get("recipe"))
        recipe = RECIPE if recipe is None else str(recipe)
        same = ids[task], arch, recipe, seed
        if seen[same] and seed is not None:
            raise DatabaseError(f"{path}, data row {row}: an earlier row has this arch, task, recipe and seed.")
        # Trainings from seeds that nobody knows may repeat: their count keeps the keys apart.
        key = record_key(ids[task], space.name, arch, recipe, seed if seed is not None else seen[same])
        seen[same] += 1
        yield record_row(
            Record(
                key=key,
                task=ids[task],
                space=space.name,
                arch=arch,
                canonical=canonical,
                recipe=recipe,
                seed=seed,
                **_result(path, row, entry),
            )
        )


def _result(path: Path, row: int, entry: dict[Any, Any]) -> dict[str, Any]:
    status = _one_of(path, row, "status", entry.get("status"), _STATUS) or "ok"
    accuracy = _number(path, row, "accuracy", entry.get("accuracy"), 100.0)
    if (accuracy is None) == (status == "ok"):
        raise DatabaseError(f"{path}, data row {row}: 'accuracy' is {accuracy}, but 'status' is {status}.")
    error = _missing(entry.get("error"))
    return {
        "status": status,
        "error": None if error is None else str(error),
        "accuracy": accuracy,
        "best_accuracy": _number(path, row, "best_accuracy", entry.get("best_accuracy"), 100.0),
        "seconds": _number(path, row, "seconds", entry.get("seconds"), float("inf")),
        "split": _one_of(path, row, "split", entry.get("split"), _SPLITS),
    }


def _missing(value: Any) -> Any:
    """Return None for what pandas takes for missing."""
    return None if value is None or (np.ndim(value) == 0 and pd.isna(value)) else value


def _text(path: Path, row: int, name: str, value: Any) -> str:
    if _missing(value) is None:
        raise DatabaseError(f"{path}, data row {row}: '{name}' is missing.")
    return str(value)


def _one_of(path: Path, row: int, name: str, value: Any, options: Sequence[str]) -> str | None:
    value = _missing(value)
    if value is not None and value not in options:
        raise DatabaseError(f"{path}, data row {row}: '{name}' is '{value}', but must be {', '.join(options)}.")
    return value


def _number(path: Path, row: int, name: str, value: Any, most: float) -> float | None:
    value = _missing(value)
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError):
        number = -1.0
    if number is not None and not 0 <= number <= most:
        raise DatabaseError(f"{path}, data row {row}: '{name}' is '{value}', but must be 0 to {most:g}.")
    return number


def _whole(path: Path, row: int, name: str, value: Any) -> int | None:
    number = _number(path, row, name, value, float(2**63 - 1))
    if number is None:
        return None
    if number != int(number):
        raise DatabaseError(f"{path}, data row {row}: '{name}' is '{value}', but must be a whole number.")
    return int(value)
