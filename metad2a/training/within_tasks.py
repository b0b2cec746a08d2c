"""Learning from the order of architectures within their tasks: ranks instead of accuracies, pairs of records."""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from metad2a.training.meta_data import MetaData
from metad2a.training.task_ranks import Label, Ranks, ranks_of, scale_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WithinTasks:
    """What records say of the order within their tasks.

    Attributes:
        rows: the records whose task has enough architectures to be ranked.
        rank: of every record of the database the normal rank of its pair of task and architecture; 0 where it is
            not among ``rows``.
        level: accuracy of a middling architecture on a middling task, in percent.
        spread: what a rank of one more is in percent of accuracy.
        recipes: level and spread of each of ``MetaData.recipes``.
    """

    rows: Int[Tensor, " S"]
    rank: Float[Tensor, " R"]
    level: float
    spread: float
    recipes: tuple[tuple[float, float], ...] = ()


def within_tasks(data: MetaData, rows: Int[Tensor, " R_some"], *, label: Label = "accuracy") -> WithinTasks:
    """Return what ``rows`` say; those of tasks with too few architectures are left out, and that is logged.

    Raises:
        DatabaseError: see ``metad2a.training.task_ranks.ranks_of``.
    """
    ranks = ranks_of(data, rows, label=label)
    place = _places(ranks, data, rows)
    kept = torch.from_numpy(place >= 0)
    if not kept.all():
        tasks, used = (len(data.task_of[some].unique()) for some in (rows, rows[kept]))
        _log.info(
            "%s of %s tasks (%s of %s records) have too few architectures to be ranked and are left out",
            *(f"{number:,}" for number in (tasks - used, tasks, int((~kept).sum()), len(rows))),
        )
    rank = torch.zeros(len(data.accuracy))
    rank[rows[kept]] = torch.from_numpy(ranks.target[place[kept.numpy()]]).float()
    level, spread = scale_of(ranks)
    scales = tuple(scale_of(ranks, recipe) for recipe in range(len(data.recipes)))
    return WithinTasks(rows[kept], rank, level, max(spread, 1e-6), scales)


def _places(ranks: Ranks, data: MetaData, rows: Int[Tensor, " R_some"]) -> Int[np.ndarray, " R_some"]:
    """Return the place of each record's pair in ``ranks``, -1 where it is not there."""
    width = len(data.archs)
    groups = ranks.tasks * max(len(data.recipes), 1) + ranks.recipe
    known = groups[ranks.task] * width + ranks.arch
    order = np.argsort(known)
    pair = (data.group_of[rows] * width + data.arch_of[rows]).numpy()
    place = order[np.searchsorted(known, pair, sorter=order).clip(max=len(known) - 1)]
    return np.where(known[place] == pair, place, -1)


def pairwise_loss(
    scores: Float[Tensor, " B"], truth: Float[Tensor, " B"], task: Int[Tensor, " B"]
) -> Float[Tensor, ""]:
    """Return how badly ``scores`` order the records of one task, summed over the records.

    Of each pair the logistic loss of its difference of scores (Burges et al., Learning to Rank using Gradient
    Descent, ICML 2005); of each record the mean over the pairs that it is in, so that a task of many records does
    not outweigh the others. Records that are equally good are no pair.

    Args:
        scores: predicted.
        truth: what orders them.
        task: number of each record's task.
    """
    order = (truth[:, None] - truth).sign()
    paired = (order != 0) & (task[:, None] == task)
    loss = F.softplus(-order * (scores[:, None] - scores)).masked_fill(~paired, 0.0)
    return (loss.sum(1) / paired.sum(1).clamp_min(1)).sum()


def spread_within(scores: Float[np.ndarray, " R"], task: Int[np.ndarray, " R"]) -> float:
    """Return the root mean square of what ``scores`` differ from the mean of their task."""
    _, number = np.unique(task, return_inverse=True)
    mean = np.bincount(number, weights=scores) / np.bincount(number)
    return float(np.sqrt(np.mean((scores - mean[number]) ** 2)))
