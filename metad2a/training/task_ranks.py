"""Records as their normal ranks within tasks: what is easy or hard for a whole data set is left out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from metad2a.data.features import FeatureSet
from metad2a.errors import DatabaseError
from metad2a.models.arch_features import normal_ranks
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.training.meta_data import MetaData
from metad2a.training.ranking import mean_of_repeats, spearman_within

_FEWEST = 4  # architectures of a task, below which their ranks say too little
_QUARTILES = 1.349  # standard deviations from the lower to the upper quartile of a normal distribution
Label = Literal["accuracy", "curve"]
Rank = Callable[[Float[np.ndarray, " A"]], Float[np.ndarray, " A"]]


@dataclass(frozen=True)
class Ranks:
    """The records of some tasks as their ranks.

    Attributes:
        task: number of each record's task, from 0.
        arch: number of its architecture in the database.
        target: normal rank of its label within the task; records of one pair are one, by their mean.
        accuracy: percent, by mean.
        count: records that it is the mean of.
        tasks: rows of ``MetaData.tasks`` that the numbers mean.
        recipe: place in ``MetaData.recipes`` that they mean: a task's labels of two recipes are two tasks here.
    """

    task: Int[np.ndarray, " R"]
    arch: Int[np.ndarray, " R"]
    target: Float[np.ndarray, " R"]
    accuracy: Float[np.ndarray, " R"]
    count: Int[np.ndarray, " R"]
    tasks: Int[np.ndarray, " T"]
    recipe: Int[np.ndarray, " T"]


def ranks_of(
    data: MetaData, rows: Int[Tensor, " R"], *, label: Label = "accuracy", rank: Rank = normal_ranks
) -> Ranks:
    """Return the ranks of some records; tasks with too few architectures are left out.

    Args:
        data: the database.
        rows: of the records.
        label: ``accuracy``, or ``curve``: the mean rank of accuracy, loss on held-out and loss on training images,
            which tells better than the accuracy of a short training what becomes of a network in a long one (Ru
            et al., Speedy Performance Estimation for Neural Architecture Search, NeurIPS 2021, of training losses).
            Where a task's losses are not known, it is the accuracy.
        rank: makes labels of a task comparable with those of others.

    Raises:
        DatabaseError: no task has enough architectures; ``curve``, but the losses were not read.
    """
    pairs = np.stack([data.group_of[rows].numpy(), data.arch_of[rows].numpy()], axis=1)
    distinct, number, count = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    number = number.ravel()
    columns = _label_columns(data, rows, label)
    accuracy, *losses = (np.bincount(number, weights=column) / count for column in columns)
    tasks, task, sizes = np.unique(distinct[:, 0], return_inverse=True, return_counts=True)
    kept = (sizes >= _FEWEST)[task]
    if not kept.any():
        raise DatabaseError(
            f"no task of the database has {_FEWEST} architectures or more, so there is nothing to rank. "
            "Label several architectures of each task."
        )
    target = np.zeros(len(distinct))
    for place in np.flatnonzero(sizes >= _FEWEST):
        own = task == place
        target[own] = _merged_ranks([accuracy[own], *(-loss[own] for loss in losses)], rank)
    recipes = max(len(data.recipes), 1)
    renumbered = np.cumsum(sizes >= _FEWEST) - 1
    return Ranks(
        task=renumbered[task[kept]],
        arch=distinct[kept, 1],
        target=target[kept],
        accuracy=accuracy[kept],
        count=count[kept],
        tasks=tasks[sizes >= _FEWEST] // recipes,
        recipe=tasks[sizes >= _FEWEST] % recipes,
    )


def _label_columns(data: MetaData, rows: Int[Tensor, " R"], label: Label) -> list[Float[np.ndarray, " R"]]:
    columns = [data.accuracy[rows].double().numpy()]
    if label == "curve":
        if data.losses is None:
            raise DatabaseError("label=curve needs the losses of the database; make its MetaData with_losses.")
        columns.extend(data.losses[rows].double().numpy().T)
    return columns


def _merged_ranks(columns: list[Float[np.ndarray, " A"]], rank: Rank) -> Float[np.ndarray, " A"]:
    """Return the ranks of the mean ranks by the columns that are known."""
    known = [rank(column) for column in columns if np.isfinite(column).all()]
    return rank(np.mean(known, axis=0))


def scale_of(ranks: Ranks, recipe: int = 0) -> tuple[float, float]:
    """Return the mean over tasks of the median accuracy and of its spread within them, in percent.

    The spread is that of a normal distribution with the same quartiles: networks that learned nothing at all,
    which no search proposes, would otherwise be most of it.

    Args:
        ranks: of records.
        recipe: whose tasks are meant, by its place in ``MetaData.recipes``.
    """
    import pandas as pd

    own = ranks.recipe[ranks.task] == recipe
    if not own.any():
        own = np.ones(len(own), bool)  # nothing of it can be ranked: as the others
    within = pd.Series(ranks.accuracy[own]).groupby(ranks.task[own])
    low, middle, high = (float(within.quantile(q).mean()) for q in (0.25, 0.5, 0.75))
    # Where most networks of a task are equal, what is left; where all are, anything.
    return middle, (high - low) / _QUARTILES or float(within.std(ddof=0).mean()) or 1.0


def spearman_on_tasks(
    data: MetaData,
    space: SearchSpace,
    rows: Int[Tensor, " R"],
    predict: Callable[[FeatureSet, list[Architecture]], Float[np.ndarray, " A"]],
) -> float:
    """Return the mean over tasks of Spearman's correlation of predictions and accuracies.

    Args:
        data: the database.
        space: of its architectures.
        rows: records to predict; those of one architecture of a task count as one.
        predict: from the features of a task's images and architectures to any scores of them.
    """
    predicted = np.zeros(len(rows))
    for task in data.task_of[rows].unique().tolist():
        own = (data.task_of[rows] == task).numpy()
        members = data.tasks[task]
        images = data.features.keep_classes(members[members >= 0].tolist())
        predicted[own] = predict(
            images, [space.parse(data.arch_names[arch]) for arch in data.arch_of[rows[own]].tolist()]
        )
    columns = predicted, data.accuracy[rows].double().numpy()
    task_of, (guess, true) = mean_of_repeats(data.task_of[rows].numpy(), data.arch_of[rows].numpy(), *columns)
    return spearman_within(guess, true, task_of)[0]
