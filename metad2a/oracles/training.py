"""The truth for a data set without a table: networks are really trained."""

import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from metad2a.data.image_set import ImageSet
from metad2a.fitting.loop import DivergedError
from metad2a.fitting.network import LabelledImages, fit_network, seeded
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import progress
from metad2a.spaces.base import Architecture, SearchSpace

_log = logging.getLogger(__name__)


class TrainingOracle:
    """Accuracy after training in a recipe.

    Args:
        space: of the architectures.
        train: images to learn from.
        valid: images to measure on; no one may have chosen anything by them.
        recipe: how networks are trained.
    """

    def __init__(self, space: SearchSpace, train: ImageSet, valid: ImageSet, recipe: Recipe) -> None:
        self.name = f"training:{recipe.name}"
        self._space, self._recipe = space, recipe
        self._num_classes = train.num_classes
        self._train = LabelledImages.of(train, recipe.resolution)
        self._valid = LabelledImages.of(valid, recipe.resolution)

    def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> Float[np.ndarray, " A"]:
        """See ``metad2a.oracles.base.Oracle.evaluate``; a training that diverges is NaN, and logged."""
        return np.array([self._train_one(arch, seed) for arch in progress(archs, label="train networks")])

    def _train_one(self, arch: Architecture, seed: int) -> float:
        with seeded(seed):
            net = self._space.build(arch, self._num_classes, **self._recipe.scale)
        try:
            return fit_network(net, self._train, self._valid, self._recipe, seed=seed).accuracy
        except DivergedError as error:
            _log.warning("%s: %s", self._space.format(arch), error)
            return float("nan")
