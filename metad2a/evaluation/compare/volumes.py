"""Hypervolumes of error and cost, from one reference point for all searches of an oracle."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from metad2a.errors import ConfigError
from metad2a.evaluation.compare.grid import Trial
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.trajectory import Trajectory
from metad2a.runtime import numpy_rng
from metad2a.search.hypervolume import check_pymoo, hypervolume, hypervolume_curve, reference_point
from metad2a.spaces.extremes import best_by

_log = logging.getLogger(__name__)
UNIFORM = 98
"""Architectures, beside the cheapest and the dearest, whose worst error and cost make the reference point."""


@dataclass(frozen=True)
class Volumes:
    """Of all searches of an oracle.

    Attributes:
        reference: error in percent, and cost, that hypervolumes are measured from.
        whole: the hypervolume of the true front; None where not all architectures are known.
        curves: method -> seeds -> the hypervolume after each evaluation.
    """

    reference: tuple[float, float]
    whole: float | None
    curves: Mapping[str, Sequence[Float[np.ndarray, " E"]]]

    def at(self, method: str, budgets: Sequence[int]) -> Float[np.ndarray, "S N"]:
        """Return a row a seed: hypervolumes after so many evaluations, or after all where there are fewer."""
        return np.stack([curve[np.minimum(budgets, len(curve)) - 1] for curve in self.curves[method]])


def measure_volumes(
    trial: Trial, runs: Mapping[str, Sequence[Trajectory]], *, reference: tuple[float, float] | None = None
) -> Volumes | None:
    """Return the hypervolumes of ``runs``, by method; None, with a warning, without pymoo."""
    try:
        check_pymoo()
    except ConfigError as error:
        _log.warning("hypervolumes are left out: %s", error)
        return None
    problem, judge = trial
    reference = reference or find_reference(trial)
    whole = hypervolume(100 - judge.truth, problem.costs(judge.archs), reference) if judge.listed else None
    curves = {
        label: [
            hypervolume_curve(100 - np.array(run.true), np.array(run.costs), reference, range(1, len(run.true) + 1))
            for run in mine
        ]
        for label, mine in runs.items()
    }
    return Volumes(reference, whole, curves)


def find_reference(trial: Trial) -> tuple[float, float]:
    """Return 1.01 times the worst error and cost of the cheapest, the dearest and 98 uniform architectures.

    They depend on the oracle alone: methods and seeds change nothing.
    """
    problem, judge = trial
    if isinstance(judge, Judge):
        costs = problem.costs(judge.archs)
        drawn = numpy_rng("reference").permutation(len(costs))[:UNIFORM]
        places = [int(costs.argmin()), int(costs.argmax()), *drawn.tolist()]
        return reference_point(100 - judge.truth[places], costs[places])
    ends = [best_by(problem.space, lambda archs: -problem.costs(archs)), best_by(problem.space, problem.costs)]
    errors = np.concatenate([100 - judge.accuracies(ends), 100 - judge.truth[:UNIFORM]])
    return reference_point(errors, problem.costs([*ends, *judge.archs[:UNIFORM]]))
