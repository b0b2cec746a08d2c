"""Rank agreement of predictions with the truth, within one task or pooled over many."""

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


def spearman_within(
    predicted: Vector, true: Vector, groups: Int[np.ndarray, " R"], *, at_least: int = 4
) -> tuple[float, int]:
    """Return the mean Spearman correlation within groups of ``at_least`` rows, and how many groups that were.

    Pooling over tasks would reward knowing which task is easy, which chooses no network; hence this figure.
    """
    values = []
    for group in np.unique(groups):
        rows = groups == group
        if rows.sum() >= at_least:
            values.append(rank_agreement(predicted[rows], true[rows])["spearman"])
    finite = [value for value in values if not np.isnan(value)]
    return (float(np.mean(finite)), len(finite)) if finite else (float("nan"), 0)
