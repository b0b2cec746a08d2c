"""Which records a generator should learn from: the good architectures of each task."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metad2a.training.meta_data import MetaData


def advantage(data: MetaData, rows: Int[Tensor, " R"]) -> Float[np.ndarray, " R"]:
    """Return how much better each record is than its task explains, in percent of accuracy.

    A task's difficulty is estimated by a ridge regression of accuracy on the task's identity and on its
    classes. With many records a task, its own mean decides; with a single one, the difficulty of its classes
    in other tasks. What is left is the architecture's merit, and noise.
    """
    from scipy import sparse
    from sklearn.linear_model import Ridge

    tasks = data.tasks[data.task_of[rows]].numpy()
    exists = tasks >= 0
    record = np.nonzero(exists)[0]
    classes = sparse.csr_matrix(
        (1.0 / np.sqrt(exists.sum(1))[record], (record, tasks[exists])),
        shape=(len(rows), len(data.features.classes)),
    )
    identity = sparse.csr_matrix(
        (np.ones(len(rows)), (np.arange(len(rows)), data.task_of[rows].numpy())),
        shape=(len(rows), len(data.tasks)),
    )
    design = sparse.hstack([classes, identity]).tocsr()
    accuracy = data.accuracy[rows].numpy().astype(np.float64)
    return accuracy - Ridge(alpha=1.0).fit(design, accuracy).predict(design)


def best_rows(data: MetaData, rows: Int[Tensor, " R"], share: float) -> Int[Tensor, " S"]:
    """Return the ``share`` (0 to 1] of ``rows``, of each recipe, with the greatest ``advantage``, in old order."""
    chosen = np.zeros(len(rows), bool)
    for recipe in data.recipe_number[rows].unique():
        own = np.flatnonzero(data.recipe_number[rows] == recipe)
        keep = max(1, round(share * len(own)))
        chosen[own[np.argsort(-advantage(data, rows[own]), kind="stable")[:keep]]] = True
    return rows[torch.from_numpy(chosen)]
