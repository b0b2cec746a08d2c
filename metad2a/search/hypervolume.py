"""How much of the plane of error and cost a search has covered, after each of its evaluations."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from metad2a.errors import ConfigError
from metad2a.search.pareto import pareto_front

MARGIN = 1.01
"""The reference point is so many times the worst error and the largest cost of the first evaluations."""


def reference_point(errors: Float[np.ndarray, " A"], costs: Float[np.ndarray, " A"]) -> tuple[float, float]:
    """Return the point that hypervolumes are measured from, as in NSGANetV2: 1.01 times the worst of each.

    Args:
        errors: of the first evaluations, in percent, less being better; NaN is left out.
        costs: of the same.

    Raises:
        ConfigError: nothing was evaluated, or a largest value is not positive.
    """
    known = np.isfinite(errors)
    worst = (MARGIN * errors[known].max(initial=0.0), MARGIN * costs[known].max(initial=0.0))
    if min(worst) <= 0:
        raise ConfigError("a hypervolume needs evaluations with errors and costs above 0.")
    return float(worst[0]), float(worst[1])


def hypervolume(
    errors: Float[np.ndarray, " A"], costs: Float[np.ndarray, " A"], reference: tuple[float, float]
) -> float:
    """Return the part of the rectangle up to ``reference`` in which something evaluated is at least as good.

    Args:
        errors: less is better; NaN is a failed evaluation.
        costs: less is better.
        reference: see ``reference_point``; what lies beyond it does not count.

    Raises:
        ConfigError: pymoo is not installed.
    """
    check_pymoo()
    from pymoo.indicators.hv import HV

    known = np.isfinite(errors)
    points = np.column_stack([errors[known], costs[known]]) / reference
    if not len(points):
        return 0.0
    return float(HV(ref_point=np.ones(2))(points[pareto_front(-points[:, 0], points[:, 1])]))


def hypervolume_curve(
    errors: Float[np.ndarray, " A"],
    costs: Float[np.ndarray, " A"],
    reference: tuple[float, float],
    at: Sequence[int],
) -> Float[np.ndarray, " N"]:
    """Return the hypervolume of the first so many evaluations, for each of ``at``; see ``hypervolume``."""
    curve = np.zeros(len(errors) + 1)
    front: list[int] = []  # what nothing known beats
    for i in range(len(errors)):
        curve[i + 1] = curve[i]
        beaten = np.isnan(errors[i]) or ((errors[front] <= errors[i]) & (costs[front] <= costs[i])).any()
        if not beaten:
            front = [j for j in front if errors[j] < errors[i] or costs[j] < costs[i]] + [i]
            curve[i + 1] = hypervolume(errors[front], costs[front], reference)
    return curve[np.minimum(at, len(errors))]


def check_pymoo() -> None:
    """Refuse to go on without pymoo.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        import pymoo  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"searching for two objectives needs pymoo, which cannot be imported ({error}): "
            "pip install 'metad2a[nsga]'."
        ) from error
