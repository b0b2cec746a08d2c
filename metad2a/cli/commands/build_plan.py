"""metad2a build-database --dry-run: the plan, and how long it will take."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from metad2a.cli import output
from metad2a.cli.configuration import compose
from metad2a.cli.jobs.build_database import Planned, planned
from metad2a.database.builder import settled
from metad2a.database.estimate import Estimate, estimate
from metad2a.database.executors import Inline, ProcessPool, cores
from metad2a.database.ray_executor import Ray
from metad2a.database.records import Job
from metad2a.database.store import Store
from metad2a.database.upkeep.contents import STORE_FILE
from metad2a.errors import ConfigError
from metad2a.runtime import duration

_COLUMNS = ("images", "split", "tasks", "pairs", "more seeds", "labels", "known", "failed", "missing")


def run(overrides: Sequence[str]) -> None:
    """Print what ``overrides`` ask for and what it costs; train a few networks for an epoch, store nothing."""
    flags = [text for text in overrides if text.startswith("-")]
    if flags:
        raise ConfigError(f"--dry-run shows one plan and takes KEY=VALUE only, not '{flags[0]}'.")
    cfg = compose("build_database", overrides)
    wanted = planned(cfg)
    known, failed = _there(Path(cfg.out) / STORE_FILE, retry_failed=cfg.retry_failed)
    jobs = list({job.key: job for job in wanted.jobs}.values())
    groups: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        groups[job.task.source, job.split or ""].append(job)
    rows = [[*name, *_numbers(group, known, failed)] for name, group in sorted(groups.items())]
    if len(rows) > 1:
        rows.append(["all", "", *_numbers(jobs, known, failed)])
    output.print_rows(f"{cfg.out} ({cfg.space}, recipe {cfg.recipe.name})", _COLUMNS, rows)
    missing = [job for job in jobs if job.key not in known | failed][: cfg.limit]
    if missing:
        output.console.print(_cost(estimate(missing, wanted.images, seed=cfg.seed), wanted))


def _there(path: Path, *, retry_failed: bool) -> tuple[set[str], set[str]]:
    """Return what is ``settled`` in a store, which may not be there yet."""
    if not path.is_file():
        return set(), set()
    with Store(path, read_only=True) as store:
        return settled(store, retry_failed=retry_failed)


def _numbers(jobs: Sequence[Job], known: Collection[str], failed: Collection[str]) -> list[str]:
    tasks, pairs = len({job.task.id for job in jobs}), len({(job.task.id, job.arch) for job in jobs})
    there, lost = (sum(job.key in keys for job in jobs) for keys in (known, failed))
    counts = (tasks, pairs, len(jobs) - pairs, len(jobs), there, lost, len(jobs) - there - lost)
    return [f"{count:,}" for count in counts]


def _cost(cost: Estimate, wanted: Planned) -> str:
    each, error = cost.seconds / cost.labels, "" if cost.error is None else f" ± {cost.error / 3600:.2g}"
    workers = _workers(wanted)
    time = f"with {workers} workers about {duration(cost.seconds / min(workers, cost.labels))}" if workers else ""
    return (
        f"{cost.labels:,} labels to compute now: {each:.3g} s each on one core of this machine ({cost.measured} "
        f"measured for an epoch or two), {cost.seconds / 3600:.3g}{error} core-hours"
        + (f"; {time} while nothing else runs" if time else "; divide by the cluster's cores")
    )


def _workers(wanted: Planned) -> int | None:
    """Return the number of processes that will work, None when only a cluster knows it."""
    executor = wanted.executor
    if isinstance(executor, ProcessPool):
        return executor.workers
    if isinstance(executor, Ray):
        return executor.workers or (cores() if executor.address is None else None)
    return 1 if isinstance(executor, Inline) else None
