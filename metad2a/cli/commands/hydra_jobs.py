"""The commands that Hydra configures (train, evaluate, compare, build-database, fit-network), and resume."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metad2a.cli import output
from metad2a.cli.commands import build_plan, fit_request
from metad2a.cli.configuration import launch, prepare, quote, run_dir
from metad2a.cli.jobs import build_database as build_database_job
from metad2a.cli.jobs import compare as compare_job
from metad2a.cli.jobs import evaluate as evaluate_job
from metad2a.cli.jobs import fit_network as fit_network_job
from metad2a.cli.jobs import train as train_job
from metad2a.cli.jobs import train_supernet as train_supernet_job
from metad2a.cli.refusal import Refused
from metad2a.errors import ConfigError, MetaD2AError, unknown_name
from metad2a.runtime import shipped
from metad2a.training.objectives import NEW_TASKS

Job = Callable[..., Any]
JOBS: dict[str, Job] = {
    "train": train_job.run,
    "evaluate": evaluate_job.run,
    "compare": compare_job.run,
    "build-database": build_database_job.run,
    "fit-network": fit_network_job.run,
    "train-supernet": train_supernet_job.run,
}
KINDS = ("generator", "predictor", "surrogate", train_supernet_job.KIND)


def train(kind: str, overrides: Sequence[str]) -> None:
    """Meta-train; print a summary of all runs of a sweep."""
    if kind not in KINDS:
        raise unknown_name("model", kind, KINDS)
    if kind == train_supernet_job.KIND:
        launch("train_supernet", overrides, _job("train-supernet", []))
        return
    finished: list[tuple[Path, dict[str, float | int]]] = []
    chosen = [_experiment_of(kind, text) for text in overrides]
    try:
        launch("train", [f"model={kind}", *chosen], _job("train", finished))
    finally:
        if finished:
            _print_runs(kind, finished)


def evaluate(overrides: Sequence[str]) -> None:
    """Evaluate a search against an oracle."""
    launch("evaluate", overrides, _job("evaluate", []))


def compare(overrides: Sequence[str]) -> None:
    """Compare methods."""
    launch("compare", overrides, _job("compare", []))


def build_database(overrides: Sequence[str], *, dry_run: bool = False) -> None:
    """Build or continue a database; a dry run only says what there is to do and how long it takes."""
    if dry_run:
        build_plan.run([quote(text) for text in overrides])
        return
    launch("build_database", overrides, _job("build-database", []))


def fit_network(arch: str, dataset: str, overrides: Sequence[str]) -> None:
    """Train one network on a data set."""
    launch("fit_network", fit_request.as_overrides(arch, dataset, overrides), _job("fit-network", []))


def resume(folder: Path, devices: str | None = None) -> None:
    """Continue the run in ``folder``; ``devices`` replaces the ``trainer.devices`` of a meta-training.

    Raises:
        ConfigError: it is no run folder of a job that can be continued.
    """
    config = folder / ".hydra" / "config.yaml"
    if not config.is_file():
        raise ConfigError(f"{folder} is no run folder: there is no {config}. See `metad2a ls runs`.")
    prepare()
    cfg = OmegaConf.load(config)
    name = str(cfg.get("task_name")) if isinstance(cfg, DictConfig) else ""
    if not isinstance(cfg, DictConfig) or name not in JOBS:
        raise ConfigError(f"{config} describes no job of metad2a (task_name: '{name}').")
    if devices is not None:
        if name != "train":
            raise ConfigError(f"{folder} is no meta-training: --devices has no meaning for it.")
        cfg.trainer.devices = int(devices) if devices.isdigit() else devices
    _run(name, cfg, folder, resume=True)


def _job(name: str, finished: list[tuple[Path, Any]]) -> Callable[[DictConfig], Any]:
    def job(cfg: DictConfig) -> Any:
        folder = run_dir()
        result = _run(name, cfg, folder, resume=False)
        finished.append((folder, result))

    return job


def _run(name: str, cfg: DictConfig, folder: Path, *, resume: bool) -> Any:
    """Run one job; Hydra would bury the messages of errors, so they are told here."""
    try:
        result = JOBS[name](cfg, folder, run_id=_run_id(folder), resume=resume)
    except MetaD2AError as error:
        print(f"error: {error}", file=sys.stderr)
        raise Refused(folder) from error
    except KeyboardInterrupt:
        print(f"interrupted. To continue:  metad2a resume {folder}", file=sys.stderr)
        sys.exit(130)
    output.console.print(f"run folder: {folder}")
    return result


def _run_id(folder: Path) -> str:
    """Return the id of a run from its folder: ``ID``, or ``ID-NUMBER`` in a sweep."""
    path = folder.absolute()
    return f"{path.parent.name}-{path.name}" if path.name.isdigit() else path.name


def _experiment_of(kind: str, override: str) -> str:
    """Turn ``experiment=demo`` into the model's own file where an experiment has one for each."""
    key, _, value = override.partition("=")
    if key == "experiment" and shipped("conf", "experiment", value, f"{kind}.yaml").is_file():
        return f"experiment={value}/{kind}"
    return override


def _print_runs(kind: str, finished: Sequence[tuple[Path, dict[str, float | int]]]) -> None:
    found = sorted({name for _, row in finished for name in row if name.startswith(("val/", "gen/"))})
    new = [name for name in found if name.startswith(NEW_TASKS)]
    tables = {"": [name for name in found if name not in new], ", on tasks that are not in meta-training": new}
    for what, names in tables.items():
        rows = [
            [_run_id(folder), f"{row['epoch']:.0f}", *(f"{row.get(name, float('nan')):.3f}" for name in names)]
            for folder, row in finished
        ]
        if names:
            columns = ["run", "epoch", *(name.removeprefix(NEW_TASKS) for name in names)]
            output.print_rows(f"{kind}: scores of the kept epoch{what}", columns, rows)
    for folder, _ in finished:
        output.wrote(folder / "checkpoints" / "best.safetensors")
