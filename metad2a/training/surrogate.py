"""Making a surrogate of a meta-database: no gradient steps, a few numbers that rank its records best."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metad2a.data.embedders.base import Embedder
from metad2a.models.arch_features import ArchFeatures, normal_ranks
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.reference import class_means
from metad2a.models.surrogate import Surrogate
from metad2a.spaces.base import SearchSpace
from metad2a.training.meta_data import MetaData
from metad2a.training.ranking import pair_error, spearman_within
from metad2a.training.reference import reference_of
from metad2a.training.task_ranks import Label, Rank, Ranks, ranks_of, scale_of

_SET_DIM = 16
_EIGHTY = 1.2816  # standard deviations on each side of the mean that hold 80 % of a normal distribution
RHO, SIGMA, LENGTH = 1.0, 1.5, 1.5
"""Hyper-parameters that are the same for every database; what they are worth is in docs/ablation.md."""
SHRINKAGES = (10.0, 30.0, 100.0, 300.0)
"""What the ratio of noise to scale is chosen from."""
CORRELATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""What the correlation of recipes is chosen from."""
_MIDDLING = 30.0  # the ratio of noise to scale at which that is done
_LEAST_NOISE = 0.05  # labels that are all equal say nothing of their noise


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
    rank: Rank = normal_ranks,
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
        rank: see ``ranks_of``.

    Raises:
        DatabaseError: no task has enough architectures to rank; see ``ranks_of``.
    """
    ranks = ranks_of(data, rows, label=label, rank=rank)
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
