"""MetaD2A as one of the methods of a comparison."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from metad2a.data.cache import FeatureCache
from metad2a.data.features import FeatureSet
from metad2a.evaluation.compare.judge import Problem
from metad2a.evaluation.compare.methods import Method, Scores
from metad2a.models.checkpoint import Checkpoint
from metad2a.runtime import torch_rng
from metad2a.search.base import Searcher
from metad2a.search.generation import draw_sets
from metad2a.search.metad2a import MetaD2A
from metad2a.search.neighbourhood import log_probability
from metad2a.search.result import SearchResult
from metad2a.spaces.base import Architecture

_SETS = 32  # draws of the data set that a latent is the mean of


class MetaMethod(Method):
    """MetaD2A's candidates in its own order.

    Its scores are ``LABEL predictor`` (a surrogate, where there is one), ``LABEL generator`` (log-likelihood of the
    architecture, the space's rules left aside) and ``LABEL both``: the order in which a search hands out, those
    found by it first, each part by the predictor.

    Args:
        label: see ``Method``.
        model: generator and predictor.
        candidates: architectures that it generates.
        constrained: see ``MetaD2A.search``.
        refinements: see there.
    """

    looks = True

    def __init__(
        self,
        label: str,
        model: MetaD2A,
        *,
        candidates: int = 500,
        constrained: bool = True,
        refinements: int | None = None,
    ) -> None:
        super().__init__(label)
        self.model, self.candidates, self.constrained = model, candidates, constrained
        self.refinements = refinements
        self.scorers = tuple(f"{label} {name}" for name in ("predictor", "generator", "both"))
        self._features: tuple[Problem, FeatureSet] | None = None

    def identity(self) -> Mapping[str, Any]:
        """See ``Method.identity``."""
        return {
            "weights": digest(self.model.checkpoint),
            "candidates": self.candidates,
            "constrained": self.constrained,
            "refinements": self.refinements,
        }

    def prepare(self, problem: Problem) -> None:
        """Embed the images of ``problem``, once."""
        self.features(problem)

    def features(self, problem: Problem) -> FeatureSet:
        """Return the features of the images of ``problem``; those of the last one are kept."""
        if isinstance(problem.data, FeatureSet):
            return problem.data
        if self._features is None or self._features[0] is not problem:
            made = self.model.embed(problem.data, images_per_class=problem.images_per_class, cache=FeatureCache())
            self._features = problem, made
        return self._features[1]

    def searcher(self, problem: Problem, seed: int) -> Searcher:
        """See ``Method.searcher``."""
        return self.model.searcher(self.search(problem, seed))

    def scores(self, problem: Problem, archs: Sequence[Architecture], seed: int) -> dict[str, Scores]:
        """See ``Method.scores``."""
        predicted = self.model.predict(self.features(problem), archs, random_state=seed)
        handed_out = {candidate.arch for candidate in self.search(problem, seed).candidates}
        mine = np.array([self.model.space.format(arch) in handed_out for arch in archs])
        both = predicted + mine * (np.ptp(predicted) + 1.0)  # all that is handed out above all that is not
        values = (predicted, self._generator_scores(problem, archs, seed), both)
        return dict(zip(self.scorers, values, strict=True))

    def uncertain(self, problem: Problem, archs: Sequence[Architecture], seed: int) -> tuple[Scores, Scores, str]:
        """Return predicted accuracies, their standard deviations in percent, and where these come from.

        The surrogate's own, where there is one; else over random draws of the images.
        """
        features = self.features(problem)
        draws = self.model.predict_draws(features, archs, random_state=seed)
        known = np.array(self.model.deviations(features, archs), dtype=np.float64)
        if np.isnan(known).any():
            return draws.mean(0), draws.std(0, ddof=1), "over draws of the images"
        return draws.mean(0), known, "the model's own"

    def search(self, problem: Problem, seed: int, *, candidates: int | None = None) -> SearchResult:
        """Return what a search finds."""
        return self.model.search(
            self.features(problem),
            n_candidates=candidates or self.candidates,
            random_state=seed,
            constrained=self.constrained,
            refinements=self.refinements,
        )

    @torch.inference_mode()
    def latents(self, problem: Problem, seed: int, count: int = _SETS) -> Float[torch.Tensor, "B Z"]:
        """Return the generator's latents of ``count`` draws of the images."""
        model = self.model
        rng = torch_rng(seed, "compare latents")
        draws = draw_sets(self.features(problem), count, model.checkpoint.images_per_class, rng)
        return torch.cat([model.generator.encode(sets.to(model.device))[0] for sets in draws])

    def _generator_scores(self, problem: Problem, archs: Sequence[Architecture], seed: int) -> Scores:
        found = log_probability(self.model.generator, self.model.space, self.latents(problem, seed), archs)
        return found.double().numpy()


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
