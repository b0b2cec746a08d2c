"""A database against a benchmark: were its cells chosen by it, and do its labels agree with it?"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metad2a.database.audit.ranks import Correlation, Interval, pooled, within, without_means
from metad2a.errors import DatabaseError
from metad2a.oracles.table import TableOracle
from metad2a.spaces.base import SearchSpace

PERCENTS = (1, 5, 10, 50)


@dataclass(frozen=True)
class TopShare:
    """How many of a database's cells are among a benchmark's best.

    Attributes:
        percent: of the benchmark's cells that count as its best.
        labels: share of the database's labels that are of these, in percent.
        cells: the same of its distinct cells.
        uniform: the same of as many distinct cells drawn uniformly.
        uniform_interval: 95 % of such draws lie in it.
    """

    percent: int
    labels: float
    cells: float
    uniform: float
    uniform_interval: Interval


@dataclass(frozen=True)
class Comparison:
    """A database against a benchmark.

    Attributes:
        benchmark: its file and column.
        benchmark_cells: it lists.
        labels: of the database whose cell it lists.
        cells: distinct ones of these labels.
        unknown: labels whose cell it does not list; they are left out.
        benchmark_mean: of all cells it lists, in percent.
        labels_mean: of the benchmark's figures of the database's labels.
        cells_mean: of the benchmark's figures of its distinct cells.
        top: for each of ``PERCENTS``.
        pooled: agreement of the labels with the benchmark's figures.
        centred: the same with the means of tasks removed from both, over the tasks with several labels.
        within: the mean of the same within the tasks of at least so many labels. Labels by different recipes count
            as of different tasks, here and above.
    """

    benchmark: str
    benchmark_cells: int
    labels: int
    cells: int
    unknown: int
    benchmark_mean: float
    labels_mean: float
    cells_mean: float
    top: tuple[TopShare, ...]
    pooled: Correlation
    centred: Correlation
    within: Correlation


def compare(labels: pd.DataFrame, oracle: TableOracle, space: SearchSpace, *, at_least: int) -> Comparison:
    """Compare labels with a benchmark.

    Args:
        labels: with columns ``task``, ``recipe``, ``arch``, ``accuracy``.
        oracle: the benchmark.
        space: of its architectures.
        at_least: labels of a task for ranks within it.

    Raises:
        DatabaseError: the benchmark lists none of the cells.
    """
    figures = pd.Series(oracle.evaluate(oracle.archs), index=[space.format(arch) for arch in oracle.archs])
    known = labels[labels["arch"].isin(figures.index)]
    if known.empty:
        raise DatabaseError(f"{oracle.name} lists none of the database's cells. Is it of another search space?")
    place = figures.index.get_indexer(pd.Index(known["arch"]))
    truth, accuracy = figures.to_numpy()[place], known["accuracy"].to_numpy(np.float64)
    task = known.groupby(["task", "recipe"], sort=False).ngroup().to_numpy()
    several = np.bincount(task)[task] > 1
    group = pd.factorize(task[several])[0]
    distinct = np.unique(place)
    return Comparison(
        benchmark=oracle.name,
        benchmark_cells=len(figures),
        labels=len(known),
        cells=len(distinct),
        unknown=len(labels) - len(known),
        benchmark_mean=float(figures.mean()),
        labels_mean=float(truth.mean()),
        cells_mean=float(figures.to_numpy()[distinct].mean()),
        top=tuple(_top(figures.to_numpy(), place, distinct, percent) for percent in PERCENTS),
        pooled=pooled(accuracy, truth, task),
        centred=pooled(without_means(accuracy[several], group), without_means(truth[several], group), group),
        within=within(accuracy, truth, task, at_least=at_least),
    )


def _top(figures: np.ndarray, place: np.ndarray, distinct: np.ndarray, percent: int) -> TopShare:
    from scipy.stats import hypergeom

    count = math.ceil(len(figures) * percent / 100)
    best = np.zeros(len(figures), bool)
    best[np.argsort(-figures, kind="stable")[:count]] = True
    low, high = hypergeom.ppf([0.025, 0.975], len(figures), count, len(distinct)) / len(distinct)
    return TopShare(
        percent=percent,
        labels=100 * float(best[place].mean()),
        cells=100 * float(best[distinct].mean()),
        uniform=100 * count / len(figures),
        uniform_interval=(100 * float(low), 100 * float(high)),
    )
