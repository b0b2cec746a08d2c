"""Whether predicted uncertainties are those of the errors."""

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " R"]
LEVELS = (50, 90)
"""Central intervals of a normal distribution, in percent."""
_LEAST = 1e-6  # percent of accuracy: a standard deviation of 0 would make any error impossible


def calibration(predicted: Vector, std: Vector, true: Vector, *, centred: bool = False) -> dict[str, float]:
    """Return how honest the standard deviations are; all values are accuracies in percent.

    ``coverage_50`` and ``coverage_90``: how many percent of the truths lie in the central intervals of a normal
    distribution; ``nll``: its mean negative log-likelihood, in nats; ``rmse`` and ``mean_std``, which are equal
    where errors are as large as announced.

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
