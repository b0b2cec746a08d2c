"""A Gaussian process over architectures and data sets: it knows how sure it is, and learns at once."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from metad2a.data.features import SetBatch
from metad2a.models.recipes import Recipes, recipe_place, written

_OFFSET = 10.0  # variance of what a task adds to all of its architectures: practically free


@dataclass(frozen=True)
class LinearPosterior:
    """What is believed of one data set: a score is features times weights, and these are normally distributed.

    Attributes:
        mean: of the weights.
        covariance: of the weights.
        noise: variance of an observed score.
    """

    mean: Float[Tensor, " D"]
    covariance: Float[Tensor, "D D"]
    noise: float

    def predict(self, features: Float[Tensor, "A D"]) -> tuple[Float[Tensor, " A"], Float[Tensor, " A"]]:
        """Return mean and standard deviation of each architecture's score, without the noise of observing it."""
        phi = features.double()
        variance = ((phi @ self.covariance) * phi).sum(1)
        return phi @ self.mean, variance.clamp_min(0).sqrt()

    def observe(self, features: Float[Tensor, "O D"], scores: Float[Tensor, " O"]) -> "LinearPosterior":
        """Return what is believed after some scores were seen; their level may be any."""
        phi = features.double()
        across = phi @ self.covariance
        gain = torch.linalg.solve(self._spread(phi), across).T
        return LinearPosterior(
            self.mean + gain @ (scores.double() - phi @ self.mean), self.covariance - gain @ across, self.noise
        )

    def log_likelihood(self, features: Float[Tensor, "O D"], scores: Float[Tensor, " O"]) -> float:
        """Return the logarithm of the density of seeing these scores, at any level."""
        phi = features.double()
        spread = self._spread(phi)
        error = scores.double() - phi @ self.mean
        fit = error @ torch.linalg.solve(spread, error)
        return float(-0.5 * (fit + torch.logdet(spread) + len(error) * math.log(2 * math.pi)))

    def _spread(self, phi: Float[Tensor, "O D"]) -> Float[Tensor, "O O"]:
        """Return the covariance of observed scores; the level that all share is practically free."""
        own = self.noise * torch.eye(len(phi), dtype=torch.float64)
        return phi @ self.covariance @ phi.T + own + _OFFSET


def set_means(sets: SetBatch) -> Float[Tensor, "B F"]:
    """Return for each drawn data set the mean over its classes of their mean features."""
    images = sets.mask.float()
    in_class = torch.einsum("bckf,bck->bcf", sets.features, images) / images.sum(2, keepdim=True).clamp_min(1)
    exists = sets.mask.any(2).float()
    return torch.einsum("bcf,bc->bf", in_class, exists) / exists.sum(1, keepdim=True)


class Surrogate(nn.Module):
    """Gaussian-process regression on the standardised ranks of networks within their tasks.

    Two records have the covariance ``scale * phi(a) . phi(b) * (1 + rho * kappa + sigma * same) / (1 + rho +
    sigma)`` (``phi``: features of architectures, see ``ArchFeatures``; ``kappa``: a squared exponential of the
    distance of the data sets' vectors; ``same``: 1 for data sets of one source of images, else 0), to which a
    constant is added where they are of one task. So what all data sets have in common is learned from all, what
    like ones have in common from like ones, and what only one source says is believed of that source alone: a new
    data set is of none. A product of kernels over inputs and tasks: Bonilla, Chai and Williams, Multi-task Gaussian
    Process Prediction, NeurIPS 2007.

    Where labels are of several recipes, a task's labels under each are a task of their own here, and the covariance
    of records of different recipes is ``tau`` times that.

    Args:
        num_rows: records.
        num_tasks: data sets.
        arch_dim: ``D``, features of an architecture.
        feature_dim: ``F``, of an image.
        set_dim: ``P``, of a data set's vector.
        rho: weight of what is special to like data sets.
        sigma: weight of what is special to the data sets of one source.
        length: of the squared exponential, in units of the data sets' vectors.
        scale: variance of an architecture feature's weight.
        noise: variance of a target.
        target_mean: accuracy of a middling network on a middling data set, in percent.
        target_std: what a score of one more is in percent of accuracy.
        recipes: of the labels, by name, each with its ``target_mean`` and ``target_std``; None: all are of one.
        recipe: by which of them a data set's networks are thought to be trained; None: the first.
        tau: correlation of scores under different recipes.

    Raises:
        ValueError: ``recipe`` is none of ``recipes``.
    """

    def __init__(
        self,
        *,
        num_rows: int,
        num_tasks: int,
        arch_dim: int,
        feature_dim: int,
        set_dim: int,
        rho: float,
        sigma: float,
        length: float,
        scale: float,
        noise: float,
        target_mean: float,
        target_std: float,
        recipes: Recipes | None = None,
        recipe: str | None = None,
        tau: float = 1.0,
    ) -> None:
        super().__init__()
        self.recipe = recipe_place(recipes, recipe)
        self.config: dict[str, Any] = {
            "num_rows": num_rows,
            "num_tasks": num_tasks,
            "arch_dim": arch_dim,
            "feature_dim": feature_dim,
            "set_dim": set_dim,
            "rho": rho,
            "sigma": sigma,
            "length": length,
            "scale": scale,
            "noise": noise,
            "target_mean": target_mean,
            "target_std": target_std,
            "recipes": written(recipes),
            "recipe": recipe,
            "tau": tau,
        }
        self.rho, self.sigma, self.length = rho, sigma, length
        self.scale, self.noise = scale, noise
        self.target_mean, self.target_std = target_mean, target_std
        if recipes and recipe is not None:
            self.target_mean, self.target_std = recipes[recipe]
        self.tau = tau
        self._hold(num_rows, num_tasks, arch_dim, feature_dim, set_dim, of_recipes=bool(recipes))

    def _hold(
        self, num_rows: int, num_tasks: int, arch_dim: int, feature_dim: int, set_dim: int, *, of_recipes: bool
    ) -> None:
        """Make room for what is learned from."""
        self.features: Tensor
        self.targets: Tensor
        self.counts: Tensor
        self.task_of: Tensor
        self.sets: Tensor
        self.source_of: Tensor
        self.set_mean: Tensor
        self.set_axes: Tensor
        self.register_buffer("features", torch.zeros(num_rows, arch_dim))
        self.register_buffer("targets", torch.zeros(num_rows))
        self.register_buffer("counts", torch.ones(num_rows))
        self.register_buffer("task_of", torch.zeros(num_rows, dtype=torch.int32))
        self.register_buffer("sets", torch.zeros(num_tasks, set_dim))
        self.register_buffer("source_of", torch.zeros(num_tasks, dtype=torch.int32))
        self.recipe_of: Tensor | None
        self.register_buffer("recipe_of", torch.zeros(num_tasks, dtype=torch.int32) if of_recipes else None)
        self.register_buffer("set_mean", torch.zeros(feature_dim))
        self.register_buffer("set_axes", torch.zeros(set_dim, feature_dim))

    def __repr__(self) -> str:
        return f"Surrogate({', '.join(f'{name}={value!r}' for name, value in self.config.items())})"

    def set_vector(self, mean: Float[Tensor, " F"]) -> Float[Tensor, " P"]:
        """Return the vector of the data set whose classes' mean features have this mean."""
        return self.set_axes @ (mean - self.set_mean)

    def posterior(self, set_vector: Float[Tensor, " P"]) -> LinearPosterior:
        """Return what the records say of a data set."""
        alike = self._alike_rows(set_vector)
        across = alike[:, None] * self.features.double()
        explained = torch.linalg.solve_triangular(self._factor, across, upper=False)
        mean = across.T @ self._solved
        prior = self.scale * torch.eye(self.features.shape[1], dtype=torch.float64)
        return LinearPosterior(mean, prior - explained.T @ explained, self.noise)

    def mean_weights(self, set_vector: Float[Tensor, " P"]) -> Float[Tensor, " D"]:
        """Return the mean of ``posterior`` alone, which takes a fraction of the time."""
        return (self._alike_rows(set_vector) * self._solved) @ self.features.double()

    def log_likelihood(self) -> float:
        """Return the logarithm of the marginal likelihood of the targets."""
        target = self.targets.double()
        constant = 0.5 * len(target) * math.log(2 * math.pi)
        return float(-0.5 * target @ self._solved - self._factor.diagonal().log().sum() - constant)

    def likeliest_noise(self) -> float:
        """Return by what ``scale`` and ``noise`` must both be multiplied to make the targets most likely.

        The levels of the tasks take a degree of freedom each.
        """
        return float(self.targets.double() @ self._solved) / max(len(self.targets) - len(self.sets), 1)

    @cached_property
    def _solved(self) -> Float[Tensor, " R"]:
        """Return the targets, multiplied by the inverse of their covariance."""
        return torch.cholesky_solve(self.targets.double()[:, None], self._factor).squeeze(1)

    @cached_property
    def _factor(self) -> Float[Tensor, "R R"]:
        """Return the Cholesky factor of the records' covariance."""
        phi, task = self.features.double(), self.task_of.long()
        same = (self.source_of[:, None] == self.source_of).double()
        alike = self._alike(self.sets, self.sets, same)
        if self.recipe_of is not None:
            alike = alike * self._under(self.recipe_of[:, None])
        covariance = phi @ phi.T  # the rest in place: there may be thousands of records
        covariance *= (self.scale * alike)[task[:, None], task]
        covariance.add_(task[:, None] == task, alpha=_OFFSET)
        covariance.diagonal().add_(self.noise / self.counts.double())
        return torch.linalg.cholesky(covariance)

    def _alike_rows(self, set_vector: Float[Tensor, " P"]) -> Float[Tensor, " R"]:
        """Return by what the products of features are multiplied, of each record and one of a new data set."""
        alike = self._alike(set_vector[None], self.sets)[0]
        if self.recipe_of is not None:
            alike = alike * self._under(self.recipe)
        return self.scale * alike[self.task_of.long()]

    def _under(self, recipe: int | Int[Tensor, "T 1"]) -> Float[Tensor, "*tasks T"]:
        """Return the correlation of scores under a recipe with those under each task's."""
        return self.tau + (1 - self.tau) * torch.eq(cast("Tensor", self.recipe_of), recipe).double()

    def _alike(
        self, a: Float[Tensor, "S P"], b: Float[Tensor, "T P"], same: Float[Tensor, "S T"] | float = 0.0
    ) -> Float[Tensor, "S T"]:
        """Return how much data sets have in common: 1 for the same, ``1 / (1 + rho + sigma)`` for unlike ones.

        ``same`` says which are of one source; data sets to search for are of none of those in the database.
        """
        near = torch.exp(-0.5 * (torch.cdist(a.double(), b.double()) / self.length).square())
        return (1 + self.rho * near + self.sigma * same) / (1 + self.rho + self.sigma)
