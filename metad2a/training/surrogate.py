"""Making a surrogate of a meta-database: no gradient steps, but four numbers that fit its records best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
_START = {"rho": 1.0, "length": 1.0, "scale": 0.03, "noise": 0.5}
_BOUNDS = {"rho": (1e-3, 30.0), "length": (0.1, 30.0), "scale": (1e-4, 3.0), "noise": (0.05, 3.0)}


@dataclass(frozen=True)
class Ranks:
    """The records of some tasks as a surrogate learns them.

    Attributes:
        task: number of each record's task, from 0.
        arch: number of its architecture in the database.
        target: normal rank of its accuracy within the task; records of one pair are one, by their mean.
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


def ranks_of(data: MetaData, rows: Int[Tensor, " R"]) -> Ranks:
    """Return the ranks of some records; tasks with too few architectures are left out.

    Raises:
        DatabaseError: no task has enough.
    """
    pairs = np.stack([data.task_of[rows].numpy(), data.arch_of[rows].numpy()], axis=1)
    distinct, number, count = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    number = number.ravel()
    accuracy = np.bincount(number, weights=data.accuracy[rows].double().numpy()) / count
    tasks, task, sizes = np.unique(distinct[:, 0], return_inverse=True, return_counts=True)
    kept = (sizes >= _FEWEST)[task]
    if not kept.any():
        raise DatabaseError(
            f"no task of the database has {_FEWEST} architectures or more, so there is nothing to rank. "
            "Label several architectures of each task."
        )
    target = np.zeros(len(distinct))
    for place in np.flatnonzero(sizes >= _FEWEST):
        target[task == place] = normal_ranks(accuracy[task == place])
    renumbered = np.cumsum(sizes >= _FEWEST) - 1
    return Ranks(
        task=renumbered[task[kept]],
        arch=distinct[kept, 1],
        target=target[kept],
        accuracy=accuracy[kept],
        count=count[kept],
        tasks=tasks[sizes >= _FEWEST],
    )


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
    conditioned: bool = True,
) -> Surrogate:
    """Return the surrogate of some records, with the hyper-parameters that make them most likely.

    Args:
        data: the database.
        features: of the architectures of its space.
        rows: records to learn from.
        images_per_class: of which class means are made, at most.
        conditioned: whether it may learn that data sets differ; without, one ranking serves all.

    Raises:
        DatabaseError: no task has enough architectures to rank.
    """
    from scipy.optimize import minimize

    ranks = ranks_of(data, rows)
    means = set_means(data, ranks.tasks, images_per_class)
    axes = _principal_axes(means)
    archs = [features.space.parse(data.arch_names[arch]) for arch in ranks.arch]
    made = {"features": torch.from_numpy(features.matrix(archs)), "set_mean": means.mean(0), "set_axes": axes}
    made |= {
        "targets": torch.from_numpy(ranks.target).float(),
        "counts": torch.from_numpy(ranks.count).float(),
        "task_of": torch.from_numpy(ranks.task).int(),
        "sets": (means - means.mean(0)) @ axes.T,
    }
    level, spread = _scale(ranks)
    names = list(_START) if conditioned else ["scale", "noise"]

    def surrogate(logs: Float[np.ndarray, " H"]) -> Surrogate:
        given = {
            name: float(np.exp(np.clip(v, *np.log(_BOUNDS[name])))) for name, v in zip(names, logs, strict=True)
        }
        fixed = {"target_mean": level, "target_std": spread} | ({} if conditioned else {"rho": 0.0})
        return _surrogate(made, _START | fixed | given)

    start = np.log([_START[name] for name in names])
    found = minimize(
        lambda logs: -surrogate(logs).log_likelihood(),
        start,
        method="Nelder-Mead",
        options={"maxfev": 80, "xatol": 0.05},
    )
    return surrogate(found.x)


def _scale(ranks: Ranks) -> tuple[float, float]:
    """Return the mean over tasks of mean accuracy and of its standard deviation within them, in percent."""
    size = np.bincount(ranks.task)
    mean = np.bincount(ranks.task, weights=ranks.accuracy) / size
    variance = np.bincount(ranks.task, weights=(ranks.accuracy - mean[ranks.task]) ** 2) / size
    return float(mean.mean()), float(np.sqrt(variance).mean())


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
    model: Surrogate, data: MetaData, features: ArchFeatures, rows: Int[Tensor, " R"], *, images_per_class: int
) -> dict[str, float]:
    """Return how well a surrogate ranks the architectures of tasks it has not seen, and how well it knows that.

    ``val/spearman_within_tasks`` is the mean over tasks with four architectures or more; ``val/pair_error`` is how
    far a predicted difference of two of a task is from the true one, in percent; ``val/coverage80`` is how many
    percent of the scores lie in the intervals that should hold 80.
    """
    ranks = ranks_of(data, rows)
    means = set_means(data, ranks.tasks, images_per_class)
    phi = torch.from_numpy(features.matrix([features.space.parse(data.arch_names[arch]) for arch in ranks.arch]))
    predicted, inside = np.zeros(len(ranks.target)), np.zeros(len(ranks.target), bool)
    for task, mean in enumerate(means):
        own = np.flatnonzero(ranks.task == task)
        score, std = (value.numpy() for value in model.posterior(model.set_vector(mean)).predict(phi[own]))
        predicted[own] = score
        error = ranks.target[own] - (score - score.mean())
        inside[own] = abs(error) <= _EIGHTY * np.sqrt(std**2 + model.noise)
    percent = model.target_mean + model.target_std * predicted
    within, _ = spearman_within(predicted, ranks.accuracy, ranks.task)
    between, _ = pair_error(percent, ranks.accuracy, ranks.task)
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
