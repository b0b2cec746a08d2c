"""metad2a search."""

import shlex
from inspect import signature
from pathlib import Path
from typing import Any

from metad2a.cli import output
from metad2a.cli.commands.scale import Told
from metad2a.cli.commands.search_evaluations import check_recipe, oracle_of, parts_of, query, train
from metad2a.cli.commands.search_usage import check_opened, check_useful
from metad2a.cli.commands.search_wanted import Wanted, wishes
from metad2a.cli.commands.search_written import command_line, evaluated, write
from metad2a.costs.latency_model import LatencyPredictor
from metad2a.costs.layer_latency import read_latency_table
from metad2a.data.cache import FeatureCache
from metad2a.data.opening import open_data
from metad2a.errors import ConfigError
from metad2a.fitting.recipes import get_recipe
from metad2a.oracles.base import Oracle
from metad2a.runtime import check_writable
from metad2a.search.best_known import best_known
from metad2a.search.explanation import explain
from metad2a.search.export_folder import check_replaceable
from metad2a.search.metad2a import MetaD2A
from metad2a.search.onnx_file import check_onnx
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.scale import NetworkScale

__all__ = ["Told", "Wanted", "command_line", "run", "wishes"]

_DECIDING = (  # options with numbers, and the arguments of ``MetaD2A.search`` that they are
    ("--max-params", "max_params"),
    ("--max-flops", "max_flops"),
    ("--max-latency-ms", "max_latency_ms"),
    ("--max-memory-mb", "max_memory_mb"),
    ("--candidates", "n_candidates"),
    ("--refinements", "refinements"),
    ("--seed", "random_state"),
)


def run(
    images: str,
    *,
    space: str | None,
    checkpoint: list[str],
    options: dict[str, Any],
    label_recipe: str | None,
    scale: Told,
    latency_table: Path | None,
    device: str,
    wanted: Wanted,
) -> None:
    """Search; print the first candidates and what explains them; train and write what was asked for; advise.

    Args:
        images: what to search for.
        space: that the checkpoint must be for.
        checkpoint: shipped name or files; empty: what is shipped for the space.
        options: arguments of ``MetaD2A.search``.
        label_recipe: of those that the checkpoint knows, the one to predict for.
        scale: of the networks.
        latency_table: another device's latencies.
        device: to compute on.
        wanted: what becomes of the result.
    """
    _check(options, wanted, latency_table)
    model = MetaD2A.open(*checkpoint, space=space, option="--space ", device=device, label_recipe=label_recipe)
    oracle = oracle_of(model.space, wanted)
    networks, latency = _scale(model.space, scale, latency_table, oracle, wanted)
    check_recipe(model.space, networks, wanted)
    if wanted.queries:
        model.check_queries()
    opened = open_data(images)
    check_opened(opened)
    parts = parts_of(opened, wanted)
    result = model.search(
        opened if parts is None else parts.train,
        cache=FeatureCache(),
        latency=latency,
        measured=wanted.top,
        resolution=networks.resolution,
        scale=networks.options,
        **options,
    )
    assert result.features is not None  # noqa: S101  (the search has just made them)
    again = _again(space, checkpoint, label_recipe, scale, latency_table, options)
    explanation = explain(model, result.features, result, images=images, again=again)
    output.print_search(result, wanted.top)
    if wanted.pareto is not None:
        output.print_pareto(result, wanted.pareto)
    output.print_sentences(explanation.findings())
    queried = query(model, result, parts, oracle, wanted, device) if wanted.queries else None
    trained = train(result, parts, wanted, device) if wanted.then_train and parts is not None else None
    best = best_known(result.to_dict() | evaluated(result, trained, queried))
    if best is not None:
        explanation = explanation.knowing(best, result, images=images)
    write(result, explanation, trained, queried, opened, wanted)
    output.print_sentences(explanation.next_steps())


def _again(
    space: str | None,
    checkpoint: list[str],
    label_recipe: str | None,
    scale: Told,
    latency_table: Path | None,
    options: dict[str, Any],
) -> str:
    """Return the options that decide what is found, as far as they are not the usual ones."""
    told: list[tuple[str, object]] = [("--space", space), *(("--checkpoint", one) for one in checkpoint)]
    told += [
        ("--resolution", scale.resolution),
        ("--label-recipe", label_recipe),
        *(("--scale", text) for text in scale.texts),
        ("--latency-table", latency_table),
    ]
    usual = signature(MetaD2A.search).parameters
    told += [(option, _plain(options[name])) for option, name in _DECIDING if options[name] != usual[name].default]
    told += [("--want", f"{name}={_plain(value)}") for name, value in options["want"].items()]
    words = [str(text) for option, value in told if value is not None for text in (option, value)]
    return shlex.join([*words, *([] if options["constrained"] else ["--unconstrained"])])


def _plain(number: float | int) -> str:
    return f"{number:.0f}" if float(number).is_integer() else str(number)


def _scale(
    space: SearchSpace, told: Told, latency_table: Path | None, oracle: Oracle | None, wanted: Wanted
) -> tuple[NetworkScale, LatencyPredictor | None]:
    """Return the scale of the networks, told or known by the oracle or the table, and the table's latencies."""
    knowing: dict[str, object] = {} if oracle is None else {f"--oracle {wanted.oracle}": oracle}
    networks = told.agreed(space, knowing)
    if latency_table is None:
        return networks, None
    latency = read_latency_table(latency_table, space, resolution=networks.resolution)
    return told.agreed(space, knowing | {f"--latency-table {latency_table}": latency}), latency


def _check(options: dict[str, Any], wanted: Wanted, latency_table: Path | None) -> None:
    """Refuse what cannot be done before anything is computed."""
    check_useful(wanted, measures=latency_table is None)
    counts = {
        "--candidates": options["n_candidates"],
        "--top": wanted.top,
        "--images-per-class": options["images_per_class"],
        "--train-seeds": wanted.train_seeds,
    }
    for name, value in counts.items():
        if value < 1:
            raise ConfigError(f"{name} {value}: give a number of at least 1.")
    _check_evaluations(wanted)
    for path in (wanted.json, wanted.html):
        if path is not None:
            check_writable(path)
    if wanted.export is not None:
        check_replaceable(wanted.export)
        if wanted.onnx:
            check_onnx()
    get_recipe(wanted.recipe)
    timed = options["measure_latency"] or latency_table is not None or options["max_latency_ms"] is not None
    output.check_cost(wanted.pareto, timed=timed)


def _check_evaluations(wanted: Wanted) -> None:
    if wanted.then_train < 0:
        raise ConfigError(f"--then-train {wanted.then_train}: give the number of candidates to train.")
    if wanted.queries < 0 or wanted.enough < 0:
        raise ConfigError(f"--queries {wanted.queries} --enough {wanted.enough}: give 0 or more.")
    if wanted.oracle is not None and wanted.oracle_column is None:
        raise ConfigError(f"--oracle {wanted.oracle}: which column? Give --oracle-column.")
