"""Making a surrogate of a meta-database: no gradient steps, a few numbers that rank its records best."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
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
CORRELATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""What the correlation of recipes is chosen from."""
_MIDDLING = 30.0  # the ratio of noise to scale at which that is done
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
        recipe: place in ``MetaData.recipes`` that they mean: a task's labels of two recipes are two tasks here.
    """

    task: Int[np.ndarray, " R"]
    arch: Int[np.ndarray, " R"]
    target: Float[np.ndarray, " R"]
    accuracy: Float[np.ndarray, " R"]
    count: Int[np.ndarray, " R"]
    tasks: Int[np.ndarray, " T"]
    recipe: Int[np.ndarray, " T"]


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
        target[own] = _merged_ranks([accuracy[own], *(-loss[own] for loss in losses)])
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
    tau: float | None = None,
) -> Surrogate:
    """Return the surrogate of some records.

    Its noise is what makes the records most likely; how much it trusts them, compared with that, is what ranks
    those of meta-validation best. So is how much recipes agree, where there are several, but by likelihood alone.

    Args:
        data: the database.
        features: of the architectures of its space.
        rows: records to learn from.
        images_per_class: of which class means are made, at most.
        label: what is ranked, see ``ranks_of``.
        rho: weight of what is special to like data sets; 0: one ranking serves all.
        sigma: weight of what is special to one source of images.
        tau: correlation of scores under different recipes; None: one of ``CORRELATIONS``.

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
    level, spread = scale_of(ranks)
    fixed: dict[str, Any] = {
        "rho": rho,
        "sigma": sigma,
        "length": LENGTH,
        "target_mean": level,
        "target_std": spread,
    }
    if data.recipes:
        made["recipe_of"] = torch.from_numpy(ranks.recipe).int()
        fixed["recipes"] = {name: scale_of(ranks, place) for place, name in enumerate(data.recipes)}

    def surrogate(shrinkage: float, correlation: float) -> Surrogate:
        own = fixed | {"tau": correlation}
        noise = max(_surrogate(made, own | {"scale": 1 / shrinkage, "noise": 1.0}).likeliest_noise(), _LEAST_NOISE)
        return _surrogate(made, own | {"scale": noise / shrinkage, "noise": noise})

    if tau is None:
        tau = _likeliest(partial(surrogate, _MIDDLING)) if data.recipes else 1.0
    known = _Known.of(data, features, data.valid_rows, images_per_class, "accuracy")
    return max((surrogate(shrinkage, tau) for shrinkage in SHRINKAGES), key=known.agreement)


def _likeliest(surrogate: Callable[[float], Surrogate]) -> float:
    """Return the correlation of recipes that makes the records likeliest."""
    return max(CORRELATIONS, key=lambda correlation: surrogate(correlation).log_likelihood())


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
    known = _Known.of(data, features, rows, images_per_class, label)
    ranks, predicted = known.ranks, known.predicted(model)
    inside, better = np.zeros(len(predicted), bool), np.zeros(len(predicted), bool)
    for task, mean in enumerate(known.means):
        own = np.flatnonzero(ranks.task == task)
        score, std = (
            value.numpy() for value in model.posterior(model.set_vector(mean)).predict(known.features[own])
        )
        better[own] = score >= np.median(score)
        error = ranks.target[own] - (score - score.mean())
        inside[own] = abs(error) <= _EIGHTY * np.sqrt(std**2 + model.noise)
    percent = model.target_mean + model.target_std * predicted
    between, _ = pair_error(percent[better], ranks.accuracy[better], ranks.task[better])
    return {
        "val/spearman_within_tasks": spearman_within(predicted, ranks.accuracy, ranks.task)[0],
        "val/pair_error": between,
        "val/coverage80": 100 * float(inside.mean()),
        "val/tasks": float(len(known.means)),
        "train/log_likelihood": model.log_likelihood(),
    }


@dataclass(frozen=True)
class _Known:
    """Records that surrogates are judged by, made ready once for all of them."""

    ranks: Ranks
    means: Float[Tensor, "T F"]
    features: Float[Tensor, "R D"]

    @classmethod
    def of(
        cls, data: MetaData, features: ArchFeatures, rows: Int[Tensor, " R"], images_per_class: int, label: Label
    ) -> "_Known":
        ranks = ranks_of(data, rows, label=label)
        archs = [features.space.parse(data.arch_names[arch]) for arch in ranks.arch]
        means = set_means(data, ranks.tasks, images_per_class)
        return cls(ranks, means, torch.from_numpy(features.matrix(archs)))

    def predicted(self, model: Surrogate) -> Float[np.ndarray, " R"]:
        """Return the mean score of each record."""
        weights = torch.stack([model.mean_weights(model.set_vector(mean)) for mean in self.means])
        scores = (weights[self.ranks.task] * self.features.double()).sum(1)
        return scores.numpy()

    def agreement(self, model: Surrogate) -> float:
        """Return the mean Spearman correlation within tasks; -1 where none has an order."""
        within, _ = spearman_within(self.predicted(model), self.ranks.accuracy, self.ranks.task)
        return float(np.nan_to_num(within, nan=-1.0))


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
