"""Rank correlations of many labels: over all tasks, and within each; with intervals."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from metad2a.runtime import numpy_rng

Vector = Float[np.ndarray, " R"]
Groups = Int[np.ndarray, " R"]
Interval = tuple[float, float]

ROUNDS = 200
"""Draws of a bootstrap."""
_DRAWN = 4000  # labels a draw; drawing fewer than there are widens the spread by a known factor
_FEW = 10  # tasks: with fewer, labels are drawn instead
_SIGNS = 4_000_000  # comparisons held in memory at a time
_LARGEST_BATCHED = 64  # labels of a task: above, scipy's own method is faster
_95_PERCENT = 1.96  # standard deviations


@dataclass(frozen=True)
class Correlation:
    """Spearman's and Kendall's (tau-b) rank correlations; NaN where one side has no order.

    Attributes:
        labels: how many pairs of figures it is of.
        tasks: of how many tasks they are.
        spearman: correlation of ranks.
        spearman_interval: 95 %.
        kendall: share of pairs in the same order less that in the opposite order.
        kendall_interval: 95 %.
    """

    labels: int
    tasks: int
    spearman: float
    spearman_interval: Interval
    kendall: float
    kendall_interval: Interval


def pooled(x: Vector, y: Vector, task: Groups) -> Correlation:
    """Return the correlation over all labels, with intervals from redrawing whole tasks.

    With fewer than ten tasks, single labels are redrawn. Of many labels a part is drawn at a time, and the spread
    scaled to their number (m-out-of-n bootstrap).
    """
    rho, tau = _spearman(x, y), _kendall(x, y)
    draws = [(_spearman(x[rows], y[rows]), _kendall(x[rows], y[rows])) for rows in _redrawn(task)]
    scale = math.sqrt(min(1.0, _DRAWN / max(len(x), 1)))
    spread = np.nanstd(draws, axis=0, ddof=1) * scale if _any_number(draws) else (math.nan, math.nan)
    return Correlation(
        labels=len(x),
        tasks=len(np.unique(task)),
        spearman=rho,
        spearman_interval=_around(rho, float(spread[0])),
        kendall=tau,
        kendall_interval=_around(tau, float(spread[1])),
    )


def within(x: Vector, y: Vector, task: Groups, *, at_least: int) -> Correlation:
    """Return the mean correlation within the tasks of ``at_least`` labels; intervals are from their spread."""
    table = pd.DataFrame({"x": x, "y": y, "task": task})
    table = table[table.groupby("task")["x"].transform("size") >= at_least].sort_values("task", kind="stable")
    sizes = table.groupby("task", sort=True).size().to_numpy()
    rho, tau = _by_task(table["x"].to_numpy(), table["y"].to_numpy(), sizes)
    usable = np.isfinite(rho)
    count = int(usable.sum())
    means = [float(values[usable].mean()) if count else math.nan for values in (rho, tau)]
    errors = [
        float(values[usable].std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan for values in (rho, tau)
    ]
    return Correlation(
        labels=int(sizes[usable].sum()),
        tasks=count,
        spearman=means[0],
        spearman_interval=_around(means[0], errors[0]),
        kendall=means[1],
        kendall_interval=_around(means[1], errors[1]),
    )


def without_means(values: Vector, task: Groups) -> Vector:
    """Return ``values`` less the mean of their task."""
    counts = np.bincount(task)
    return values - (np.bincount(task, weights=values) / np.maximum(counts, 1))[task]


def _around(value: float, error: float) -> Interval:
    low, high = np.clip([value - _95_PERCENT * error, value + _95_PERCENT * error], -1, 1)
    return float(low), float(high)


def _any_number(draws: list[tuple[float, float]]) -> bool:
    return bool(np.isfinite(draws).any())


def _redrawn(task: Groups) -> list[Int[np.ndarray, " draw"]]:
    """Return ``ROUNDS`` draws of labels: whole tasks with replacement, or labels where tasks are few."""
    rng = numpy_rng("audit")
    if len(task) < 2:
        return []
    order = np.argsort(task, kind="stable")
    _, starts, counts = np.unique(task[order], return_index=True, return_counts=True)
    if len(counts) < _FEW:
        return [rng.integers(len(task), size=min(len(task), _DRAWN)) for _ in range(ROUNDS)]
    wanted = max(2, math.ceil(len(counts) * min(1.0, _DRAWN / len(task))))
    draws = []
    for _ in range(ROUNDS):
        chosen = rng.integers(len(counts), size=wanted)
        ends = np.cumsum(counts[chosen])
        inside = np.arange(ends[-1]) - np.repeat(ends - counts[chosen], counts[chosen])
        draws.append(order[np.repeat(starts[chosen], counts[chosen]) + inside])
    return draws


def _spearman(x: Vector, y: Vector) -> float:
    from scipy.stats import rankdata

    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def _kendall(x: Vector, y: Vector) -> float:
    from scipy.stats import kendalltau

    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(kendalltau(x, y).statistic)


def _by_task(x: Vector, y: Vector, sizes: Int[np.ndarray, " T"]) -> tuple[Float[np.ndarray, " T"], ...]:
    """Return both correlations of each task; its labels follow each other. Tasks of one size are done together."""
    rho, tau = np.full(len(sizes), math.nan), np.full(len(sizes), math.nan)
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        tasks = np.flatnonzero(sizes == size)
        step = len(tasks) if size > _LARGEST_BATCHED else max(1, _SIGNS // int(size) ** 2)
        for some in np.split(tasks, range(step, len(tasks), step)):
            rows = starts[some][:, None] + np.arange(size)
            if size > _LARGEST_BATCHED:
                rho[some] = [_spearman(x[row], y[row]) for row in rows]
                tau[some] = [_kendall(x[row], y[row]) for row in rows]
            else:
                rho[some], tau[some] = _rows_spearman(x[rows], y[rows]), _rows_kendall(x[rows], y[rows])
    return rho, tau


def _rows_spearman(x: Float[np.ndarray, "T n"], y: Float[np.ndarray, "T n"]) -> Float[np.ndarray, " T"]:
    from scipy.stats import rankdata

    x, y = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (rankdata(x, axis=1), rankdata(y, axis=1)))
    return _ratio((x * y).sum(axis=1), (x * x).sum(axis=1), (y * y).sum(axis=1))


def _rows_kendall(x: Float[np.ndarray, "T n"], y: Float[np.ndarray, "T n"]) -> Float[np.ndarray, " T"]:
    x, y = (np.sign(values[:, :, None] - values[:, None, :]) for values in (x, y))
    return _ratio(*((a * b).sum(axis=(1, 2)) for a, b in ((x, y), (x, x), (y, y))))


def _ratio(
    both: Float[np.ndarray, " T"], first: Float[np.ndarray, " T"], second: Float[np.ndarray, " T"]
) -> Float[np.ndarray, " T"]:
    scale = np.sqrt(first * second)
    return np.divide(both, scale, out=np.full(len(both), math.nan), where=scale > 0)
