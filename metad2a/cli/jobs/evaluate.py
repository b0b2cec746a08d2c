"""metad2a evaluate: a search against an oracle of true accuracies."""

import shlex
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from metad2a.cli import output
from metad2a.cli.configuration import check_at_least, plain
from metad2a.data.cache import FeatureCache
from metad2a.data.features import FeatureSet
from metad2a.data.opening import open_data
from metad2a.errors import ConfigError
from metad2a.evaluation.asking import Remembered
from metad2a.evaluation.compare.asked_judge import oracle_digest
from metad2a.evaluation.compare.defaults import references
from metad2a.evaluation.compare.kept import Kept
from metad2a.evaluation.protocol import Evaluation, evaluate
from metad2a.oracles.base import Oracle
from metad2a.oracles.opening import open_oracle
from metad2a.oracles.table import TableOracle
from metad2a.runtime import check_writable, write_json
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.base import SearchSpace
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track


def run(cfg: DictConfig, folder: Path, *, run_id: str, resume: bool = False) -> Evaluation:
    """Evaluate in ``folder``; write and print the result. ``resume`` asks no oracle what is kept."""
    if not cfg.oracle:
        raise ConfigError(
            "no oracle was given. Set oracle=FILE (a table, an accuracy predictor or a supernet) and "
            "oracle_column=NAME."
        )
    check_at_least(cfg, {"seeds": 1, "candidates": 1, "images_per_class": 1, "sample": 2})
    outputs = [Path(name) for name in (cfg.json, cfg.html) if name]
    for path in outputs:
        check_writable(path)
    model = _model(plain(cfg))
    data = open_data(cfg.dataset)
    oracle = _oracle(cfg, model.space)
    with track(
        folder, plain(cfg), run_id=run_id, job="evaluate", seed=0, trackers=make_trackers(), resumed=resume
    ) as tracker:
        features = (
            data
            if isinstance(data, FeatureSet)
            else model.embed(data, images_per_class=cfg.images_per_class, cache=FeatureCache())
        )
        result = evaluate(
            model,
            features,
            oracle,
            seeds=cfg.seeds,
            n_candidates=cfg.candidates,
            constrained=cfg.constrained,
            sample=cfg.sample,
            want=_aim(plain(cfg)),
        )
        for step, row in enumerate(result.per_run):
            tracker.metrics({name: value for name, value in row.items() if isinstance(value, float)}, step=step)
        write_json(folder / "evaluation.json", result.to_dict())
        tracker.artifact(folder / "evaluation.json", "report")
    output.print_evaluation(result)
    _write(cfg, result)
    return result


def _model(values: dict[str, Any]) -> MetaD2A:
    return MetaD2A.open(
        *_files(values),
        space=values.get("space"),  # not in run folders from before there was this key
        device=values["device"],
        label_recipe=values["label_recipe"] or None,
    )


def _files(values: dict[str, Any]) -> list[str]:
    """Return the checkpoint's, or none where none is named."""
    return [] if values["checkpoint"] is None else references(values["checkpoint"])


def _write(cfg: DictConfig, result: Evaluation) -> None:
    """Write the files that were asked for."""
    if cfg.json:
        write_json(cfg.json, result.to_dict())
        output.wrote(cfg.json)
    if cfg.html:
        from metad2a.reporting.reports import evaluation_report

        evaluation_report(Path(cfg.html), result, command=_command(plain(cfg)))
        output.wrote(cfg.html)


def _oracle(cfg: DictConfig, space: SearchSpace) -> Oracle:
    """Open the oracle; what one that is no table answers is kept, as in comparisons."""
    oracle = open_oracle(cfg.oracle, cfg.oracle_column, space)
    if isinstance(oracle, TableOracle):
        return oracle
    content = oracle_digest(oracle, Path(cfg.oracle), [cfg.oracle_column])
    place = cfg.get("kept")  # not in run folders from before there was this key
    return Remembered(oracle, space, kept=Kept(place) if place else None, content=content)


def _aim(values: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in values["want"].items() if value is not None}


def _command(values: dict[str, Any]) -> str:
    """Return the command that computes the same numbers, whatever the machine."""
    keys = (
        *("dataset", "oracle", "oracle_column", "sample", "seeds", "candidates", "constrained"),
        "images_per_class",
    )
    named = [] if values.get("space") is None else [f"space={values['space']}"]
    named += [f"checkpoint=[{','.join(files)}]"] if (files := _files(values)) else []
    aim = [f"label_recipe={values['label_recipe']}"] if values["label_recipe"] else []
    aim += [f"want.{name}={value:g}" for name, value in _aim(values).items()]
    return shlex.join(["metad2a", "evaluate", *(f"{key}={values[key]}" for key in keys), *named, *aim])
