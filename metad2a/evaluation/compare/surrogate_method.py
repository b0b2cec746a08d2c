"""A surrogate alone as one of the methods of a comparison: it ranks the whole space."""

from collections.abc import Mapping, Sequence
from typing import Any

from metad2a.errors import ConfigError
from metad2a.evaluation.compare.learned_method import Dataset, LearnedMethod
from metad2a.evaluation.compare.methods import Scores, ranked
from metad2a.evaluation.compare.problem import Problem
from metad2a.runtime import numpy_rng
from metad2a.search.base import Ranked, Searcher
from metad2a.search.surrogate_ranker import SurrogateRanker
from metad2a.spaces.base import Architecture


class SurrogateMethod(LearnedMethod):
    """All architectures of a space in the order of a surrogate, or in that in which it asks for them.

    Args:
        label: see ``Method``; its one score is called so, too.
        model: the surrogate.
        dataset: see ``LearnedMethod``.
        queries: whether each true evaluation teaches it what to ask for next; else its mean decides.

    Raises:
        ConfigError: the space cannot be listed.
    """

    def __init__(
        self, label: str, model: SurrogateRanker, *, dataset: Dataset = "own", queries: bool = False
    ) -> None:
        super().__init__(label, model, dataset=dataset)
        if not model.space.listable:
            raise ConfigError(
                f"methods: '{label}' would rank all of '{model.space.name}', which cannot be listed. "
                "Let a generator propose: metad2a:GENERATOR+SURROGATE."
            )
        self.model, self.queries = model, queries
        self.scorers = (label,)

    def identity(self) -> Mapping[str, Any]:
        """See ``Method.identity``."""
        return {**super().identity(), "alone": True, "queries": self.queries}

    def searcher(self, problem: Problem, seed: int) -> Searcher:
        """See ``Method.searcher``."""
        archs = list(problem.space.enumerate())
        if not self.queries:
            return Ranked(self.handed_out(problem, seed, len(archs)))
        shuffled = numpy_rng("ties", seed).permutation(len(archs))  # isomorphic ones are equal to the surrogate
        return self.model.searcher(self.features(problem, seed), [archs[place] for place in shuffled])

    def scores(self, problem: Problem, archs: Sequence[Architecture], seed: int) -> dict[str, Scores]:
        """See ``Method.scores``."""
        return {self.label: self.model.predict(self.features(problem, seed), archs, random_state=seed)}

    def handed_out(self, problem: Problem, seed: int, count: int) -> list[Architecture]:
        """See ``LearnedMethod.handed_out``."""
        archs = list(problem.space.enumerate())
        return ranked(archs, self.scores(problem, archs, seed)[self.label], seed=seed)[:count]
