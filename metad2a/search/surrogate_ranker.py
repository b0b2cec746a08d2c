"""A surrogate alone: it ranks whatever architectures it is given, and learns from true evaluations."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float

from metad2a.data.features import FeatureSet, SetBatch
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.reference import class_means
from metad2a.models.surrogate import LinearPosterior, Surrogate, set_means
from metad2a.search.querying import SurrogateSearcher
from metad2a.search.ranker import Ranker
from metad2a.search.refinement import Draws
from metad2a.spaces.base import Architecture
from metad2a.spaces.product import ProductSpace


class SurrogateRanker(Ranker):
    """Ranks by a surrogate.

    Args:
        checkpoint: with a surrogate; its other models are not looked at.
        name: that results give it.
        features: of architectures, those that the surrogate learned from; None: those of the space.

    Raises:
        CheckpointError: it has no surrogate.
    """

    def __init__(self, checkpoint: Checkpoint, *, name: str, features: ArchFeatures | None = None) -> None:
        super().__init__(checkpoint, name=name)
        self.surrogate: Surrogate = checkpoint.build("surrogate")
        self._arch_features = features or ArchFeatures(cast("ProductSpace", self.space))

    @classmethod
    def open(cls, *paths: str | Path) -> "SurrogateRanker":
        """Load a file that holds a surrogate, see ``__init__``, or several that do together.

        Raises:
            CheckpointError: a file is unusable, they do not belong together, or there is no surrogate.
        """
        return cls(Checkpoint.joined(*paths), name=" + ".join(str(path) for path in paths))

    def deviations(self, features: FeatureSet, archs: Sequence[Architecture]) -> list[float | None]:
        """Return the standard deviation of each predicted accuracy in percent."""
        _, std = self.belief(features).predict(torch.from_numpy(self._arch_features.matrix(archs)))
        deviations: list[float | None] = (self.surrogate.target_std * std).tolist()
        return deviations

    def belief(self, features: FeatureSet) -> LinearPosterior:
        """Return what is believed of a data set from all its images."""
        self.checkpoint.check(embedder_fingerprint=features.embedder)
        every = class_means(features, torch.arange(len(features.classes)), self.checkpoint.images_per_class)
        return self.surrogate.posterior(self.surrogate.set_vector(every.mean(0)))

    def searcher(self, features: FeatureSet, archs: Sequence[Architecture]) -> SurrogateSearcher:
        """Return the searcher that spends true evaluations on ``archs``, distinct ones; of equals the first."""
        return SurrogateSearcher(
            self.space,
            archs,
            torch.from_numpy(self._arch_features.matrix(archs)),
            self.belief(features),
            spread=self.surrogate.target_std,
        )

    def scorer(self, draws: Iterable[SetBatch]) -> Draws:
        """Return the function that predicts accuracies on each of ``draws``."""
        surrogate = self.surrogate
        means = [mean for sets in draws for mean in set_means(sets)]
        weights = torch.stack([surrogate.mean_weights(surrogate.set_vector(mean)) for mean in means]).numpy()

        def score(archs: Sequence[Architecture]) -> Float[np.ndarray, "D A"]:
            phi = self._arch_features.matrix(archs).astype(np.float64)
            return surrogate.target_mean + surrogate.target_std * (weights @ phi.T)

        return score

    def _scorer(self, features: FeatureSet, random_state: int) -> Draws:
        return self.scorer(self._draws(features, random_state))
