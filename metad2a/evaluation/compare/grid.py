"""Every method on every oracle with every seed: what is missing is computed, in one process or several."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from metad2a.errors import ConfigError, MetaD2AError
from metad2a.evaluation.compare.asked_judge import AskedJudge
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.kept import Kept
from metad2a.evaluation.compare.methods import Method
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.trajectory import Trajectory, follow
from metad2a.runtime import progress


class Trial(NamedTuple):
    """A data set and its truth."""

    problem: Problem
    judge: Judge | AskedJudge


class Cell(NamedTuple):
    """One search: numbers of the method and of the trial, and the seed."""

    method: int
    trial: int
    seed: int


@dataclass(frozen=True)
class Grid:
    """What is compared.

    Attributes:
        methods: with labels of their own.
        trials: with names of their own.
        evaluations: that a method may spend.
        batch: architectures that it is asked for at a time.
        kept: folder of finished searches.
    """

    methods: Sequence[Method]
    trials: Sequence[Trial]
    evaluations: int
    kept: Path
    batch: int = 1

    def __post_init__(self) -> None:
        if self.evaluations < 1 or self.batch < 1:
            raise ConfigError(
                f"evaluations={self.evaluations}, batch={self.batch}: at least one of each is needed."
            )
        names = [trial.judge.name for trial in self.trials]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"oracles: {names}: give at least one, and none of them twice.")

    @cached_property
    def _trials(self) -> list[tuple[str, str]]:
        return [(trial.problem.fingerprint(), trial.judge.fingerprint()) for trial in self.trials]

    @cached_property
    def _others(self) -> list[str]:
        return [trial.problem.others_fingerprint() for trial in self.trials]

    @cached_property
    def _methods(self) -> list[dict[str, Any]]:
        return [dict(method.identity()) for method in self.methods]

    def identity(self, cell: Cell) -> dict[str, Any]:
        """Return plain data: all that a result of ``cell`` depends on, but for the budget."""
        problem = self.trials[cell.trial].problem
        data, judge = self._trials[cell.trial]
        others = {"others": self._others[cell.trial]} if self.methods[cell.method].shuffled else {}
        return {
            "space": problem.space.name,
            "classes": problem.num_classes,
            "data": data if self.methods[cell.method].looks else None,
            "judge": judge,
            "method": self._methods[cell.method],
            "seed": cell.seed,
            **others,
        }

    def once(self, cell: Cell, make: Callable[[], dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Return what ``make`` returned for ``cell``, now or earlier; ``more`` says what it depends on besides."""
        return Kept(self.kept).once({**self.identity(cell), **more}, make)

    def _budget(self, cell: Cell) -> dict[str, Any]:
        cost = self.trials[cell.trial].problem.cost
        return {"evaluations": self.evaluations, "batch": self.batch, "cost": cost}

    def search(self, cell: Cell) -> Trajectory:
        """Return what the method found, now or earlier."""
        problem, judge = self.trials[cell.trial]
        method = self.methods[cell.method]

        def make() -> dict[str, Any]:
            return follow(
                method, problem, judge, seed=cell.seed, evaluations=self.evaluations, batch=self.batch
            ).to_dict()

        return Trajectory.restore(self.once(cell, make, **self._budget(cell)))

    def missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return those of ``cells`` that no earlier session has computed."""
        kept = Kept(self.kept)
        return [cell for cell in cells if kept.get({**self.identity(cell), **self._budget(cell)}) is None]


def run_grid(
    grid: Grid, seeds: Sequence[int], *, processes: int = 1, opener: Callable[[], Grid] | None = None
) -> dict[Cell, Trajectory]:
    """Return the trajectory of every method, trial and seed; only missing ones are computed.

    Args:
        grid: what is compared.
        seeds: of the searches.
        processes: that compute.
        opener: makes the same grid in another process; can be pickled, and is needed for several.

    Raises:
        ConfigError: several processes without ``opener``, or no seed.
        MetaD2AError: a process died.
    """
    if not seeds or processes < 1 or (processes > 1 and opener is None):
        raise ConfigError(
            f"seeds={list(seeds)}, processes={processes}: seeds are needed; several processes an opener."
        )
    cells = [
        Cell(method, trial, seed)
        for trial in range(len(grid.trials))
        for method in range(len(grid.methods))
        for seed in seeds
    ]
    missing = grid.missing(cells)
    done = _in_processes(missing, processes, opener) if opener and processes > 1 else map(grid.search, missing)
    for _ in progress(done, label="compare", total=len(missing)):
        pass
    return {cell: grid.search(cell) for cell in cells}


def _in_processes(cells: Sequence[Cell], processes: int, opener: Callable[[], Grid]) -> Iterator[None]:
    if not cells:
        return
    pool = ProcessPoolExecutor(
        min(processes, len(cells)),
        mp_context=multiprocessing.get_context("spawn"),  # forking a process with threads can hang
        initializer=_open,
        initargs=(opener,),
    )
    waiting: list[Future[None]] = [pool.submit(_search, cell) for cell in cells]
    try:
        for future in as_completed(waiting):
            future.result()
            yield
    except BrokenProcessPool as error:
        raise MetaD2AError(
            "a process of the comparison died, perhaps for lack of memory. What was finished is kept: run it "
            "again, with fewer processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_grid: list[Grid] = []  # of this process, if it is one of several


def _open(opener: Callable[[], Grid]) -> None:
    import signal

    import torch

    # Ctrl-C goes to all processes; the first decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _grid[:] = [opener()]


def _search(cell: Cell) -> None:
    _grid[0].search(cell)
