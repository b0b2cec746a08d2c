"""The loop that every method goes through: it asks, is told, and each evaluation counts."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.errors import DataError
from metad2a.evaluation.compare.asked_judge import AskedJudge
from metad2a.evaluation.compare.judge import Judge, Looked
from metad2a.evaluation.compare.methods import Method
from metad2a.evaluation.compare.problem import Problem
from metad2a.spaces.base import Architecture

_NOTED = 10  # architectures


@dataclass(frozen=True)
class Trajectory:
    """What a method evaluated, in its order; fewer than allowed where it had no more to propose.

    Attributes:
        true: accuracy of each, in percent.
        told: what the method was told of it.
        seconds: CPU seconds that the method itself had spent before each evaluation, in all.
        training: seconds that each evaluation (a training, say) and those before it took; None when unknown.
        first: texts of the first ten.
        costs: of each network, see ``Problem.costs``.
    """

    true: tuple[float, ...]
    told: tuple[float, ...]
    seconds: tuple[float, ...]
    training: tuple[float, ...] | None
    first: tuple[str, ...]
    costs: tuple[float, ...] = ()

    def best_found(self, budgets: Sequence[int]) -> Float[np.ndarray, " N"]:
        """Return the highest true accuracy among the first so many evaluations."""
        return np.maximum.accumulate(self.true)[self._ends(budgets)]

    def pick(self, budgets: Sequence[int]) -> Float[np.ndarray, " N"]:
        """Return the true accuracy of what looked best after so many evaluations; the earlier one of equals."""
        return self._picks()[self._ends(budgets)]

    def cpu_seconds(self, budgets: Sequence[int]) -> Float[np.ndarray, " N"]:
        """Return the method's own seconds until so many evaluations were asked for."""
        return np.array(self.seconds)[self._ends(budgets)]

    def pick_at(self, times: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """Return the true accuracy of the pick after so many seconds of ``clock``; NaN before the first."""
        spent = self.clock
        known = np.searchsorted(spent, times, side="right") - 1
        return np.where(known >= 0, self._picks()[known.clip(0)], np.nan)

    @property
    def clock(self) -> Float[np.ndarray, " E"]:
        """Seconds, own and of evaluations, at the end of each evaluation."""
        return np.array(self.seconds) + (0.0 if self.training is None else np.array(self.training))

    def _picks(self) -> Float[np.ndarray, " E"]:
        told = np.array(self.told)
        looks_best = np.maximum.accumulate(told)
        new = np.concatenate([[True], told[1:] > looks_best[:-1]])
        return np.array(self.true)[np.maximum.accumulate(np.where(new, np.arange(len(told)), 0))]

    def _ends(self, budgets: Sequence[int]) -> list[int]:
        return [min(budget, len(self.true)) - 1 for budget in budgets]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for ``restore``."""
        return asdict(self)

    @classmethod
    def restore(cls, row: dict[str, Any]) -> "Trajectory":
        """Return the trajectory that gave ``row``."""
        values: dict[str, Any] = {
            name: None if row[name] is None else tuple(row[name]) for name in cls.__dataclass_fields__
        }
        return cls(**values)


def follow(
    method: Method, problem: Problem, judge: Judge | AskedJudge, *, seed: int, evaluations: int, batch: int = 1
) -> Trajectory:
    """Let a method search: it asks ``batch`` by ``batch`` and is told the signal of ``judge`` each time.

    What it takes to see the data set (embedding it) is not counted: it is done once for all.

    Raises:
        DataError: the method proposes nothing at all, or what the oracle does not list.
    """
    look = judge.looker(seed)
    method.prepare(problem, seed)
    found: list[Looked] = []
    archs: list[Architecture] = []
    seconds: list[float] = []
    start = time.process_time()
    spent = 0.0  # by the judge
    searcher = method.searcher(problem, seed)
    while len(archs) < evaluations:
        asked = searcher.ask(min(batch, evaluations - len(archs)))
        if not asked:
            break
        paused = time.process_time()
        seconds += [paused - start - spent] * len(asked)
        archs += asked
        found.append(look(asked))
        spent += time.process_time() - paused
        searcher.tell(asked, found[-1].told.tolist())
    if not archs:
        raise DataError(f"the method '{method.label}' proposes no architecture of '{problem.space.name}'.")
    training = [one.seconds for one in found if one.seconds is not None]
    return Trajectory(
        true=tuple(np.concatenate([one.true for one in found]).tolist()),
        told=tuple(np.concatenate([one.told for one in found]).tolist()),
        seconds=tuple(seconds),
        training=tuple(np.cumsum(np.concatenate(training)).tolist()) if training else None,
        first=tuple(map(problem.space.format, archs[:_NOTED])),
        costs=tuple(problem.costs(archs).tolist()),
    )
