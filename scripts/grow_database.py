"""How a database grows: size, write rate and query times of a store and of its published form.

    python scripts/grow_database.py ROWS FOLDER [--epochs 10] [--tasks 172] [--one-by-one 2000]

Writes ROWS records that look like real ones (keys, cells, learning curves of so many epochs; the numbers are
drawn): some one by one as a build does, the rest in transactions as a merge does. Measures what is then done with
them. FOLDER must not exist; it is left for a look.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from metad2a.database.planning import plan, sample_tasks
from metad2a.database.published import MetaDatabase, record_row
from metad2a.database.records import GLYPHS, Job, Record
from metad2a.database.store import Store
from metad2a.database.upkeep.merge import merge
from metad2a.database.upkeep.status import status
from metad2a.database.upkeep.verify import verify
from metad2a.errors import OutputError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201

AT_ONCE = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=10, help="of the learning curves")
    parser.add_argument("--tasks", type=int, default=172)
    parser.add_argument("--one-by-one", type=int, default=2000, help="rows that are written as a build does")
    options = parser.parse_args()
    if options.folder.exists():
        raise OutputError(f"{options.folder} exists. Name a folder that does not.")
    grow(options.rows, options.folder, epochs=options.epochs, tasks=options.tasks, one_by_one=options.one_by_one)


def grow(rows: int, folder: Path, *, epochs: int, tasks: int, one_by_one: int) -> None:
    """Write the rows, measure, print a line a figure."""
    jobs = timed(f"plan {rows:,} jobs", lambda: planned(rows, epochs, tasks))
    path = folder / "store.sqlite"
    with Store(path) as store:
        timed("announce them", lambda: store.announce(jobs))
        store.describe(name="grown", sources={GLYPHS: "drawn"}, command="none")
        records = (record(job, number) for number, job in enumerate(jobs))
        first = list(islice(records, min(one_by_one, rows)))
        timed(f"put {len(first):,} records one by one", lambda: [store.put(some) for some in first], per=len(first))
        left = rows - len(first)
        timed(f"put {left:,} rows in transactions of {AT_ONCE:,}", lambda: put(store, records), per=left)
    print(f"store: {path.stat().st_size / 1e6:,.0f} MB, {path.stat().st_size / rows:,.0f} bytes a row")
    with Store(path) as store:
        timed("keys()", store.keys)
        timed("announce again", lambda: store.announce(jobs))
        timed("rows of one task", lambda: store.rows(jobs[0].task.id))
    timed("status (counts by source, split, status, recipe)", lambda: status(path))
    with Store(path, read_only=True) as store:
        timed("publish as Parquet", lambda: store.publish(folder / "published"), per=rows)
    size = sum(file.stat().st_size for file in (folder / "published").iterdir())
    print(f"published: {size / 1e6:,.0f} MB, {size / rows:,.0f} bytes a row")
    timed("load what was published", lambda: MetaDatabase.load(folder / "published"))
    timed("verify both", lambda: report(verify(path), verify(folder / "published")), per=2 * rows)
    for what in ("merge it into an empty store", "merge it again"):
        timed(what, lambda: merge([folder / "published"], folder / "merged.sqlite"), per=rows)
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def planned(rows: int, epochs: int, tasks: int) -> list[Job]:
    """Return the jobs of ``rows`` distinct records."""
    recipe = Recipe(name="grown", epochs=epochs, batch_size=64, learning_rate=0.1)
    drawn = sample_tasks(GLYPHS, tasks, classes_per_task=20, images_per_class=200, seed=0)
    each = min(-(-rows // tasks), 2000)  # of 6,466 distinct cells; the rest are other seeds
    seeds = range(-(-rows // (each * tasks)))
    return plan(NASBench201(), drawn, archs_per_task=each, recipe=recipe, seeds=list(seeds))[:rows]


def record(job: Job, number: int) -> Record:
    """Return a record of ``job`` as training gives it; one in a thousand failed."""
    if number % 1000 == 999:
        return Record.failure(job, "DivergedError: the loss was not finite for 3 steps in a row (step 17).")
    rng = np.random.default_rng(number)
    values = rng.random((job.recipe.epochs, 4))
    curve = [
        {"epoch": e + 1, "step": 125 * (e + 1), "lr": a, "train/loss": b, "val/accuracy": 100 * c, "val/loss": d}
        for e, (a, b, c, d) in enumerate(values.tolist())
    ]
    accuracies = [float(row["val/accuracy"]) for row in curve]
    best = max(accuracies)
    return Record.of(job, status="ok", accuracy=accuracies[-1], best_accuracy=best, curve=curve, seconds=20.5)


def put(store: Store, records: Iterator[Record]) -> None:
    while batch := [record_row(some) for some in islice(records, AT_ONCE)]:
        store.put_rows(batch)


def report(*problems: list[Any]) -> None:
    print(f"problems found: {sum(map(len, problems))}")


def timed(what: str, work: Callable[[], Any], per: int = 0) -> Any:
    """Do ``work`` and print how long it took, and so many items a second."""
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    rate = f", {per / seconds:,.0f} a second" if per else ""
    print(f"{what}: {seconds:.3g} s{rate}", flush=True)
    return result


if __name__ == "__main__":
    main()
