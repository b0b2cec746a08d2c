"""MetaD2A as one of the methods of a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from metad2a.errors import CheckpointError
from metad2a.evaluation.compare.learned_method import Dataset, LearnedMethod
from metad2a.evaluation.compare.methods import Scores
from metad2a.evaluation.compare.problem import Problem
from metad2a.runtime import torch_rng
from metad2a.search.base import Searcher
from metad2a.search.generation import draw_sets
from metad2a.search.metad2a import MetaD2A
from metad2a.search.neighbourhood import log_probability
from metad2a.search.result import SearchResult
from metad2a.spaces.base import Architecture

_SETS = 32  # draws of the data set that a latent is the mean of


class MetaMethod(LearnedMethod):
    """MetaD2A's candidates in its own order, or in the order in which its surrogate asks for them.

    Its scores are ``LABEL predictor`` (a surrogate, where there is one), ``LABEL generator`` (log-likelihood of the
    architecture, the space's rules left aside) and ``LABEL both``: the order in which a search hands out, those
    found by it first, each part by the predictor.

    Args:
        label: see ``Method``.
        model: generator, and predictor or surrogate.
        dataset: see ``LearnedMethod``.
        candidates: architectures that it generates.
        constrained: see ``MetaD2A.search``.
        refinements: see there.
        queries: whether each true evaluation teaches the surrogate what to ask for next (``search --queries``).
        want: what the generator is told, see ``MetaD2A.search``.

    Raises:
        CheckpointError: ``queries`` without a surrogate.
        ConfigError: the generator cannot be told that.
    """

    def __init__(
        self,
        label: str,
        model: MetaD2A,
        *,
        dataset: Dataset = "own",
        candidates: int = 500,
        constrained: bool = True,
        refinements: int | None = None,
        queries: bool = False,
        want: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(label, model, dataset=dataset)
        if queries and model.surrogate is None:
            raise CheckpointError(
                f"methods: '{label}' is to learn from true evaluations (queries=true), but {model.name} has no "
                "surrogate. Add one to its checkpoints: GENERATOR+SURROGATE."
            )
        self.model, self.candidates, self.constrained = model, candidates, constrained
        model.generator.aim(want)
        self.refinements, self.queries, self.want = refinements, queries, dict(want or {})
        self.scorers = tuple(f"{label} {name}" for name in ("predictor", "generator", "both"))

    def identity(self) -> Mapping[str, Any]:
        """See ``Method.identity``."""
        return {
            **super().identity(),
            "candidates": self.candidates,
            "constrained": self.constrained,
            "refinements": self.refinements,
            **({"queries": True} if self.queries else {}),  # what was kept before there was a choice stays true
            **({"want": self.want} if self.want else {}),
        }

    def searcher(self, problem: Problem, seed: int) -> Searcher:
        """See ``Method.searcher``."""
        found = self.search(problem, seed)
        return self.model.query_searcher(found) if self.queries else self.model.searcher(found)

    def scores(self, problem: Problem, archs: Sequence[Architecture], seed: int) -> dict[str, Scores]:
        """See ``Method.scores``."""
        predicted = self.model.predict(self.features(problem, seed), archs, random_state=seed)
        handed_out = {candidate.arch for candidate in self.search(problem, seed).candidates}
        mine = np.array([self.model.space.format(arch) in handed_out for arch in archs])
        both = predicted + mine * (np.ptp(predicted) + 1.0)  # all that is handed out above all that is not
        values = (predicted, self._generator_scores(problem, archs, seed), both)
        return dict(zip(self.scorers, values, strict=True))

    def handed_out(self, problem: Problem, seed: int, count: int) -> list[Architecture]:
        """See ``LearnedMethod.handed_out``."""
        found = self.search(problem, seed, candidates=count)
        return [self.model.space.parse(candidate.arch) for candidate in found.candidates]

    def search(self, problem: Problem, seed: int, *, candidates: int | None = None) -> SearchResult:
        """Return what a search finds."""
        return self.model.search(
            self.features(problem, seed),
            n_candidates=candidates or self.candidates,
            random_state=seed,
            constrained=self.constrained,
            refinements=self.refinements,
            want=self.want,
        )

    @torch.inference_mode()
    def latents(self, problem: Problem, seed: int, count: int = _SETS) -> Float[torch.Tensor, "B Z"]:
        """Return the generator's latents of ``count`` draws of the images."""
        model = self.model
        rng = torch_rng(seed, "compare latents")
        draws = draw_sets(self.features(problem, seed), count, model.checkpoint.images_per_class, rng)
        return torch.cat([model.generator.latents(sets.to(model.device), self.want) for sets in draws])

    def _generator_scores(self, problem: Problem, archs: Sequence[Architecture], seed: int) -> Scores:
        found = log_probability(self.model.generator, self.model.space, self.latents(problem, seed), archs)
        return found.double().numpy()
