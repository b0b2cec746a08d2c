"""A searcher that starts from MetaD2A's samples."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal, get_args

import numpy as np

from metad2a import plugins
from metad2a.errors import ConfigError
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.methods import Scores, make_searcher
from metad2a.evaluation.compare.problem import Problem
from metad2a.search.base import Searcher
from metad2a.search.metad2a import MetaD2A
from metad2a.search.pareto import pareto_front
from metad2a.search.result import SearchResult
from metad2a.spaces.base import Architecture
from metad2a.spaces.extremes import best_by

Order = Literal["accuracy", "front", "limits"]
SAMPLES = 50
"""Half of the architectures that NSGANetV2 evaluates before it has a surrogate."""
LIMITS = 5
"""Searches of ``limits``, each with another limit of cost."""


class StartedMethod(MetaMethod):
    """A searcher whose first architectures are those that MetaD2A proposes for the data set.

    Args:
        label: see ``Method``.
        model: that proposes.
        name: of the searcher.
        options: of its class.
        samples: architectures that it starts from.
        order: which of the candidates: those of the highest predicted ``accuracy``; by ``front``, those that no
            other one beats in predicted accuracy and cost, then those that only these beat, and so on; or by
            ``limits`` the best of several searches in turn, whose limits of cost grow by equal ratios from the
            least to the most.
        learned: other arguments of ``MetaMethod``.

    Raises:
        UnknownNameError: there is no such searcher.
        ConfigError: there is no such order.
    """

    def __init__(
        self,
        label: str,
        model: MetaD2A,
        name: str,
        options: Mapping[str, Any],
        *,
        samples: int = SAMPLES,
        order: str = "accuracy",
        **learned: Any,
    ) -> None:
        super().__init__(label, model, **learned)
        if order not in get_args(Order):
            raise ConfigError(f"methods: '{label}': order={order}. Choose one of {', '.join(get_args(Order))}.")
        plugins.load("searchers", name)
        self._name, self._options = name, dict(options)
        self._samples, self._order = samples, order
        self.scorers = ()  # those of the model alone

    def identity(self) -> Mapping[str, Any]:
        """See ``Method.identity``."""
        own = {"searcher": self._name, "options": self._options, "samples": self._samples, "order": self._order}
        return {**super().identity(), **own}

    def searcher(self, problem: Problem, seed: int) -> Searcher:
        """See ``Method.searcher``; MetaD2A's search is part of it."""
        first = self._proposed(problem, seed)[: self._samples]
        return make_searcher(self._name, problem, seed, {**self._options, "first": first})

    def _proposed(self, problem: Problem, seed: int) -> list[Architecture]:
        if self._order == "limits":
            return self._limited(problem, seed)
        archs = self._archs(self.search(problem, seed))
        if self._order == "accuracy":
            return archs
        # By rank, not by prediction: the printed ones are clipped and may tie.
        return by_fronts(archs, -np.arange(len(archs), dtype=np.float64), problem.costs(archs), self._samples)

    def _limited(self, problem: Problem, seed: int) -> list[Architecture]:
        """Return the best candidate under each limit of cost, then the second of each, and so on."""
        scale = problem.every_cost.counted
        ends = [best_by(problem.space, lambda archs: -problem.costs(archs)), best_by(problem.space, problem.costs)]
        least, most = problem.costs(ends).tolist()
        limits = np.geomspace(least, most, LIMITS + 1)[1:].tolist()
        searches = [
            self.model.search(
                self.features(problem, seed),
                n_candidates=max(self._samples, self.candidates // LIMITS),
                random_state=seed,
                constrained=self.constrained,
                refinements=self.refinements,
                want=self.want,
                resolution=scale.resolution,
                scale=scale.options or None,
                **{f"max_{problem.cost}": limit},
            )
            for limit in limits
        ]
        turns = zip_longest(*map(self._archs, searches))
        return list(dict.fromkeys(arch for turn in turns for arch in turn if arch is not None))

    def _archs(self, found: SearchResult) -> list[Architecture]:
        return [self.model.space.parse(candidate.arch) for candidate in found.candidates]


def by_fronts(archs: Sequence[Architecture], value: Scores, cost: Scores, count: int) -> list[Architecture]:
    """Return ``count`` of ``archs``, front by front: first those that no other one beats in value and cost."""
    left = np.arange(len(archs))
    chosen: list[Architecture] = []
    while len(left) and len(chosen) < count:
        front = left[pareto_front(value[left], cost[left])]
        chosen += [archs[place] for place in front]
        left = np.setdiff1d(left, front)
    return chosen[:count]
