"""Making a surrogate of a meta-database: no gradient steps, a few numbers that rank its records best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metad2a.data.embedders.base import Embedder
from metad2a.errors import DatabaseError
from metad2a.models.arch_features import ArchFeatures, normal_ranks
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.reference import class_means
from metad2a.models.surrogate import Surrogate
from metad2a.spaces.base import SearchSpace
from metad2a.training.meta_data import MetaData
from metad2a.training.ranking import pair_error, spearman_within
from metad2a.training.reference import reference_of

_SET_DIM = 16
_EIGHTY = 1.2816  # standard deviations on each side of the mean that hold 80 % of a normal distribution
_FEWEST = 4  # architectures of a task, below which their ranks say too little
_QUARTILES = 1.349  # standard deviations from the lower to the upper quartile of a normal distribution
Label = Literal["accuracy", "curve"]
RHO, SIGMA, LENGTH = 1.0, 1.5, 1.5
"""Hyper-parameters that are the same for every database; what they are worth is in docs/ablation.md."""
SHRINKAGES = (10.0, 30.0, 100.0, 300.0)
"""What the ratio of noise to scale is chosen from."""
_LEAST_NOISE = 0.05  # labels that are all equal say nothing of their noise


@dataclass(frozen=True)
class Ranks:
    """The records of some tasks as a surrogate learns them.

    Attributes:
        task: number of each record's task, from 0.
        arch: number of its architecture in the database.
        target: normal rank of its label within the task; records of one pair are one, by their mean.
        accuracy: percent, by mean.
        count: records that it is the mean of.
        tasks: rows of ``MetaData.tasks`` that the numbers mean.
    """

    task: Int[np.ndarray, " R"]
    arch: Int[np.ndarray, " R"]
    target: Float[np.ndarray, " R"]
    accuracy: Float[np.ndarray, " R"]
    count: Int[np.ndarray, " R"]
    tasks: Int[np.ndarray, " T"]


def ranks_of(data: MetaData, rows: Int[Tensor, " R"], *, label: Label = "accuracy") -> Ranks:
    """Return the ranks of some records; tasks with too few architectures are left out.

    Args:
        data: the database.
        rows: of the records.
        label: ``accuracy``, or ``curve``: the mean rank of accuracy, loss on held-out and loss on training images,
            which tells better than the accuracy of a short training what becomes of a network in a long one (Ru
            et al., Speedy Performance Estimation for Neural Architecture Search, NeurIPS 2021, of training losses).
            Where a task's losses are not known, it is the accuracy.

    Raises:
        DatabaseError: no task has enough architectures; ``curve``, but the losses were not read.
    """
    pairs = np.stack([data.task_of[rows].numpy(), data.arch_of[rows].numpy()], axis=1)
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
        target[own] = _merged_ranks([accuracy[own], *(-loss[own] for loss in losses)])
    renumbered = np.cumsum(sizes >= _FEWEST) - 1
    return Ranks(
        task=renumbered[task[kept]],
        arch=distinct[kept, 1],
        target=target[kept],
        accuracy=accuracy[kept],
        count=count[kept],
        tasks=tasks[sizes >= _FEWEST],
    )


def _label_columns(data: MetaData, rows: Int[Tensor, " R"], label: Label) -> list[Float[np.ndarray, " R"]]:
    columns = [data.accuracy[rows].double().numpy()]
    if label == "curve":
        if data.losses is None:
            raise DatabaseError("label=curve needs the losses of the database; make its MetaData with_losses.")
        columns.extend(data.losses[rows].double().numpy().T)
    return columns


def _merged_ranks(columns: list[Float[np.ndarray, " A"]]) -> Float[np.ndarray, " A"]:
    """Return the normal ranks of the mean normal ranks by the columns that are known."""
    known = [normal_ranks(column) for column in columns if np.isfinite(column).all()]
    return normal_ranks(np.mean(known, axis=0))


def set_means(data: MetaData, tasks: Int[np.ndarray, " T"], images_per_class: int) -> Float[Tensor, "T F"]:
    """Return for each task the mean over its classes of their mean features."""
    classes = class_means(data.features, torch.arange(len(data.features.classes)), images_per_class)
    members = data.tasks[torch.from_numpy(tasks)]
    exists = (members >= 0).float()
    return torch.einsum("tcf,tc->tf", classes[members.clamp_min(0)], exists) / exists.sum(1, keepdim=True)


def fit_surrogate(
    data: MetaData,
    features: ArchFeatures,
    rows: Int[Tensor, " R"],
    *,
    images_per_class: int,
    label: Label = "accuracy",
    rho: float = RHO,
    sigma: float = SIGMA,
) -> Surrogate:
    """Return the surrogate of some records.

    Its noise is what makes the records most likely; how much it trusts them, compared with that, is what ranks
    those of meta-validation best.

    Args:
        data: the database.
        features: of the architectures of its space.
        rows: records to learn from.
        images_per_class: of which class means are made, at most.
        label: what is ranked, see ``ranks_of``.
        rho: weight of what is special to like data sets; 0: one ranking serves all.
        sigma: weight of what is special to one source of images.

    Raises:
        DatabaseError: no task has enough architectures to rank; see ``ranks_of``.
    """
    ranks = ranks_of(data, rows, label=label)
    means = set_means(data, ranks.tasks, images_per_class)
    axes = _principal_axes(means)
    archs = [features.space.parse(data.arch_names[arch]) for arch in ranks.arch]
    sources = [data.sources[task] if data.sources else "" for task in ranks.tasks]
    made = {
        "features": torch.from_numpy(features.matrix(archs)),
        "targets": torch.from_numpy(ranks.target).float(),
        "counts": torch.from_numpy(ranks.count).float(),
        "task_of": torch.from_numpy(ranks.task).int(),
        "sets": (means - means.mean(0)) @ axes.T,
        "source_of": torch.from_numpy(np.unique(sources, return_inverse=True)[1]).int(),
        "set_mean": means.mean(0),
        "set_axes": axes,
    }
    level, spread = _scale(ranks)
    fixed = {"rho": rho, "sigma": sigma, "length": LENGTH, "target_mean": level, "target_std": spread}

    def surrogate(shrinkage: float) -> Surrogate:
        noise = max(
            _surrogate(made, fixed | {"scale": 1 / shrinkage, "noise": 1.0}).likeliest_noise(), _LEAST_NOISE
        )
        return _surrogate(made, fixed | {"scale": noise / shrinkage, "noise": noise})

    def agreement(model: Surrogate) -> float:
        scores = surrogate_scores(model, data, features, data.valid_rows, images_per_class=images_per_class)
        return np.nan_to_num(scores["val/spearman_within_tasks"], nan=-1.0)

    return max(map(surrogate, SHRINKAGES), key=agreement)


def _scale(ranks: Ranks) -> tuple[float, float]:
    """Return the mean over tasks of the median accuracy and of its spread within them, in percent.

    The spread is that of a normal distribution with the same quartiles: networks that learned nothing at all,
    which no search proposes, would otherwise be most of it.
    """
    import pandas as pd

    within = pd.Series(ranks.accuracy).groupby(ranks.task)
    low, middle, high = (float(within.quantile(q).mean()) for q in (0.25, 0.5, 0.75))
    # Where most networks of a task are equal, what is left; where all are, anything.
    return middle, (high - low) / _QUARTILES or float(within.std(ddof=0).mean()) or 1.0


def _surrogate(made: dict[str, Tensor], hyper: dict[str, float]) -> Surrogate:
    config: dict[str, Any] = {
        "num_rows": len(made["targets"]),
        "num_tasks": len(made["sets"]),
        "arch_dim": made["features"].shape[1],
        "feature_dim": len(made["set_mean"]),
        "set_dim": made["sets"].shape[1],
        **hyper,
    }
    model = Surrogate(**config)
    model.load_state_dict(made)
    return model.eval()


def _principal_axes(means: Float[Tensor, "T F"]) -> Float[Tensor, "P F"]:
    """Return axes on which the tasks lie at about unit distance from their mean."""
    centred = means - means.mean(0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    kept = min(_SET_DIM, max(len(means) - 1, 1))
    spread = centred.square().sum(1).mean().sqrt().clamp_min(1e-12)
    return axes[:kept] / spread


def surrogate_scores(
    model: Surrogate,
    data: MetaData,
    features: ArchFeatures,
    rows: Int[Tensor, " R"],
    *,
    images_per_class: int,
    label: Label = "accuracy",
) -> dict[str, float]:
    """Return how well a surrogate ranks the architectures of tasks it has not seen, and how well it knows that.

    ``val/spearman_within_tasks``, of accuracies, is the mean over tasks with four architectures or more;
    ``val/pair_error`` is how far a predicted difference is from the true one, in percent, for two networks of a
    task that are both predicted to be of its better half, as those are that a search compares; ``val/coverage80``
    is how many percent of the scores (see ``ranks_of`` for ``label``) lie in the intervals that should hold 80.
    """
    ranks = ranks_of(data, rows, label=label)
    means = set_means(data, ranks.tasks, images_per_class)
    phi = torch.from_numpy(features.matrix([features.space.parse(data.arch_names[arch]) for arch in ranks.arch]))
    predicted, inside = np.zeros(len(ranks.target)), np.zeros(len(ranks.target), bool)
    better = np.zeros(len(ranks.target), bool)
    for task, mean in enumerate(means):
        own = np.flatnonzero(ranks.task == task)
        score, std = (value.numpy() for value in model.posterior(model.set_vector(mean)).predict(phi[own]))
        predicted[own], better[own] = score, score >= np.median(score)
        error = ranks.target[own] - (score - score.mean())
        inside[own] = abs(error) <= _EIGHTY * np.sqrt(std**2 + model.noise)
    percent = model.target_mean + model.target_std * predicted
    within, _ = spearman_within(predicted, ranks.accuracy, ranks.task)
    between, _ = pair_error(percent[better], ranks.accuracy[better], ranks.task[better])
    return {
        "val/spearman_within_tasks": within,
        "val/pair_error": between,
        "val/coverage80": 100 * float(inside.mean()),
        "val/tasks": float(len(means)),
        "train/log_likelihood": model.log_likelihood(),
    }


def surrogate_checkpoint(
    model: Surrogate,
    data: MetaData,
    embedder: Embedder,
    *,
    images_per_class: int,
    scores: Mapping[str, float],
    provenance: Mapping[str, Any],
    space: SearchSpace,
) -> Checkpoint:
    """Return the checkpoint of a surrogate; merged with a generator's it can search."""
    return Checkpoint(
        parts={"surrogate": Part.of(model)},
        space=space.name,
        topology=None if space.topology is None else space.topology.nonzero().tolist(),
        embedder={"name": embedder.name, "fingerprint": embedder.fingerprint, "dim": embedder.dim},
        images_per_class=images_per_class,
        train_archs=tuple(data.arch_frequencies()),
        metrics={"surrogate": {name: value for name, value in scores.items() if math.isfinite(value)}},
        provenance={"surrogate": dict(provenance)},
        reference=reference_of(data, images_per_class),
    )
