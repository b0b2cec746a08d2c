"""metad2a build-database: really train networks on tasks, record how good they are."""

import logging
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metad2a.cli.configuration import check_at_least, options, plain
from metad2a.database.builder import BuildSummary, build
from metad2a.database.executors import Executor, Inline, ProcessPool
from metad2a.database.label_sources import LabelSource, draw_tasks, licences, places
from metad2a.database.planning import plan
from metad2a.database.ray_executor import Ray
from metad2a.database.store import Store
from metad2a.errors import unknown_name
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import check_writable, shipped
from metad2a.spaces.registry import get_space
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track

_log = logging.getLogger(__name__)

_EXECUTORS: dict[str, Callable[[DictConfig, Mapping[str, str]], Executor]] = {
    "inline": lambda _, images: Inline(images),
    "process_pool": lambda cfg, images: ProcessPool(cfg.workers, images),
    "ray": lambda cfg, images: Ray(cfg.address, cfg.workers, images),
}
_NOT_NAMED = ("images", "licence")
_GONE = object()


def run(cfg: DictConfig, folder: Path, *, run_id: str, resume: bool = False) -> BuildSummary:
    """Compute the labels that ``out`` lacks, then publish all of them there.

    Running it again, or resuming it, computes only what is missing.
    """
    check_at_least(cfg, {"limit": 1})
    values = plain(cfg)
    out = Path(cfg.out)
    check_writable(out / "store.sqlite")
    parts = [LabelSource.from_dict(str(name), part) for name, part in values["label_source"].items()]
    tasks, splits = draw_tasks(parts, seed=cfg.seed)
    jobs = plan(
        get_space(cfg.space),
        tasks,
        archs_per_task=cfg.archs_per_task if cfg.n is None else None,
        n=cfg.n,
        recipe=Recipe.from_dict(values["recipe"]),
        seeds=values["label_seeds"],
        repeat_fraction=cfg.repeat_fraction,
        seed=cfg.seed,
        splits=splits,
    )
    executor = _executor(cfg.executor, places(parts))
    trackers = make_trackers()
    with (
        Store(out / "store.sqlite") as store,
        track(
            folder, values, run_id=run_id, job="build-database", seed=cfg.seed, trackers=trackers, resumed=resume
        ) as tracker,
    ):
        summary = build(jobs, store, executor, limit=cfg.limit, retry_failed=cfg.retry_failed)
        store.publish(out, name=cfg.name, sources=licences(parts), command=_command(values))
        tracker.metrics({name: float(count) for name, count in vars(summary).items()}, step=0)
        tracker.artifact(out / "records.parquet", "dataset")
    _log.info("%s: %d computed, %d failed, %d known before, %d left", out, *vars(summary).values())
    return summary


def _executor(executor: DictConfig, images: Mapping[str, str]) -> Executor:
    if executor.kind not in _EXECUTORS:
        raise unknown_name("executor", executor.kind, _EXECUTORS)
    return _EXECUTORS[executor.kind](executor, images)


def _command(values: dict[str, Any]) -> str:
    """Return the command that computes the same labels, whatever the machine and wherever it has the images."""
    parts = {
        "name": values["name"],
        "space": values["space"],
        **{key: values[key] for key in ("n" if values["n"] else "archs_per_task", "label_seeds")},
        **({"repeat_fraction": values["repeat_fraction"]} if values["repeat_fraction"] else {}),
        "seed": values["seed"],
        **_recipe_overrides(values["recipe"]),
        **_source_overrides(values["label_source"]),
    }
    texts = [f"{key}={_text(value)}" if value is not _GONE else f"~{key}" for key, value in parts.items()]
    return " ".join(["metad2a build-database", *map(shlex.quote, texts)])


def _text(value: Any) -> str:
    return "null" if value is None else str(value).replace(" ", "") if isinstance(value, list) else str(value)


def _source_overrides(sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the label sources as overrides: the file in conf/label_source that is nearest, and what differs.

    Where the images are and under which licence is left out, where no file says it.
    """
    wanted = {name: {key: v for key, v in part.items() if key not in _NOT_NAMED} for name, part in sources.items()}
    candidates = []
    for option in options("label_source"):
        file = plain(OmegaConf.load(shipped("conf", "label_source", f"{option}.yaml")))
        known = {f"label_source.{key}" for key in file}
        flat, default = _flat(wanted, "label_source."), _flat(file, "label_source.")
        changed: dict[str, Any] = {f"label_source.{name}": _GONE for name in file if name not in wanted}
        for key, value in flat.items():
            if key not in default or value != default[key]:
                new = "" if key.rpartition(".")[0] in known else "+"
                changed[new + key] = value
        candidates.append({"label_source": option, **changed})
    return min(candidates, key=len)


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
