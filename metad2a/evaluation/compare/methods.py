"""What a method is: given a data set and a seed, a searcher; so all are judged by the same loop."""

import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a import plugins
from metad2a.data.features import FeatureSet
from metad2a.errors import ArchitectureError, ConfigError
from metad2a.evaluation.compare.networks import COSTS
from metad2a.evaluation.compare.problem import Problem
from metad2a.proxies.base import Proxy, get_proxy
from metad2a.proxies.network import Inputs, NetworkProxy
from metad2a.runtime import numpy_rng
from metad2a.search.base import Ranked, Searcher, get_searcher
from metad2a.search.extremes import Descending
from metad2a.search.random_search import RandomSearch
from metad2a.spaces.base import Architecture

Scores = Float[np.ndarray, " A"]


class Method(ABC):
    """One way to find architectures for a data set.

    Attributes:
        label: how reports call it.
        looks: whether it looks at the images; else only the number of classes counts.
        shuffled: whether it looks at one of the problem's other data sets instead.
        scorers: names of the scores that it gives to any architecture, see ``scores``.
    """

    looks: bool = False
    shuffled: bool = False
    scorers: tuple[str, ...] = ()

    def __init__(self, label: str) -> None:
        self.label = label

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Return plain data: all that what it finds depends on, beside data set and seed."""

    @abstractmethod
    def searcher(self, problem: Problem, seed: int) -> Searcher:
        """Return a fresh searcher for a data set."""

    def check(self, problem: Problem) -> None:  # noqa: B027 - most can search for anything
        """Refuse what it cannot search for."""

    def prepare(self, problem: Problem, seed: int) -> None:  # noqa: B027 - most have nothing to prepare
        """Do once for a data set and a seed what is not counted as the method's time, if anything."""

    def scores(self, problem: Problem, archs: Sequence[Architecture], seed: int) -> dict[str, Scores]:
        """Return for each of ``scorers`` a score of each architecture, higher meaning better."""
        return {}


def ranked(archs: Sequence[Architecture], scores: Scores, *, seed: int) -> list[Architecture]:
    """Return ``archs``, best first; equals in random order, what has no score last.

    Ties are not broken by the order of ``archs``: that of a table may know more than the score does.
    """
    shuffled = numpy_rng("ties", seed).permutation(len(archs))
    worth = np.where(np.isnan(scores), -np.inf, scores)[shuffled]
    return [archs[i] for i in shuffled[np.argsort(-worth, kind="stable")]]


def make_searcher(name: str, problem: Problem, seed: int, options: Mapping[str, Any]) -> Searcher:
    """Return a searcher; one that weighs a cost weighs that which is reported, unless ``options`` say another."""
    weighs = "cost" in inspect.signature(plugins.load("searchers", name)).parameters
    cost = {"cost": problem.costs} if weighs else {}
    return get_searcher(name, problem.space, seed=seed, **{**cost, **options})


class SearcherMethod(Method):
    """A searcher that is told accuracies.

    Args:
        label: see ``Method``.
        name: of the plug-in in the group ``metad2a.searchers``.
        options: of its class.
    """

    def __init__(self, label: str, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(label)
        self._name, self._options = name, dict(options or {})
        plugins.load("searchers", name)  # who misspells it learns so before anything is computed

    def identity(self) -> Mapping[str, Any]:
        """See ``Method.identity``."""
        return {"searcher": self._name, "options": self._options}

    def searcher(self, problem: Problem, seed: int) -> Searcher:
        """See ``Method.searcher``."""
        return make_searcher(self._name, problem, seed, self._options)


class ProxyMethod(Method):
    """A training-free score: the whole space in its order where that is cheap, else the best of random cells.

    A space that cannot be listed is walked from its best architecture on, see ``Descending``.

    Args:
        label: see ``Method``.
        name: of the proxy.
        candidates: random architectures that are scored where each costs a network.
        batch_size: images of a score; its own number when None, mostly 64.
    """

    def __init__(self, label: str, name: str, *, candidates: int = 100, batch_size: int | None = None) -> None:
        super().__init__(label)
        proxy = get_proxy(name)
        self._name, self._candidates = name, candidates
        self.dear = self.looks = isinstance(proxy, NetworkProxy)
        self._usual = proxy.inputs if isinstance(proxy, NetworkProxy) else Inputs()
        self._batch_size = self._usual.batch_size if batch_size is None else batch_size
        self.scorers = () if self.dear else (label,)

    def identity(self) -> Mapping[str, Any]:
        """See ``Method.identity``."""
        more: dict[str, Any] = {"candidates": self._candidates, "batch_size": self._batch_size}
        if self._usual.scale:
            more |= {"resolution": self._usual.resolution, "scale": dict(self._usual.scale)}
        return {"proxy": self._name} | (more if self.dear else {})

    def searcher(self, problem: Problem, seed: int) -> Searcher:
        """See ``Method.searcher``."""
        space, proxy = problem.space, self._proxy(problem, seed)
        if not self.dear and not space.listable:
            return Descending(space, lambda some: self._score(proxy, problem, some), seed=seed)
        if self.dear:
            archs = RandomSearch(space, seed=seed).ask(min(self._candidates, space.size))
        else:
            archs = list(space.enumerate())
        scores = self._score(proxy, problem, archs)
        return Ranked(ranked(archs, scores, seed=seed))

    def scores(self, problem: Problem, archs: Sequence[Architecture], seed: int) -> dict[str, Scores]:
        """See ``Method.scores``."""
        return dict.fromkeys(self.scorers, self._score(self._proxy(problem, seed), problem, archs))

    def _score(self, proxy: Proxy, problem: Problem, archs: Sequence[Architecture]) -> Scores:
        if self._name in COSTS:  # which of two is larger may depend on the scale
            return problem.every_cost.of(self._name, archs)
        return proxy.score(problem.space, archs, problem.num_classes)

    def _proxy(self, problem: Problem, seed: int) -> Proxy:
        if not self.dear:
            return get_proxy(self._name)
        # Of features the images are gone: then the score is one of the space, on noise.
        images = None if isinstance(problem.data, FeatureSet) else problem.data
        usual = replace(self._usual, batch_size=self._batch_size)
        inputs = usual.for_data(images, resolution=problem.space.resolution, seed=seed)
        return get_proxy(self._name, inputs=inputs)


class ListMethod(Method):
    """A fixed list, whatever the data set: what is known of architectures alone.

    Args:
        label: see ``Method``.
        worth: a number for each architecture's text, higher coming first.
    """

    def __init__(self, label: str, worth: Mapping[str, float]) -> None:
        super().__init__(label)
        self._worth = dict(worth)

    def identity(self) -> Mapping[str, Any]:
        """See ``Method.identity``."""
        content = json.dumps(sorted(self._worth.items()))
        return {"list": hashlib.blake2b(content.encode(), digest_size=8).hexdigest()}

    def check(self, problem: Problem) -> None:
        """Refuse a list of another space.

        Raises:
            ConfigError: it is one.
        """
        try:
            for text in self._worth:
                problem.space.parse(text)
        except ArchitectureError as error:
            raise ConfigError(
                f"methods: '{self.label}' lists what is no architecture of '{problem.space.name}': {error} "
                "Give a database of this space (static:FOLDER), or leave the method out."
            ) from error

    def searcher(self, problem: Problem, seed: int) -> Searcher:
        """See ``Method.searcher``; it ends with the list."""
        archs = [problem.space.parse(text) for text in self._worth]
        return Ranked(ranked(archs, np.array(list(self._worth.values())), seed=seed))
