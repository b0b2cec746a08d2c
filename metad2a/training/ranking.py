"""Rank agreement of predictions with the truth, within one task or pooled over many."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

Vector = Float[np.ndarray, " R"]


def rank_agreement(predicted: Vector, true: Vector) -> dict[str, float]:
    """Return ``spearman``, ``kendall_tau`` (tau-b) and ``pearson``; NaN where one side is constant."""
    from scipy import stats

    if len(true) < 2 or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return dict.fromkeys(("spearman", "kendall_tau", "pearson"), float("nan"))
    return {
        "spearman": float(stats.spearmanr(predicted, true).statistic),
        "kendall_tau": float(stats.kendalltau(predicted, true).statistic),
        "pearson": float(stats.pearsonr(predicted, true).statistic),
    }


def mean_of_repeats(
    task: Int[np.ndarray, " R"], arch: Int[np.ndarray, " R"], *columns: Vector
) -> tuple[Int[np.ndarray, " P"], list[Float[np.ndarray, " P"]]]:
    """Return the task of each pair of task and architecture, and the means of ``columns`` over its records.

    A pair that was trained from several seeds is one pair to rank: as two, half of what tells them apart is noise.
    """
    pairs = np.stack([task, arch], axis=1)
    _, first, number, counts = np.unique(pairs, axis=0, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)  # as they come, so that nothing changes where no pair is repeated
    means = [np.bincount(number.ravel(), weights=column) / counts for column in columns]
    return task[first[order]], [mean[order] for mean in means]


def spearman_within(
    predicted: Vector, true: Vector, groups: Int[np.ndarray, " R"], *, at_least: int = 4
) -> tuple[float, int]:
    """Return the mean Spearman correlation within groups of ``at_least`` rows, and how many groups that were.

    Pooling over tasks would reward knowing which task is easy, which chooses no network; hence this figure.
    """
    import pandas as pd

    table = pd.DataFrame({"predicted": predicted, "true": true})
    ranks = table.groupby(groups).rank()
    ranks -= ranks.groupby(groups).transform("mean")
    products = pd.DataFrame(
        {"xy": ranks["predicted"] * ranks["true"], "xx": ranks["predicted"] ** 2, "yy": ranks["true"] ** 2}
    )
    sums = products.groupby(groups).sum()
    large = products.groupby(groups).size() >= at_least
    # A side without any difference has no order.
    usable: Any = sums[large & (sums["xx"] > 0) & (sums["yy"] > 0)]
    values = usable["xy"] / np.sqrt(usable["xx"] * usable["yy"])
    return float(values.mean()), len(values)


def pair_error(predicted: Vector, true: Vector, groups: Int[np.ndarray, " R"]) -> tuple[float, int]:
    """Return the root mean square error of differences between two rows of a group, and how many pairs that are.

    Its unit is that of the values. What is predicted too high or too low for a whole group costs nothing.
    """
    _, number = np.unique(groups, return_inverse=True)
    error = predicted - true
    size, total, squares = (
        np.bincount(number, weights=weight) for weight in (np.ones_like(error), error, error**2)
    )
    pairs = int((size * (size - 1)).sum()) // 2
    # The squared differences of all pairs of a group add up to n * sum of squares - square of the sum.
    return (float(np.sqrt((size * squares - total**2).clip(0).sum() / pairs)) if pairs else float("nan")), pairs
