"""What meta-trained models that rank have in common: they embed images as in their meta-training, and predict."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from metad2a.data.cache import FeatureCache, choose_images, embed
from metad2a.data.embedders.base import Embedder, get_embedder
from metad2a.data.features import FeatureSet, SetBatch
from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.surrogate import Surrogate
from metad2a.runtime import torch_rng
from metad2a.search.generation import draw_sets
from metad2a.search.refinement import Draws
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.registry import get_space

DRAWS = 10
"""Random draws of the images that a prediction is the mean of."""


class Ranker(ABC):
    """Predicts accuracies of architectures on a data set.

    Attributes:
        checkpoint: of the models.
        name: that results give it.
        space: of the architectures.
        surrogate: what ranks and knows how sure it is; None where a predictor does.
    """

    surrogate: Surrogate | None

    def __init__(self, checkpoint: Checkpoint, *, name: str) -> None:
        self.checkpoint = checkpoint
        self.name = name
        self.space: SearchSpace = get_space(checkpoint.space)

    def embedder(self) -> Embedder:
        """Return the embedder this checkpoint was meta-trained with.

        Raises:
            CheckpointError: the installed one gives other features.
        """
        embedder = get_embedder(str(self.checkpoint.embedder["name"]))
        self.checkpoint.check(embedder=embedder)
        return embedder

    def embed(
        self,
        images: ImageSet,
        *,
        images_per_class: int = 50,
        random_state: int = 0,
        cache: FeatureCache | None = None,
    ) -> FeatureSet:
        """Embed up to ``images_per_class`` images of each class; do it once, search as often as you like."""
        if images_per_class < 1:
            raise ConfigError(f"images_per_class={images_per_class}: at least one image a class is needed.")
        chosen = choose_images(images, images_per_class, random_state)
        return embed(images, self.embedder(), indices=chosen, cache=cache)

    def predict(
        self, features: FeatureSet, archs: Sequence[Architecture], *, random_state: int = 0
    ) -> Float[np.ndarray, " A"]:
        """Return the predicted accuracy of each architecture in percent, averaged over random draws of images.

        See ``predict_draws`` for the rest.
        """
        return self.predict_draws(features, archs, random_state=random_state).mean(0)

    def predict_draws(
        self, features: FeatureSet, archs: Sequence[Architecture], *, random_state: int = 0
    ) -> Float[np.ndarray, "D A"]:
        """Return the predicted accuracy of each architecture in percent on each of some random draws of images.

        The model is linear in its last layer: far from what it has seen, a value may lie outside 0..100.
        All architectures see the same draws: a difference between two is never one of luck with the images.

        Raises:
            CheckpointError: the features are of another embedder than the checkpoint's.
        """
        return self._scorer(features, random_state)(archs)

    def _draws(self, features: FeatureSet, random_state: int) -> Iterable[SetBatch]:
        """Return the random draws of images that predictions are made of; see ``predict_draws`` for the error."""
        self.checkpoint.check(embedder_fingerprint=features.embedder)
        return draw_sets(features, DRAWS, self.checkpoint.images_per_class, torch_rng(random_state, "predict"))

    @abstractmethod
    def deviations(self, features: FeatureSet, archs: Sequence[Architecture]) -> Sequence[float | None]:
        """Return the standard deviation of each predicted accuracy in percent; None where nobody knows."""

    @abstractmethod
    def _scorer(self, features: FeatureSet, random_state: int) -> Draws:
        """Return the function behind ``predict_draws``; the data set is drawn and encoded once, here."""
