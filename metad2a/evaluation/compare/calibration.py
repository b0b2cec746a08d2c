"""Whether predicted uncertainties are those of the errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.evaluation.compare.learned_method import Uncertain
from metad2a.models.arch_features import normal_ranks

Vector = Float[np.ndarray, " R"]
LEVELS = (50, 80, 95)
"""Central intervals of a normal distribution, in percent."""
FEWEST = 4
"""Architectures of a task, below which their ranks say too little."""
_LEAST = 1e-6  # percent of accuracy: a standard deviation of 0 would make any error impossible


def calibration(predicted: Vector, std: Vector, true: Vector, *, centred: bool = False) -> dict[str, float]:
    """Return how honest the standard deviations are; all values are of one unit, such as percent.

    ``coverage_50``, ``coverage_80`` and ``coverage_95``: how many percent of the truths lie in the central
    intervals of a normal distribution; ``nll``: its mean negative log-likelihood, in nats; ``rmse`` and
    ``mean_std``, which are equal where errors are as large as announced.

    Args:
        predicted: means.
        std: their standard deviations.
        true: what is true.
        centred: remove the mean error first, where labels of another recipe have another level.
    """
    from scipy.special import ndtri

    error = true - predicted
    if centred:
        error = error - error.mean()
    std = np.maximum(std, _LEAST)
    z = np.abs(error) / std
    inside = {f"coverage_{level}": 100 * float((z <= ndtri(0.5 + level / 200)).mean()) for level in LEVELS}
    return inside | {
        "nll": float(np.mean(0.5 * z**2 + np.log(std) + 0.5 * np.log(2 * np.pi))),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mean_std": float(std.mean()),
    }


def calibration_rows(
    found: Sequence[Uncertain], true: Sequence[Float[np.ndarray, " _"]], *, centred: bool
) -> list[dict[str, Any]]:
    """Return how honest the predictions for some tasks are, as rows that can be shown.

    ``std`` says where the standard deviations come from, ``unit`` what the figures are of: percent, or the normal
    ranks within a task, which are what a surrogate means: its percent are those of other data sets. It has a second
    row, with the noise that a single training's rank has in its view. Tasks of fewer than four architectures have
    no ranks.

    Args:
        found: for each task.
        true: accuracies of each task, in percent.
        centred: see ``calibration``; ranks always are, within each task.
    """
    surrogate = found[0].surrogate
    if surrogate is None:
        predicted, std = (np.concatenate([one[side] for one in found]) for side in (0, 1))
        figures = calibration(predicted, std, np.concatenate(true), centred=centred)
        return [{"std": found[0].source, "unit": "percent", **figures}]
    pairs = [(one, truth) for one, truth in zip(found, true, strict=True) if len(truth) >= FEWEST]
    if not pairs:
        return []
    scores = np.concatenate([one.predicted - one.predicted.mean() for one, _ in pairs]) / surrogate.target_std
    std = np.concatenate([one.std for one, _ in pairs]) / surrogate.target_std
    ranks = np.concatenate([normal_ranks(truth) for _, truth in pairs]).astype(np.float64)
    return [
        {"std": source, "unit": "normal ranks", **calibration(scores, np.sqrt(std**2 + noise), ranks)}
        for source, noise in ((found[0].source, 0.0), (f"{found[0].source}, of one training", surrogate.noise))
    ]
