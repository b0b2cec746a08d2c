"""Rank quality of scores within one data set, never pooled over several."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.evaluation.compare.grid import Cell, Grid
from metad2a.evaluation.compare.statistics import means
from metad2a.runtime import numpy_rng, progress
from metad2a.training.ranking import rank_agreement

SHARES = {"all": 1.0, "top10pct": 0.1, "top5pct": 0.05}
FIRST = (1, 2, 5, 10, 30)
Vector = Float[np.ndarray, " A"]


def rank_quality(scores: Vector, truth: Vector, *, seed: int = 0) -> dict[str, float]:
    """Return how well ``scores`` rank what has the accuracies ``truth``, in percent.

    ``kendall_all`` (tau-b), ``spearman_all``; the same within the truly best ``top10pct`` and ``top5pct``, and what
    is as good as the last of them; ``regret_1`` and so on: the best there is less the best of the first so many,
    ties of the score broken at random by ``seed``. NaN where one side is constant.
    """
    found = {}
    for name, share in SHARES.items():
        top = truth >= np.quantile(truth, 1 - share)
        agreement = rank_agreement(scores[top], truth[top])
        found[f"kendall_{name}"], found[f"spearman_{name}"] = agreement["kendall_tau"], agreement["spearman"]
    shuffled = numpy_rng("rank ties", seed).permutation(len(scores))
    order = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    best = np.maximum.accumulate(truth[order])
    return found | {f"regret_{first}": float(truth.max() - best[min(first, len(best)) - 1]) for first in FIRST}


def rank_rows(grid: Grid, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each oracle and score: ``oracle``, ``score``, ``seeds``, and mean, low, high of each figure.

    All architectures that the oracle lists are scored, else those of its sample; ``archs`` is their number. What is
    finished is kept, as searches are.
    """
    cells = [
        Cell(method, trial, seed)
        for trial in range(len(grid.trials))
        for method, known in enumerate(grid.methods)
        if known.scorers
        for seed in seeds
    ]
    found = {
        cell: grid.once(cell, partial(_of, grid, cell), what="ranks") for cell in progress(cells, label="rank")
    }
    rows = []
    for trial, (_, judge) in enumerate(grid.trials):
        for method, known in enumerate(grid.methods):
            for place, score in enumerate(known.scorers):
                figures = [found[Cell(method, trial, seed)]["scores"][place] for seed in seeds]
                facts = {"oracle": judge.name, "score": score, "seeds": len(seeds), "archs": len(judge.archs)}
                rows.append({**facts, **_summary(figures)})
    return rows


def _of(grid: Grid, cell: Cell) -> dict[str, Any]:
    problem, judge = grid.trials[cell.trial]
    method = grid.methods[cell.method]
    method.prepare(problem, cell.seed)
    scores = method.scores(problem, judge.archs, cell.seed)
    # By place, not by name: a method that is given another label has the same scores.
    rows = [rank_quality(scores[name], judge.truth, seed=cell.seed) for name in method.scorers]
    return {"scores": [{key: None if np.isnan(value) else value for key, value in row.items()} for row in rows]}


def _summary(figures: Sequence[dict[str, float | None]]) -> dict[str, dict[str, float]]:
    names = list(figures[0])
    table = np.array([[row[name] for name in names] for row in figures], dtype=np.float64)
    found = means(table)
    return {
        name: {"mean": float(found.mean[i]), "low": float(found.low[i]), "high": float(found.high[i])}
        for i, name in enumerate(names)
    }
