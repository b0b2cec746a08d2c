"""What a comparison found: means with intervals, paired tests, curves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.errors import unknown_name
from metad2a.evaluation.compare.grid import Cell, Grid, Trial
from metad2a.evaluation.compare.reach import reach_rows
from metad2a.evaluation.compare.results import Comparison, Line, OracleFacts, Row
from metad2a.evaluation.compare.statistics import holm, means, paired_p
from metad2a.evaluation.compare.trajectory import Trajectory
from metad2a.evaluation.compare.volumes import Volumes, measure_volumes

_POINTS = 40  # of a curve
Runs = Mapping[str, Sequence[Trajectory]]


def summarise(
    grid: Grid,
    found: Mapping[Cell, Trajectory],
    *,
    seeds: Sequence[int],
    budgets: Sequence[int],
    baseline: str,
    reference: tuple[float, float] | None = None,
) -> Comparison:
    """Return what ``run_grid`` found as means, tests and curves.

    Args:
        grid: what was compared.
        found: by it.
        seeds: of the searches.
        budgets: true evaluations.
        baseline: label of the method that the paired tests are against.
        reference: of hypervolumes; of each oracle its own when None, see ``find_reference``.

    Raises:
        UnknownNameError: no method is called like ``baseline``.
    """
    labels = tuple(method.label for method in grid.methods)
    if baseline not in labels:
        raise unknown_name("baseline", baseline, labels)
    facts: list[OracleFacts] = []
    rows: list[Row] = []
    by_evaluations, by_seconds, by_volume, reach = {}, {}, {}, []
    places = np.unique(np.geomspace(1, max(budgets), _POINTS).round().astype(int)).tolist()
    for number, trial in enumerate(grid.trials):
        runs = {label: [found[Cell(method, number, seed)] for seed in seeds] for method, label in enumerate(labels)}
        name = trial.judge.name
        volumes = measure_volumes(trial, runs, reference=reference)
        facts.append(_facts(trial, runs, volumes))
        rows += _rows(facts[-1], runs, budgets, baseline, volumes)
        by_evaluations[name] = {
            label: _line(places, np.stack([run.pick(places) for run in mine])) for label, mine in runs.items()
        }
        by_seconds[name] = {label: _over_time(mine) for label, mine in runs.items()}
        if volumes is not None:
            by_volume[name] = {label: _line(places, volumes.at(label, places)) for label in labels}
        reach += reach_rows(name, runs, volumes)
    return Comparison(
        oracles=tuple(facts),
        methods=labels,
        baseline=baseline,
        seeds=tuple(seeds),
        budgets=tuple(budgets),
        rows=tuple(rows),
        by_evaluations=by_evaluations,
        by_seconds=by_seconds,
        by_volume=by_volume,
        reach=reach,
    )


def _facts(trial: Trial, runs: Runs, volumes: Volumes | None) -> OracleFacts:
    problem, judge = trial
    found = max(max(run.true) for mine in runs.values() for run in mine)
    return OracleFacts(
        judge.name,
        problem.data.name,
        problem.num_classes,
        max(judge.best, found),
        str(judge.noise),
        judge.timed,
        listed=judge.listed,
        archs=len(judge.archs),
        cost=problem.cost,
        reference=None if volumes is None else volumes.reference,
        volume=None if volumes is None else volumes.whole,
        fingerprint=judge.fingerprint(),
    )


def _rows(
    facts: OracleFacts, runs: Runs, budgets: Sequence[int], baseline: str, volumes: Volumes | None
) -> list[Row]:
    picks = {label: np.stack([run.pick(budgets) for run in mine]) for label, mine in runs.items()}
    others = [label for label in picks if label != baseline]
    differences = [picks[label] - picks[baseline] for label in others]
    p = paired_p(np.concatenate(differences, axis=1)) if others else np.empty(0)
    tests = dict(zip(others, np.stack([p, holm(p)], axis=1).reshape(len(others), len(budgets), 2), strict=True))
    rows = []
    for label, mine in runs.items():
        figures = means(picks[label])
        best_found = np.stack([run.best_found(budgets) for run in mine]).mean(0)
        seconds = np.stack([run.cpu_seconds(budgets) for run in mine]).mean(0)
        for place, budget in enumerate(budgets):
            tested = tests[label][place] if label in tests else (math.nan, math.nan)
            p_value, p_holm = (None if math.isnan(value) else float(value) for value in tested)
            mean = float(figures.mean[place])
            rows.append(
                Row(
                    oracle=facts.name,
                    method=label,
                    budget=budget,
                    evaluations=float(np.mean([min(budget, len(run.true)) for run in mine])),
                    mean=mean,
                    sd=float(figures.sd[place]),
                    low=float(figures.low[place]),
                    high=float(figures.high[place]),
                    best_found=float(best_found[place]),
                    regret=max(0.0, facts.best - mean),
                    seconds=float(seconds[place]),
                    difference=mean - float(picks[baseline].mean(0)[place]),
                    p=p_value,
                    p_holm=p_holm,
                    per_seed=tuple(picks[label][:, place].tolist()),
                    **_volume(volumes, label, budget),
                )
            )
    return rows


def _volume(volumes: Volumes | None, label: str, budget: int) -> dict[str, Any]:
    """Return the fields of a row about the hypervolume, none where it was not measured."""
    if volumes is None:
        return {}
    values = volumes.at(label, [budget])
    found = means(values)
    return {
        "hypervolume": float(found.mean[0]),
        "hypervolume_sd": float(found.sd[0]),
        "hypervolume_per_seed": tuple(values[:, 0].tolist()),
    }


def _line(x: Sequence[int], values: Float[np.ndarray, "S N"]) -> Line:
    return Line.of(x, means(values))


def _over_time(runs: Sequence[Trajectory]) -> Line:
    """Return the line from where every seed has a pick to where the last one ends."""
    start = max(float(run.clock[0]) for run in runs)
    end = max(float(run.clock[-1]) for run in runs)
    times = np.geomspace(max(start, 1e-4), max(end, start, 1e-4) * (1 + 1e-9), _POINTS)
    return Line.of(times.tolist(), means(np.stack([run.pick_at(np.maximum(times, start)) for run in runs])))
