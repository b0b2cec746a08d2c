"""What a comparison found: means with intervals, paired tests, curves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from metad2a.errors import unknown_name
from metad2a.evaluation.compare.grid import Cell, Grid
from metad2a.evaluation.compare.statistics import Means, holm, means, paired_p
from metad2a.evaluation.compare.trajectory import Trajectory

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
_POINTS = 40  # of a curve


@dataclass(frozen=True)
class Row:
    """One method on one oracle with one budget; accuracies in percent.

    Attributes:
        oracle: name of the table and its column.
        method: label.
        budget: true evaluations allowed.
        evaluations: spent on average: fewer where a method has no more to propose.
        mean: true accuracy of the pick, over the seeds.
        sd: its standard deviation (n - 1).
        low: lower end of the 95 % bootstrap interval of the mean.
        high: its upper end.
        best_found: true accuracy of the best that was evaluated, mean; where signals are noisy it is not the pick.
        regret: the best there is less ``mean``.
        seconds: CPU seconds of the method itself, mean.
        difference: of ``mean`` to that of the baseline.
        p: of the paired test of that; None for the baseline, or for a single seed.
        p_holm: corrected for all methods and budgets of the oracle.
        per_seed: true accuracy of the pick by seed.
    """

    oracle: str
    method: str
    budget: int
    evaluations: float
    mean: float
    sd: float
    low: float
    high: float
    best_found: float
    regret: float
    seconds: float
    difference: float
    p: float | None
    p_holm: float | None
    per_seed: tuple[float, ...]


@dataclass(frozen=True)
class Line:
    """The pick's mean true accuracy along an axis, with a 95 % interval."""

    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, x: Sequence[float | int], found: Means) -> "Line":
        """Return the line through ``found``."""
        return cls(
            tuple(map(float, x)), *(tuple(values.tolist()) for values in (found.mean, found.low, found.high))
        )


@dataclass(frozen=True)
class OracleFacts:
    """What an oracle is: its data set, its best accuracy, and what searches were told of it."""

    name: str
    dataset: str
    classes: int
    best: float
    signal: str
    timed: bool


@dataclass(frozen=True)
class Comparison:
    """The result of ``metad2a compare``.

    Attributes:
        oracles: what there is to find.
        methods: labels.
        baseline: that the tests are against.
        seeds: of the searches.
        budgets: true evaluations.
        rows: a row for each oracle, method and budget.
        by_evaluations: oracle -> method -> the pick against evaluations.
        by_seconds: the same against the method's own CPU seconds, and those of training where the table has them.
        ranks: rows of rank quality, see ``metad2a.evaluation.compare.ranks``.
        unseen: rows of rank quality on meta-validation, see ``metad2a.evaluation.compare.unseen``.
        calibration: rows, see ``metad2a.evaluation.compare.calibration``.
        generated: rows, see ``metad2a.evaluation.compare.generated``.
        provenance: rows, see ``metad2a.evaluation.compare.provenance``.
        audits: databases audited against the oracles.
    """

    oracles: tuple[OracleFacts, ...]
    methods: tuple[str, ...]
    baseline: str
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    rows: tuple[Row, ...]
    by_evaluations: Mapping[str, Mapping[str, Line]]
    by_seconds: Mapping[str, Mapping[str, Line]]
    ranks: Sequence[Mapping[str, Any]] = field(default_factory=list)
    unseen: Sequence[Mapping[str, Any]] = field(default_factory=list)
    calibration: Sequence[Mapping[str, Any]] = field(default_factory=list)
    generated: Sequence[Mapping[str, Any]] = field(default_factory=list)
    provenance: Sequence[Mapping[str, Any]] = field(default_factory=list)
    audits: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def row(self, oracle: str, method: str, budget: int) -> Row:
        """Return one row."""
        return next(r for r in self.rows if (r.oracle, r.method, r.budget) == (oracle, method, budget))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metad2a compare json=FILE``; numbers that do not exist are null."""
        return {"schema_version": SCHEMA_VERSION, **without_nan(asdict(self))}

    def to_frame(self) -> "pd.DataFrame":
        """Return ``rows`` as a table, the seeds' own numbers left out."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows]).drop(columns="per_seed")


def summarise(
    grid: Grid,
    found: Mapping[Cell, Trajectory],
    *,
    seeds: Sequence[int],
    budgets: Sequence[int],
    baseline: str,
) -> Comparison:
    """Return what ``run_grid`` found as means, tests and curves.

    Raises:
        UnknownNameError: no method is called like ``baseline``.
    """
    labels = tuple(method.label for method in grid.methods)
    if baseline not in labels:
        raise unknown_name("baseline", baseline, labels)
    rows: list[Row] = []
    by_evaluations, by_seconds = {}, {}
    for number, (_, judge) in enumerate(grid.trials):
        runs = {label: [found[Cell(method, number, seed)] for seed in seeds] for method, label in enumerate(labels)}
        rows += _rows(judge.name, judge.best, runs, budgets, baseline)
        places = np.unique(np.geomspace(1, max(budgets), _POINTS).round().astype(int)).tolist()
        by_evaluations[judge.name] = {
            label: Line.of(places, means(np.stack([run.pick(places) for run in mine])))
            for label, mine in runs.items()
        }
        by_seconds[judge.name] = {label: _over_time(mine) for label, mine in runs.items()}
    return Comparison(
        oracles=tuple(
            OracleFacts(
                judge.name,
                problem.data.name,
                problem.num_classes,
                judge.best,
                str(judge.noise),
                judge.seconds is not None,
            )
            for problem, judge in grid.trials
        ),
        methods=labels,
        baseline=baseline,
        seeds=tuple(seeds),
        budgets=tuple(budgets),
        rows=tuple(rows),
        by_evaluations=by_evaluations,
        by_seconds=by_seconds,
    )


def _rows(
    oracle: str, best: float, runs: Mapping[str, Sequence[Trajectory]], budgets: Sequence[int], baseline: str
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
                    oracle=oracle,
                    method=label,
                    budget=budget,
                    evaluations=float(np.mean([min(budget, len(run.true)) for run in mine])),
                    mean=mean,
                    sd=float(figures.sd[place]),
                    low=float(figures.low[place]),
                    high=float(figures.high[place]),
                    best_found=float(best_found[place]),
                    regret=max(0.0, best - mean),
                    seconds=float(seconds[place]),
                    difference=mean - float(picks[baseline].mean(0)[place]),
                    p=p_value,
                    p_holm=p_holm,
                    per_seed=tuple(picks[label][:, place].tolist()),
                )
            )
    return rows


def _over_time(runs: Sequence[Trajectory]) -> Line:
    """Return the line from where every seed has a pick to where the last one ends."""
    start = max(float(run.clock[0]) for run in runs)
    end = max(float(run.clock[-1]) for run in runs)
    times = np.geomspace(max(start, 1e-4), max(end, start, 1e-4) * (1 + 1e-9), _POINTS)
    return Line.of(times.tolist(), means(np.stack([run.pick_at(np.maximum(times, start)) for run in runs])))


def without_nan(value: Any) -> Any:
    """Return plain data, numbers that do not exist as None."""
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
