"""A predictor, or several as an ensemble: it ranks whatever architectures it is given."""

from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metad2a.data.features import FeatureSet, SetBatch
from metad2a.errors import CheckpointError
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.checkpoint import Checkpoint, kind_of
from metad2a.models.predictor import Predictor
from metad2a.runtime import numpy_rng, resolve_device
from metad2a.search.ranker import Ranker
from metad2a.search.refinement import Draws
from metad2a.spaces.base import Architecture
from metad2a.spaces.product import ProductSpace

_GRAPHS_A_BATCH = 1024
_REFERENCES = 256  # architectures that the scores of the members of an ensemble are measured by


class PredictorRanker(Ranker):
    """Ranks by a predictor, or by the mean of several.

    The scores of predictors need not have the same level and spread. Each one's are standardised by those that it
    gives some architectures of the space on the data set at hand, and the mean of these is told on the first one's
    scale.

    Args:
        checkpoint: with a predictor or several; its other models are not looked at.
        name: that results give it.
        device: where to compute.

    Raises:
        CheckpointError: it has no predictor, or does not say what its scores are in percent.
    """

    def __init__(self, checkpoint: Checkpoint, *, name: str, device: str = "auto") -> None:
        super().__init__(checkpoint, name=name)
        self.surrogate = None
        self.device = resolve_device(device)
        others = [part for part in checkpoint.parts if kind_of(part) == "predictor" and part != "predictor"]
        self.members: tuple[Predictor, ...] = tuple(
            checkpoint.build(part).to(self.device) for part in ("predictor", *others)
        )

    @classmethod
    def open(cls, *paths: str | Path, device: str = "auto") -> "PredictorRanker":
        """Load files that hold predictors, see ``__init__``.

        Raises:
            CheckpointError: a file is unusable, has no predictor, or is of another space or embedder.
        """
        return cls(Checkpoint.joined(*paths), name=" + ".join(str(path) for path in paths), device=device)

    def deviations(self, features: FeatureSet, archs: Sequence[Architecture]) -> list[float | None]:
        """Return the standard deviation over the members of an ensemble in percent; None of a single predictor."""
        if len(self.members) == 1 or not archs:
            return [None] * len(archs)
        each = self._each(self._encoded(self._draws(features, 0)), archs).mean(1)
        deviations: list[float | None] = each.std(0, ddof=1).tolist()
        return deviations

    def scorer(self, draws: Iterable[SetBatch]) -> Draws:
        """Return the function that predicts accuracies on each of ``draws``."""
        return partial(self._mean, self._encoded(draws))

    def _scorer(self, features: FeatureSet, random_state: int) -> Draws:
        return self.scorer(self._draws(features, random_state))

    @torch.inference_mode()
    def _encoded(self, draws: Iterable[SetBatch]) -> list["_OnDataSet"]:
        """Return the members, each with its vectors of the data set and the scale of its scores there."""
        if self.checkpoint.target is None:
            raise CheckpointError("the predictor's checkpoint does not say how its scores relate to accuracy.")
        kept = [batch.to(self.device) for batch in draws]
        found = [_OnDataSet(one, torch.cat([one.encode_sets(batch) for batch in kept])) for one in self.members]
        if len(found) > 1:
            archs = self.space.sample(_REFERENCES, numpy_rng("ensemble", "references"))
            for one in found:
                one.measure(self._scores(one, archs))
        return found

    def _mean(self, members: list["_OnDataSet"], archs: Sequence[Architecture]) -> Float[np.ndarray, "D A"]:
        return self._each(members, archs).mean(0)

    def _each(self, members: list["_OnDataSet"], archs: Sequence[Architecture]) -> Float[np.ndarray, "M D A"]:
        """Return the accuracies that each member predicts, in percent, on the scale of the first."""
        target = self.checkpoint.target
        assert target is not None  # noqa: S101  (_encoded has looked)
        first = members[0]
        scores = np.stack([self._scores(one, archs) for one in members])
        for place, one in enumerate(members[1:], start=1):
            scores[place] = first.level + first.spread * (scores[place] - one.level) / one.spread
        return target["mean"] + target["std"] * scores

    @torch.inference_mode()
    def _scores(self, member: "_OnDataSet", archs: Sequence[Architecture]) -> Float[np.ndarray, "D A"]:
        predictor, sets = member.predictor, member.sets
        scores = [sets.new_empty(len(sets), 0)]
        for start in range(0, len(archs), _GRAPHS_A_BATCH):
            some = archs[start : start + _GRAPHS_A_BATCH]
            graphs = self.space.encode(some).to(self.device)
            vectors = predictor.encode_archs(graphs, *self._known(predictor, some))
            scores.append(predictor.score(sets, vectors))
        return torch.cat(scores, dim=1).double().cpu().numpy()

    def _known(self, predictor: Predictor, archs: Sequence[Architecture]) -> tuple[Float[Tensor, "A D"], ...]:
        """Return what a predictor reads of architectures beside their graphs, if anything."""
        if not predictor.arch_features:
            return ()
        matrix = self._arch_features.matrix(archs)
        if matrix.shape[1] != predictor.arch_features:
            raise CheckpointError(
                f"the predictor reads {predictor.arch_features} features of an architecture, but here "
                f"'{self.space.name}' has {matrix.shape[1]}: it was trained with another table of scores. Train it "
                "again, or use the metad2a that it was trained with."
            )
        return (torch.from_numpy(matrix).to(self.device),)

    @cached_property
    def _arch_features(self) -> ArchFeatures:
        return ArchFeatures(cast("ProductSpace", self.space))


class _OnDataSet:
    """A predictor, its vectors of a data set, and level and spread of the scores that it gives there."""

    def __init__(self, predictor: Predictor, sets: Float[Tensor, "D Z"]) -> None:
        self.predictor, self.sets = predictor, sets
        self.level, self.spread = 0.0, 1.0

    def measure(self, scores: Float[np.ndarray, "D A"]) -> None:
        mean = scores.mean(0)
        self.level, self.spread = float(mean.mean()), max(float(mean.std()), 1e-12)
