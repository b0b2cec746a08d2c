"""The two optimisations of NSGANetV2, by pymoo; this file is the only one that knows its operators."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.optimize import minimize

Objectives = Callable[[Int[np.ndarray, "A D"]], Float[np.ndarray, "A 2"]]
_SELECTION_POPULATION, _SELECTION_GENERATIONS = 100, 60


def evolve(
    options: tuple[int, ...],
    objectives: Objectives,
    start: Int[np.ndarray, "P D"],
    *,
    generations: int,
    seed: int,
) -> Int[np.ndarray, "P D"]:
    """Return the last population of NSGA-II, from the population ``start``.

    Args:
        options: number of choices of each decision.
        objectives: of decisions, both to be small.
        start: first population.
        generations: of it.
        seed: of all draws.
    """

    class Decisions(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            most = np.array(options) - 1
            super().__init__(n_var=len(options), n_obj=2, xl=np.zeros_like(most), xu=most, vtype=int)

        def _evaluate(self, x: np.ndarray, out: dict[str, Any], *_args: Any, **_kwargs: Any) -> None:
            out["F"] = objectives(x.astype(np.int64))

    algorithm = NSGA2(
        pop_size=len(start),
        sampling=start,
        crossover=TwoPointCrossover(prob=0.9),
        mutation=PM(eta=1.0, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    found = minimize(Decisions(), algorithm, ("n_gen", generations), seed=seed % 2**31, verbose=False)
    return found.pop.get("X").astype(np.int64)


def spread_out(front: Float[np.ndarray, " F"], costs: Float[np.ndarray, " A"], *, k: int, seed: int) -> list[int]:
    """Return ``k`` positions in ``costs`` that, with the costs of a front, leave gaps as equal as possible.

    A genetic algorithm on sets of ``k``: children keep what both parents have and take the rest from what one of
    them has; a mutation puts one in for another. Where there are no more sets than it would look at, all are.
    """
    if len(costs) <= k:
        return list(range(len(costs)))
    if math.comb(len(costs), k) <= _SELECTION_POPULATION * _SELECTION_GENERATIONS:
        every = np.array(list(itertools.combinations(range(len(costs)), k)))
        return every[int(_unevenness(front, costs[every]).argmin())].tolist()

    class Choice(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=len(costs), n_obj=1, xl=0, xu=1, vtype=bool)

        def _evaluate(self, x: np.ndarray, out: dict[str, Any], *_args: Any, **_kwargs: Any) -> None:
            chosen = costs[np.nonzero(x)[1].reshape(len(x), k)]
            out["F"] = _unevenness(front, chosen)[:, None]

    rng = np.random.default_rng(seed)
    algorithm = GA(
        pop_size=_SELECTION_POPULATION,
        sampling=_most(rng.random((_SELECTION_POPULATION, len(costs))), k),
        crossover=_KeepCommon(k),
        mutation=_Swap(),
        eliminate_duplicates=True,
    )
    found = minimize(Choice(), algorithm, ("n_gen", _SELECTION_GENERATIONS), seed=seed % 2**31, verbose=False)
    return np.flatnonzero(found.X).tolist()


def _unevenness(front: Float[np.ndarray, " F"], chosen: Float[np.ndarray, "P k"]) -> Float[np.ndarray, " P"]:
    """Return the standard deviation of the gaps between the costs of the front and of each set."""
    every = np.concatenate([np.broadcast_to(front, (len(chosen), len(front))), chosen], axis=1)
    return np.diff(np.sort(every, axis=1), axis=1).std(axis=1)


def _most(worth: Float[np.ndarray, "P A"], k: int) -> Bool[np.ndarray, "P A"]:
    """Return which are the ``k`` highest of each row."""
    chosen = np.zeros(worth.shape, dtype=bool)
    np.put_along_axis(chosen, np.argpartition(-worth, k - 1, axis=1)[:, :k], True, axis=1)
    return chosen


class _KeepCommon(Crossover):  # type: ignore[misc]
    def __init__(self, k: int) -> None:
        super().__init__(2, 1)
        self._k = k

    def _do(self, problem: Problem, x: np.ndarray, *_args: Any, random_state: Any = None, **_kwargs: Any) -> Any:
        first, second = x.astype(int)
        rng = np.random if random_state is None else random_state
        return _most(first + second + rng.random(first.shape), self._k)[None]


class _Swap(Mutation):  # type: ignore[misc]
    def _do(self, problem: Problem, x: np.ndarray, *_args: Any, random_state: Any = None, **_kwargs: Any) -> Any:
        rng = np.random if random_state is None else random_state
        x, draw = x.astype(bool), rng.random(x.shape)
        rows = np.arange(len(x))
        out, into = np.where(x, draw, -1).argmax(axis=1), np.where(x, -1, draw).argmax(axis=1)
        x = x.copy()
        x[rows, out], x[rows, into] = False, True
        return x
