"""How far a database is."""

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from metad2a.database.parquet_files import each_row
from metad2a.database.published import RECORDS_FILE
from metad2a.database.store import Store, lock, lock_file
from metad2a.database.upkeep.contents import Contents, contents, store_file
from metad2a.errors import DatabaseError, OutputError

_Kind = tuple[str, str | None, str, str]

_RECENT = 200  # labels that the rate is measured on
_PAUSE = 20  # times the usual distance between labels: nobody was working


@dataclass(frozen=True)
class Count:
    """How many labels of one kind there are.

    Attributes:
        source: of the images.
        split: part of the published split; None without one.
        status: ``ok`` or ``failed``.
        recipe: fingerprint.
        tasks: with such labels.
        labels: all of them.
        seconds: of one core that they took, in all.
    """

    source: str
    split: str | None
    status: str
    recipe: str
    tasks: int
    labels: int
    seconds: float


@dataclass(frozen=True)
class Growth:
    """How fast a store grows.

    Attributes:
        left: labels of the last build's plan that are missing; None when there is no plan.
        per_minute: labels a minute, of the last 200, pauses left out; None when that is not known.
        last: seconds since the last label came; None when that is not known.
        building: whether a program is writing right now.
    """

    left: int | None = None
    per_minute: float | None = None
    last: float | None = None
    building: bool = False


@dataclass(frozen=True)
class Status:
    """What a database holds and how fast it grows.

    Attributes:
        where: the store, or the published folder.
        name: of the database.
        space: of its architectures; None without records.
        command: that builds it; empty when nobody told.
        counts: labels by source, split, status and recipe.
        recipes: names by fingerprint.
        growth: of a store; a published database does not grow.
        bytes: on disk.
    """

    where: Path
    name: str
    space: str | None
    command: str
    counts: tuple[Count, ...]
    recipes: dict[str, str]
    growth: Growth
    bytes: int


def status(where: str | Path) -> Status:
    """Return how far the database at ``where`` is: a store, a folder, or a shipped database's name.

    Raises:
        DatabaseError: there is none, or it is damaged.
    """
    path = store_file(where)
    with contents(where) as found:
        growth = Growth() if path is None else _growth(path)
        return Status(
            where=found.where,
            name=found.name,
            space=found.space,
            command=found.command,
            counts=_count(found) if path is None else _count_store(path),
            recipes={key: str(recipe.get("name", key)) for key, recipe in found.recipes.items()},
            growth=growth,
            bytes=sum(file.stat().st_size for file in _files(found.where)),
        )


def _files(where: Path) -> list[Path]:
    return (
        [path for path in where.iterdir() if path.is_file()]
        if where.is_dir()
        else [*where.parent.glob(f"{where.name}*")]
    )


def _count(found: Contents) -> tuple[Count, ...]:
    sources = {task.id: task.source for task in found.tasks}
    tasks: dict[_Kind, set[str]] = defaultdict(set)
    labels = Counter[_Kind]()
    seconds: dict[_Kind, float] = defaultdict(float)
    for row in each_row(found.where / RECORDS_FILE, columns=("task", "split", "status", "recipe", "seconds")):
        kind = (sources[row["task"]], row["split"], row["status"], row["recipe"])
        tasks[kind].add(row["task"])
        labels[kind] += 1
        seconds[kind] += row["seconds"] or 0.0
    order = sorted(labels, key=lambda kind: tuple(part or "" for part in kind))
    return tuple(Count(*kind, len(tasks[kind]), labels[kind], seconds[kind]) for kind in order)


def _count_store(path: Path) -> tuple[Count, ...]:
    """Do the same where SQLite can."""
    with Store(path, read_only=True) as store:
        rows = store.query(
            "SELECT json_extract(t.content, '$.source'), r.split, r.status, r.recipe, count(DISTINCT r.task), "
            "count(*), total(r.seconds) FROM records r JOIN tasks t ON t.task = r.task "
            "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        )
    return tuple(Count(*row) for row in rows)


def _growth(path: Path) -> Growth:
    with Store(path, read_only=True) as store:
        moments = store.query(
            "SELECT stored FROM records WHERE stored > 0 ORDER BY stored DESC LIMIT ?", (_RECENT,)
        )
        ((planned,),) = store.query("SELECT count(*) FROM wanted")
        ((left,),) = store.query(
            "SELECT total(max(jobs - (SELECT count(*) FROM records WHERE task = w.task AND recipe = w.recipe), 0)) "
            "FROM wanted w"
        )
    times = [moment for (moment,) in moments]
    return Growth(
        left=int(left) if planned else None,
        per_minute=_rate(times),
        last=time.time() - times[0] if times else None,
        building=_is_building(path),
    )


def _rate(moments: Sequence[float]) -> float | None:
    """Return labels a minute from the times of the last ones, newest first, without the pauses between builds."""
    gaps = [later - earlier for later, earlier in pairwise(moments)]
    if not gaps:
        return None
    usual = _PAUSE * max(statistics.median(gaps), 1.0)
    working = [gap for gap in gaps if gap <= usual]
    return 60 * len(working) / max(sum(working), 1e-3)


def _is_building(path: Path) -> bool:
    if not lock_file(path).is_file():
        return False
    try:
        lock(path).close()
    except (DatabaseError, OutputError):
        return True
    return False
