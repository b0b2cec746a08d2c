"""What methods with meta-trained models have in common: they see the embedded images of a data set."""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from metad2a.data.cache import FeatureCache
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.errors import CheckpointError, ConfigError
from metad2a.evaluation.compare.methods import Method, Scores
from metad2a.evaluation.compare.problem import Problem
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.surrogate import Surrogate
from metad2a.runtime import numpy_rng
from metad2a.search.ranker import Ranker
from metad2a.spaces.base import Architecture

Dataset = Literal["own", "shuffled"]


class Uncertain(NamedTuple):
    """Predicted accuracies and how sure they are.

    Attributes:
        predicted: in percent.
        std: their standard deviations in percent.
        source: where these come from.
        surrogate: what they are of, which means ranks by them; None for a predictor of accuracies.
    """

    predicted: Scores
    std: Scores
    source: str
    surrogate: Surrogate | None


class LearnedMethod(Method):
    """A method with meta-trained models.

    Attributes:
        ranker: what ranks.
        shuffled: whether it sees another data set than it should.

    Args:
        label: see ``Method``.
        model: what ranks.
        dataset: ``own``; or ``shuffled``: the embedding is that of one of the problem's ``others``, drawn by the
            seed, with as many of its classes where it has so many. What is lost is what looking at the data set
            is worth.
    """

    looks = True

    def __init__(self, label: str, model: Ranker, *, dataset: Dataset = "own") -> None:
        super().__init__(label)
        self.ranker: Ranker = model
        self.shuffled = dataset == "shuffled"
        self._embedded: dict[int, tuple[ImageSet, FeatureSet]] = {}

    @property
    def checkpoint(self) -> Checkpoint:
        """Of the models."""
        return self.ranker.checkpoint

    def identity(self) -> Mapping[str, Any]:
        """See ``Method.identity``."""
        return {"weights": digest(self.checkpoint)}

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot search for.

        Raises:
            CheckpointError: it was trained for another space.
            ConfigError: it is to see another data set, and there is none.
        """
        try:
            self.checkpoint.check(space=problem.space.name)
        except CheckpointError as error:
            raise CheckpointError(
                f"methods: '{self.label}': {error} Checkpoints are given as checkpoint=NAME for all methods, or in "
                "the text of one: metad2a:NAME, first=metad2a:NAME."
            ) from error
        if self.shuffled and not problem.others:
            raise ConfigError(
                f"methods: '{self.label}' is to see another data set than {problem.data.name} (dataset=shuffled), "
                "but there is none. Give others=[IMAGES, ...]."
            )

    def prepare(self, problem: Problem, seed: int) -> None:
        """Embed the images that it looks at, once."""
        self.features(problem, seed)

    def features(self, problem: Problem, seed: int) -> FeatureSet:
        """Return the features that a search with this seed sees; ``check`` says whether there are any."""
        if not self.shuffled:
            return self._embed(problem.data, problem.images_per_class)
        rng = numpy_rng("another data set", seed, *problem.data.classes)
        other = self._embed(problem.others[rng.integers(len(problem.others))], problem.images_per_class)
        if len(other.classes) <= problem.num_classes:
            return other
        return other.keep_classes(rng.permutation(len(other.classes))[: problem.num_classes].tolist())

    @abstractmethod
    def handed_out(self, problem: Problem, seed: int, count: int) -> list[Architecture]:
        """Return the first ``count`` architectures that it proposes before any true evaluation."""

    def uncertain(self, problem: Problem, archs: Sequence[Architecture], seed: int) -> Uncertain:
        """Return predictions with standard deviations: the model's own, else those over draws of the images."""
        features = self.features(problem, seed)
        draws = self.ranker.predict_draws(features, archs, random_state=seed)
        known = np.array(self.ranker.deviations(features, archs), dtype=np.float64)
        if np.isnan(known).any():
            return Uncertain(draws.mean(0), draws.std(0, ddof=1), "over draws of the images", None)
        return Uncertain(draws.mean(0), known, "the model's own", self.ranker.surrogate)

    def _embed(self, data: ImageSet | FeatureSet, images_per_class: int) -> FeatureSet:
        if isinstance(data, FeatureSet):
            return data
        if id(data) not in self._embedded:  # the data set is kept beside its features, so that no other has its id
            made = self.ranker.embed(data, images_per_class=images_per_class, cache=FeatureCache())
            self._embedded[id(data)] = data, made
        return self._embedded[id(data)][1]


def digest(checkpoint: Checkpoint) -> str:
    """Return a digest of all weights and of what they mean."""
    made = hashlib.blake2b(repr((checkpoint.space, checkpoint.target, checkpoint.images_per_class)).encode())
    for name, part in sorted(checkpoint.parts.items()):
        made.update(repr((name, sorted(part.config.items()))).encode())
        for key, tensor in sorted(part.state.items()):
            made.update(key.encode())
            made.update(
                tensor.contiguous().view(torch.uint8).numpy().data if tensor.ndim else repr(tensor.item()).encode()
            )
    return made.hexdigest()[:16]
