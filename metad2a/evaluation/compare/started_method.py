"""A searcher that starts from MetaD2A's samples."""

from collections.abc import Mapping, Sequence
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
from metad2a.spaces.base import Architecture

Order = Literal["accuracy", "front"]
SAMPLES = 50
"""Half of the architectures that NSGANetV2 evaluates before it has a surrogate."""


class StartedMethod(MetaMethod):
    """A searcher whose first architectures are those that MetaD2A proposes for the data set.

    Args:
        label: see ``Method``.
        model: that proposes.
        name: of the searcher.
        options: of its class.
        samples: architectures that it starts from.
        order: which of the candidates: those of the highest predicted ``accuracy``; or by ``front``, those that no
            other one beats in predicted accuracy and cost, then those that only these beat, and so on.
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
        found = self.search(problem, seed).candidates
        archs = [self.model.space.parse(candidate.arch) for candidate in found]
        if self._order == "front":
            # By rank, not by prediction: the printed ones are clipped and may tie.
            archs = by_fronts(archs, -np.arange(len(archs), dtype=np.float64), problem.costs(archs), self._samples)
        return make_searcher(self._name, problem, seed, {**self._options, "first": archs[: self._samples]})


def by_fronts(archs: Sequence[Architecture], value: Scores, cost: Scores, count: int) -> list[Architecture]:
    """Return ``count`` of ``archs``, front by front: first those that no other one beats in value and cost."""
    left = np.arange(len(archs))
    chosen: list[Architecture] = []
    while len(left) and len(chosen) < count:
        front = left[pareto_front(value[left], cost[left])]
        chosen += [archs[place] for place in front]
        left = np.setdiff1d(left, front)
    return chosen[:count]
