"""metad2a build-database: really train networks on tasks, record how good they are."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metad2a.cli.configuration import check_at_least, plain
from metad2a.database.builder import BuildSummary, build
from metad2a.database.executors import Executor, Inline, ProcessPool
from metad2a.database.planning import plan, sample_tasks
from metad2a.database.store import Store
from metad2a.errors import ConfigError, unknown_name
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import check_writable, shipped
from metad2a.spaces.registry import get_space
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track

_log = logging.getLogger(__name__)

_EXECUTORS = ("process_pool", "inline")


def run(cfg: DictConfig, folder: Path, *, run_id: str, resume: bool = False) -> BuildSummary:
    """Compute the labels that ``out`` lacks, then publish all of them there.

    Running it again, or resuming it, computes only what is missing.
    """
    check_at_least(cfg, {"limit": 1})
    values = plain(cfg)
    out = Path(cfg.out)
    check_writable(out / "store.sqlite")
    source = cfg.label_source
    if not source.licence:
        raise ConfigError("say under which licence the images are: label_source.licence='...'.")
    tasks = sample_tasks(
        source.source,
        source.tasks,
        classes_per_task=source.classes_per_task,
        images_per_class=source.images_per_class,
        seed=cfg.seed,
    )
    jobs = plan(
        get_space(cfg.space),
        tasks,
        archs_per_task=cfg.archs_per_task,
        recipe=Recipe.from_dict(values["recipe"]),
        seeds=values["label_seeds"],
        seed=cfg.seed,
    )
    executor = _executor(cfg.executor)
    trackers = make_trackers()
    with (
        Store(out / "store.sqlite") as store,
        track(
            folder, values, run_id=run_id, job="build-database", seed=cfg.seed, trackers=trackers, resumed=resume
        ) as tracker,
    ):
        summary = build(jobs, store, executor, limit=cfg.limit)
        store.publish(out, name=cfg.name, sources={source.source: source.licence}, command=_command(values))
        tracker.metrics({name: float(count) for name, count in vars(summary).items()}, step=0)
        tracker.artifact(out / "records.parquet", "dataset")
    _log.info("%s: %d computed, %d failed, %d known before, %d left", out, *vars(summary).values())
    return summary


def _executor(executor: DictConfig) -> Executor:
    if executor.kind not in _EXECUTORS:
        raise unknown_name("executor", executor.kind, _EXECUTORS)
    return Inline() if executor.kind == "inline" else ProcessPool(executor.workers)


def _command(values: dict[str, Any]) -> str:
    """Return the command that computes the same labels, whatever the machine."""
    source, recipe = values["label_source"], values["recipe"]
    parts = {
        "name": values["name"],
        "space": values["space"],
        "archs_per_task": values["archs_per_task"],
        "label_seeds": values["label_seeds"],
        "seed": values["seed"],
        **_recipe_overrides(recipe),
        **{f"label_source.{key}": value for key, value in source.items() if key != "licence"},
    }
    text = " ".join(f"{key}={value}".replace(" ", "") for key, value in parts.items())
    return f"metad2a build-database {text}"


def _recipe_overrides(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe as overrides: its name in conf/recipe and what differs from that file."""
    file = shipped("conf", "recipe", f"{recipe['name']}.yaml")
    wanted = _flat(recipe, "recipe.")
    if not file.is_file():
        return wanted
    known = _flat(plain(OmegaConf.load(file)), "recipe.")
    return {"recipe": recipe["name"], **{key: value for key, value in wanted.items() if value != known.get(key)}}


def _flat(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
