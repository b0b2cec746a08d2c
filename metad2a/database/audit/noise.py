"""How noisy labels are: trainings of one cell on one task by one recipe, from several seeds."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metad2a.database.audit.ranks import Correlation, pooled, within, without_means


@dataclass(frozen=True)
class Noise:
    """What repeated trainings say.

    Attributes:
        cells: cells on a task that were trained more than once by the same recipe.
        labels: of these.
        tasks: on which they are.
        within_std: standard deviation of the labels of one cell, in percent points of accuracy.
        between_std: that of cells about the mean of their task and recipe, without the part that is noise.
        reliability: share of the variance of single labels that is due to the cells; NaN without two cells a task.
        repeats: agreement of first with second labels, the means of tasks removed.
        repeats_within: the same within each task.
    """

    cells: int
    labels: int
    tasks: int
    within_std: float
    between_std: float
    reliability: float
    repeats: Correlation
    repeats_within: Correlation


def measure_noise(labels: pd.DataFrame, *, at_least: int) -> Noise | None:
    """Compare the labels of cells that have several; None when none has.

    Args:
        labels: with columns ``task``, ``arch``, ``recipe``, ``seed``, ``accuracy``.
        at_least: cells of a task for ranks within it.
    """
    keys = ["task", "recipe", "arch"]
    cells = labels.groupby(keys, sort=False)["accuracy"].agg(["size", "mean", "var"])
    repeated = cells[cells["size"] > 1]
    if repeated.empty:
        return None
    freedom = repeated["size"] - 1
    within_variance = float((repeated["var"] * freedom).sum() / freedom.sum())
    between_variance = _between(cells, within_variance)
    total = between_variance + within_variance
    in_turn = labels.sort_values("seed", kind="stable")
    turn = in_turn.groupby(keys, sort=False).cumcount()
    first, second = (in_turn[turn == number].set_index(keys)["accuracy"] for number in (0, 1))
    x, y = first.loc[second.index].to_numpy(np.float64), second.to_numpy(np.float64)
    task = second.groupby(level=["task", "recipe"], sort=False).ngroup().to_numpy()
    several = np.bincount(task)[task] > 1
    group, _ = pd.factorize(task[several])
    return Noise(
        cells=len(repeated),
        labels=int(repeated["size"].sum()),
        tasks=repeated.index.get_level_values("task").nunique(),
        within_std=math.sqrt(within_variance),
        between_std=math.sqrt(between_variance),
        reliability=between_variance / total if total > 0 else math.nan,
        repeats=pooled(without_means(x[several], group), without_means(y[several], group), group),
        repeats_within=within(x, y, task, at_least=at_least),
    )


def _between(cells: pd.DataFrame, within_variance: float) -> float:
    """Return the variance of cells about the mean of their task and recipe, less what noise adds to it."""
    tasks = cells.groupby(["task", "recipe"], sort=False)["mean"]
    several = tasks.transform("size") > 1
    if not several.any():
        return math.nan
    centred = (cells["mean"] - tasks.transform("mean"))[several]
    freedom = int(several.sum()) - int((tasks.size() > 1).sum())
    noise = within_variance * float((1 / cells["size"])[several].mean())
    return max(0.0, float((centred**2).sum()) / freedom - noise)
