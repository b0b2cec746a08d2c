"""metad2a build-database: really train networks on tasks, record how good they are."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from metad2a.cli.configuration import check_at_least, plain
from metad2a.cli.jobs.build_command import build_command
from metad2a.cli.jobs.recipe_size import check_size
from metad2a.database.builder import BuildSummary, build
from metad2a.database.executors import Executor, Inline, ProcessPool
from metad2a.database.label_sources import LabelSource, draw_tasks, licences, places
from metad2a.database.planning import plan
from metad2a.database.ray_executor import Ray
from metad2a.database.records import Job
from metad2a.database.store import Store
from metad2a.database.upkeep.contents import STORE_FILE
from metad2a.errors import DatabaseError, unknown_name
from metad2a.fitting.recipe import Recipe
from metad2a.oracles.supernet import inherited_recipe
from metad2a.runtime import check_writable
from metad2a.spaces.registry import get_space
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track

_log = logging.getLogger(__name__)

_REASONS = 3  # of failures that are told
_DETAIL = re.compile(r"'[^']*'|\w*\d\w*")  # names and numbers: reasons that differ in these alone are one
_EXECUTORS: dict[str, Callable[[DictConfig, Mapping[str, str]], Executor]] = {
    "inline": lambda _, images: Inline(images),
    "process_pool": lambda cfg, images: ProcessPool(cfg.workers, images),
    "ray": lambda cfg, images: Ray(cfg.address, cfg.workers, images),
}


@dataclass(frozen=True)
class Planned:
    """What a configuration asks for.

    Attributes:
        jobs: the labels.
        images: where this machine has the images of each source.
        licences: of the images.
        executor: computes labels.
        values: the configuration as plain data.
    """

    jobs: list[Job]
    images: dict[str, str]
    licences: dict[str, str]
    executor: Executor
    values: dict[str, Any]


def planned(cfg: DictConfig) -> Planned:
    """Return what ``cfg`` asks for; nothing is written or trained.

    Raises:
        ConfigError: a value cannot be used.
        DataError: images cannot be opened.
    """
    check_at_least(cfg, {"limit": 1})
    values = plain(cfg)
    if cfg.executor.kind not in _EXECUTORS:
        raise unknown_name("executor", cfg.executor.kind, _EXECUTORS)
    parts = [LabelSource.from_dict(str(name), part) for name, part in values["label_source"].items()]
    executor = _EXECUTORS[cfg.executor.kind](cfg.executor, places(parts))
    recipe = _recipe(values)
    tasks, splits = draw_tasks(parts, seed=cfg.seed)
    space = get_space(cfg.space)
    jobs = plan(
        space,
        tasks,
        archs_per_task=cfg.archs_per_task if cfg.n is None else None,
        n=cfg.n,
        sizes_per_task=cfg.sizes_per_task,
        recipe=recipe,
        seeds=values["label_seeds"],
        repeat_fraction=cfg.repeat_fraction,
        seed=cfg.seed,
        splits=splits,
    )
    check_size(space, space.parse(jobs[0].arch), recipe)  # else every label would fail
    return Planned(jobs, places(parts), licences(parts), executor, values)


def _recipe(values: dict[str, Any]) -> Recipe:
    """Return the recipe of ``values``, in which a supernet's fingerprint takes the place of its file."""
    if "supernet" not in values["recipe"]:
        return Recipe.from_dict(values["recipe"])
    recipe = inherited_recipe(values["recipe"])
    values["recipe"]["supernet"] = recipe.supernet
    return recipe


def run(cfg: DictConfig, folder: Path, *, run_id: str, resume: bool = False) -> BuildSummary:
    """Compute the labels that ``out`` lacks, then publish all of them there.

    Running it again, or resuming it, computes only what is missing.

    Raises:
        DatabaseError: not one label is there, now or from before: all that were tried failed.
    """
    out = Path(cfg.out)
    wanted = planned(cfg)
    check_writable(out / STORE_FILE)
    values, trackers = wanted.values, make_trackers()
    with (
        Store(out / STORE_FILE) as store,
        track(
            folder, values, run_id=run_id, job="build-database", seed=cfg.seed, trackers=trackers, resumed=resume
        ) as tracker,
    ):
        store.describe(name=cfg.name, sources=wanted.licences, command=build_command(values))
        summary = build(wanted.jobs, store, wanted.executor, limit=cfg.limit, retry_failed=cfg.retry_failed)
        store.publish(out)
        tracker.metrics({name: float(count) for name, count in vars(summary).items()}, step=0)
        tracker.artifact(out / "records.parquet", "dataset")
        _log.info("%s: %d computed, %d failed, %d known before, %d left", out, *vars(summary).values())
        if summary.failed:
            _tell_failures(summary, out, _reasons(store, wanted.jobs))
    return summary


def _reasons(store: Store, jobs: Sequence[Job]) -> list[tuple[str, int]]:
    """Return why ``jobs`` failed, by an example, and how many of them so, the most frequent first."""
    failed = sorted(store.keys("failed") & {job.key for job in jobs})
    told = [row["error"].splitlines()[0] for row in store.rows_by_key(failed).values()]
    kinds = [_DETAIL.sub("", reason) for reason in told]
    example = dict(zip(kinds, told, strict=True))
    return [(example[kind], count) for kind, count in Counter(kinds).most_common()]


def _tell_failures(summary: BuildSummary, out: Path, reasons: Sequence[tuple[str, int]]) -> None:
    """Warn of labels that failed, which are a part of a database; refuse to call one built that has no others."""
    told = [f"{count:,} like {reason.rstrip('.')}" for reason, count in reasons[:_REASONS]]
    if len(reasons) > _REASONS:
        told.append(f"{sum(count for _, count in reasons[_REASONS:]):,} for other reasons")
    failed = f"{summary.failed:,} failed ({'; '.join(told)})"
    what_now = (
        f"`metad2a database export {out} labels.csv` writes the reason of each; the same command with "
        "retry_failed=true tries them again."
    )
    if summary.computed + summary.known == 0:
        raise DatabaseError(f"{out} has none of the labels asked for: {failed}. {what_now}")
    _log.warning("%s: %s. %s", out, failed, what_now)
