from typing import Any

import pytest

from metad2a import plugins
from metad2a.errors import ConfigError, UnknownNameError
from metad2a.runtime import numpy_rng
from metad2a.search.base import Ranked, get_searcher
from metad2a.search.random_search import RandomSearch
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.searchers import MakeSearcher, SearcherContract


class FewCells(NASBench201):
    """So few architectures that a searcher can be exhausted."""

    options = (5, 4, 3, 1, 1, 1)


SPACES: dict[str, type[SearchSpace]] = {"all cells": NASBench201, "few cells": FewCells}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "evolution": ("evolution", {}),
    "evolution, crossover": ("evolution", {"population": 3, "sample": 2, "drop": "worst", "crossover": 0.5}),
    "local search": ("local_search", {}),
    "local search, full": ("local_search", {"full_neighbourhood": True, "starts": 3, "at_optimum": "next_best"}),
    "reinforce": ("reinforce", {"learning_rate": 0.5}),
    "bayesian": ("bayesian", {"initial": 4, "candidates": 20, "every": 6}),
    "bananas": ("bananas", {"initial": 4, "candidates": 20, "every": 6, "member": "ridge"}),
}


class TestSearchers(SearcherContract):
    @pytest.fixture(params=SPACES)
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        return SPACES[request.param]()

    @pytest.fixture
    def first(self, space: SearchSpace) -> list[Architecture]:
        """Some that the first rounds of the contract ask for, and some for later ones; one is there twice."""
        some = [] if isinstance(space, FewCells) else space.sample(12, numpy_rng("first"))
        return some + some[:1]

    @pytest.fixture(params=VARIANTS)
    def make(self, request: pytest.FixtureRequest, space: SearchSpace, first: list[Architecture]) -> MakeSearcher:
        name, options = VARIANTS[request.param]
        if name == "bayesian":
            pytest.importorskip("botorch")
        return lambda seed: get_searcher(name, space, seed=seed, first=first, **options)


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


# --- by name ------------------------------------------------------------------------------------------------


def test_searchers_have_names() -> None:
    names = {"bananas", "bayesian", "evolution", "local_search", "random", "reinforce"}
    assert names <= set(plugins.names("searchers"))
    assert {name for name, _ in VARIANTS.values()} <= names


def test_unknown_names_and_options_are_told(space: NASBench201) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown searcher 'evolutoin'\. Did you mean 'evolution'"):
        get_searcher("evolutoin", space)
    with pytest.raises(ConfigError, match=r"searcher 'random' has no option 'size'\. Its options: first\."):
        get_searcher("random", space, size=3)


# --- what all of them remember ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", plugins.names("searchers"))
def test_a_ranking_is_asked_for_first(space: NASBench201, name: str) -> None:
    if name == "bayesian":
        pytest.importorskip("botorch")
    # One of each function: some searchers do not ask for what they know by another name.
    ranking = list({space.canonical(arch): arch for arch in space.sample(30, numpy_rng("ranking"))}.values())
    searcher = get_searcher(name, space, first=ranking)
    asked = [searcher.ask(1)[0] for _ in ranking]
    assert asked == ranking
    assert not set(searcher.ask(5)) & set(ranking)


def test_first_architectures_must_be_of_the_space(space: NASBench201) -> None:
    with pytest.raises(ValueError, match="belongs to the space 'mobilenetv3'"):
        RandomSearch(space, first=MobileNetV3().sample(1, numpy_rng("first")))


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_spaces_are_searched(variant: str) -> None:
    name, options = VARIANTS[variant]
    if name == "bayesian":
        pytest.importorskip("botorch")
    space = MobileNetV3()
    searcher = get_searcher(name, space, **options)
    for _ in range(3):
        asked = searcher.ask(15)
        assert [space.parse(space.format(arch)) for arch in asked] == asked
        searcher.tell(asked, [float(sum(arch.choices)) for arch in asked])


def test_what_is_told_without_asking_is_never_asked_for() -> None:
    space = FewCells()
    known = list(space.enumerate())[:50]
    searcher = RandomSearch(space)
    searcher.tell(known, [1.0] * 50)
    assert set(searcher.ask(100)) == set(space.enumerate()) - set(known)
