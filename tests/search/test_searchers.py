import pytest

from metad2a.runtime import numpy_rng
from metad2a.search.base import Ranked
from metad2a.search.random_search import RandomSearch
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.searchers import MakeSearcher, SearcherContract


class FewCells(NASBench201):
    """So few architectures that a searcher can be exhausted."""

    options = (5, 4, 3, 1, 1, 1)


SPACES: dict[str, type[NASBench201]] = {"all cells": NASBench201, "few cells": FewCells}


class TestRandomSearch(SearcherContract):
    @pytest.fixture(params=SPACES)
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        return SPACES[request.param]()

    @pytest.fixture
    def make(self, space: SearchSpace) -> MakeSearcher:
        return lambda seed: RandomSearch(space, seed=seed)


class TestRanked(SearcherContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return NASBench201()

    @pytest.fixture(params=[40, 200])
    def make(self, request: pytest.FixtureRequest, space: SearchSpace) -> MakeSearcher:
        # One ranking, whatever the seed: a Ranked has nothing else to be made from.
        ranking = list(dict.fromkeys(space.sample(2 * request.param, numpy_rng("ranking"))))[: request.param]
        return lambda seed: Ranked(ranking)


def test_random_search_draws_uniformly_until_the_space_is_empty() -> None:
    space = FewCells()
    firsts = [RandomSearch(space, seed=seed).ask(1)[0].choices[0] for seed in range(100)]
    assert set(firsts) == set(range(5))
    assert set(RandomSearch(space).ask(space.size + 1)) == set(space.enumerate())


def test_random_search_does_not_care_how_it_is_asked(space: NASBench201) -> None:
    one, other = RandomSearch(space, seed=4), RandomSearch(space, seed=4)
    assert one.ask(3) + one.ask(0) + one.ask(7) == other.ask(10)
    assert RandomSearch(space, seed=5).ask(10) != RandomSearch(space, seed=4).ask(10)


def test_ranked_keeps_its_order(space: NASBench201) -> None:
    ranking = space.neighbours(space.sample(1, numpy_rng("ranking"))[0])
    searcher = Ranked(ranking)
    assert searcher.ask(2) == ranking[:2]
    searcher.tell(ranking[:2], [1.0, 2.0])
    assert searcher.ask(100) == ranking[2:]
    assert searcher.ask(1) == []
