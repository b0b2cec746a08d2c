"""Writing a database for others: as a published folder, or as one table for people."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metad2a.database import published
from metad2a.database.published import MANIFEST
from metad2a.database.records import Task
from metad2a.database.upkeep.contents import Contents, contents
from metad2a.errors import DatabaseError, OutputError
from metad2a.runtime import atomic_path

CSV_COLUMNS = (
    *("task", "source", "classes", "split", "arch", "canonical", "recipe", "recipe_name", "seed", "status"),
    *("accuracy", "best_accuracy", "epochs", "seconds", "error", "key"),
)


def export(
    where: str | Path, out: str | Path, *, name: str | None = None, licences: Mapping[str, str] | None = None
) -> None:
    """Write the database at ``where`` to ``out``.

    Args:
        where: a store, a folder, or a shipped database's name.
        out: a folder (Parquet files and a manifest), or a ``.csv`` file with a row a label.
        name: of the published database; its own when None.
        licences: of image sources, in words, in place of those that are known.

    Raises:
        DatabaseError: there is no database, it has no records, or a source has no licence.
        OutputError: ``out`` cannot be written.
    """
    out = Path(out)
    with contents(where) as found:
        if found.space is None:
            raise DatabaseError(f"{found.where} has no record yet.")
        if out.suffix.lower() == ".csv":
            _write_csv(found, out)
            return
        if found.where.absolute() == out.absolute() and (out / MANIFEST).is_file():
            raise OutputError(f"{out} is what is exported: give another folder.")
        texts = {**found.sources, **(licences or {})}
        used = sorted({task.source for task in found.tasks} & set(texts))
        published.publish(
            out,
            name=name or found.name,
            space=found.space,
            tasks=found.tasks,
            rows=found.rows(),
            recipes=found.recipes,
            sources={source: texts[source] for source in used},
            command=found.command,
            notes=found.notes,
        )


def _write_csv(found: Contents, out: Path) -> None:
    tasks = {task.id: task for task in found.tasks}
    with atomic_path(out) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in found.rows():
            writer.writerow(_csv_row(row, tasks[row["task"]], found.recipes.get(row["recipe"], {})))


def _csv_row(row: Mapping[str, Any], task: Task, recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in CSV_COLUMNS if name in row},
        "source": task.source,
        "classes": json.dumps(task.classes, ensure_ascii=False),
        "recipe_name": recipe.get("name", ""),
        "epochs": len(json.loads(row["curve"])),
    }
