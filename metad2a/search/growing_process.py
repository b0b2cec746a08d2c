"""A Gaussian process on a list of architectures that learns one value after the other cheaply."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metad2a.models.surrogate import LinearPosterior

_LEVEL = 10.0  # variance of what all accuracies of a data set have in common: practically free
_ROOM = 16  # observations, at first; doubled where they are more


class GrowingProcess:
    """What ``LinearPosterior.observe`` says, of all architectures of a list, after each of many evaluations.

    The Cholesky factor of the observations' covariance, and the covariances with all architectures divided by it,
    grow by a row for each observation. Neither depends on the values seen.

    Args:
        features: of the architectures.
        belief: before anything is seen.

    Attributes:
        start: mean score of each architecture, before anything is seen.
        places: architectures observed, in that order.
    """

    def __init__(self, features: Float[Tensor, "A D"], belief: LinearPosterior) -> None:
        self._phi = features.double()
        self._weighted = self._phi @ belief.covariance
        self._prior = (self._weighted * self._phi).sum(1)
        self._noise = belief.noise
        self.start = self._phi @ belief.mean
        self._forget()

    def _forget(self) -> None:
        self.places: list[int] = []
        self._factor = self._phi.new_zeros(_ROOM, _ROOM)
        self._explained = self._phi.new_zeros(_ROOM, len(self._phi))
        self._level = self._phi.new_zeros(_ROOM)
        self._variance = self._prior.clone()

    def observe(self, places: Sequence[int]) -> None:
        """Let exactly these architectures be observed, in this order; a longer list than before costs little."""
        known = len(self.places)
        if list(places[:known]) != self.places:
            self._forget()
        for place in places[len(self.places) :]:
            self._append(place)

    def whitened(self, values: Float[Tensor, " T"]) -> Float[Tensor, " T"]:
        """Return values of the first ``T`` observations divided by the Cholesky factor of their covariance."""
        factor = self._factor[: len(values), : len(values)]
        return torch.linalg.solve_triangular(factor, values[:, None], upper=False).squeeze(1)

    def mean(self, error: Float[Tensor, " T"]) -> Float[Tensor, " A"]:
        """Return the mean score of each architecture.

        Args:
            error: how far the values of the first ``T`` observations were from ``start``, ``whitened``; those after
                them have values as expected.
        """
        return self.start + error @ self._explained[: len(error)]

    def deviation_from(self, place: int) -> Float[Tensor, " A"]:
        """Return the standard deviation of the difference between each architecture's score and that of one."""
        seen = self._explained[: len(self.places)]
        shared = self._weighted @ self._phi[place] - seen[:, place] @ seen
        return (self._variance + self._variance[place] - 2 * shared).clamp_min(0).sqrt()

    def _append(self, place: int) -> None:
        count = len(self.places)
        if count == len(self._level):
            self._grow()
        seen, level = self._explained[:count], self._level[:count]
        row = seen[:, place] + math.sqrt(_LEVEL) * level
        own = torch.sqrt(self._prior[place] + self._noise + _LEVEL - row @ row)
        self._factor[count, :count], self._factor[count, count] = row, own
        self._explained[count] = (self._weighted @ self._phi[place] - row @ seen) / own
        self._level[count] = (math.sqrt(_LEVEL) - row @ level) / own
        self._variance -= self._explained[count].square()
        self.places.append(place)

    def _grow(self) -> None:
        more = len(self._level)
        self._factor = torch.nn.functional.pad(self._factor, (0, more, 0, more))
        self._explained = torch.nn.functional.pad(self._explained, (0, 0, 0, more))
        self._level = torch.nn.functional.pad(self._level, (0, more))
