"""NSGANetV2 is a searcher, asks for what its description says, and finds trade-offs that random search does not."""

import sys
from typing import Any

import numpy as np
import pytest

from metad2a.errors import ConfigError, UnknownNameError
from metad2a.runtime import numpy_rng
from metad2a.search import nsganetv2 as module
from metad2a.search.base import get_searcher
from metad2a.search.hypervolume import hypervolume
from metad2a.search.nsganetv2 import NSGANetV2
from metad2a.search.random_search import RandomSearch
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3, from_official
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.searchers import MakeSearcher, SearcherContract

pytest.importorskip("pymoo")
CELLS, MOBILE = NASBench201(), MobileNetV3()
SMALL: dict[str, Any] = {"doe": 8, "k": 3, "population": 8, "generations": 2}


class FewCells(NASBench201):
    """So few architectures that a searcher can be exhausted."""

    options = (5, 4, 3, 1, 1, 1)


class TestNSGANetV2(SearcherContract):
    @pytest.fixture(params=["all cells", "few cells", "mobile"])
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        return {"all cells": CELLS, "few cells": FewCells(), "mobile": MOBILE}[request.param]

    @pytest.fixture
    def make(self, space: SearchSpace) -> MakeSearcher:
        first = space.sample(4, numpy_rng("first"))
        options = {"surrogate": "rbf", "coding": "ordinal"}
        return lambda seed: get_searcher("nsganetv2", space, seed=seed, first=first + first[:1], **SMALL, **options)


def worth(archs: list[Architecture]) -> list[float]:
    """Return values that the decisions add up to."""
    weights = numpy_rng("worth").uniform(0, 1, (45, 5))
    return [40 + sum(weights[i, c] for i, c in enumerate(arch.choices)) for arch in archs]


def after(searcher: NSGANetV2, evaluations: int, portion: int = 8) -> list[Architecture]:
    asked: list[Architecture] = []
    while len(asked) < evaluations:
        archs = searcher.ask(min(portion, evaluations - len(asked)))
        searcher.tell(archs, worth(archs))
        asked += archs
    return asked


def uniform(kernel: int, expansion: int, depth: int) -> Architecture:
    return from_official({"ks": [kernel] * 20, "e": [expansion] * 20, "d": [depth] * 5})


def test_the_first_are_given_ones_then_smallest_largest_and_uniform_ones() -> None:
    first = MOBILE.sample(3, numpy_rng("first"))
    asked = NSGANetV2(MOBILE, first=first, doe=10).ask(10)
    assert asked[:3] == first
    texts = [MOBILE.canonical(arch) for arch in asked]
    assert texts[3] == MOBILE.canonical(uniform(3, 3, 2))
    assert texts[4] == MOBILE.canonical(uniform(7, 6, 4))
    assert len(set(texts)) == 10
    params = CELLS.params(list(CELLS.enumerate()), 10)
    smallest, largest = NSGANetV2(CELLS, doe=5, cost="params").ask(2)
    assert CELLS.params([smallest, largest], 10).tolist() == [params.min(), params.max()]


def test_more_given_ones_than_the_design_has_are_all_evaluated() -> None:
    first = CELLS.sample(12, numpy_rng("first"))
    networks = list({CELLS.canonical(arch): arch for arch in reversed(first)}.values())
    asked = NSGANetV2(CELLS, first=first, doe=5).ask(len(networks))
    assert set(asked) <= set(first)
    assert len(set(map(CELLS.canonical, asked))) == len(networks)


@pytest.mark.parametrize("space", [CELLS, MOBILE], ids=["cells", "mobile"])
def test_no_network_is_asked_for_twice(space: Any) -> None:
    asked = after(NSGANetV2(space, surrogate="rbf", **SMALL | {"generations": 5}), 35)
    assert len(set(map(space.canonical, asked))) == 35


def test_what_is_told_makes_the_front() -> None:
    searcher = NSGANetV2(CELLS, doe=4, cost=lambda archs: np.array([arch.choices[0] + 1.0 for arch in archs]))
    archs = [Architecture("nasbench201", (cost, 1, 2, 3, 4, 0)) for cost in (0, 1, 2, 3)]
    searcher.tell(archs, [50.0, 40.0, 60.0, float("nan")])
    assert searcher.front() == [(archs[0], 50.0, 1.0), (archs[2], 60.0, 3.0)]
    assert NSGANetV2(CELLS).front() == []


def test_it_covers_more_than_random_search() -> None:
    covered = {}
    for name, searcher in {
        "nsganetv2": NSGANetV2(MOBILE, surrogate="rbf", coding="ordinal", doe=30, population=20, generations=10),
        "random": RandomSearch(MOBILE),
    }.items():
        asked = after(searcher, 70)  # type: ignore[arg-type]
        errors, costs = 100 - np.array(worth(asked)), MOBILE.flops(asked, 10, 224).astype(float)
        covered[name] = hypervolume(errors, costs, (80.0, 6e8))
    assert covered["nsganetv2"] > covered["random"] + 0.01


def test_the_surrogate_is_chosen_by_validation() -> None:
    searcher = NSGANetV2(MOBILE, doe=25, k=2, population=8, generations=2)
    after(searcher, 27, portion=25)
    [chosen] = searcher.surrogates
    assert chosen.split(", ")[0] in {"rbf", "gp"}  # what adds up is no matter for trees
    fixed = NSGANetV2(MOBILE, surrogate="carts", coding="one_hot", **SMALL)
    after(fixed, 12)
    assert set(fixed.surrogates) == {"carts, one_hot"}


def test_bad_options() -> None:
    with pytest.raises(ConfigError, match="k=0"):
        NSGANetV2(CELLS, k=0)
    with pytest.raises(UnknownNameError, match=r"unknown surrogate of nsganetv2 'rfb'\. Did you mean 'rbf'"):
        NSGANetV2(CELLS, surrogate="rfb")
    with pytest.raises(UnknownNameError, match="unknown coding of nsganetv2"):
        NSGANetV2(CELLS, coding="graph")
    with pytest.raises(UnknownNameError, match="unknown cost of nsganetv2 'energy'"):
        NSGANetV2(CELLS, cost="energy")
    with pytest.raises(ConfigError, match=r"has no option 'initial'\. Its options: coding, cost, doe"):
        get_searcher("nsganetv2", CELLS, initial=3)


def test_without_pymoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymoo", None)
    with pytest.raises(ConfigError, match=r"pip install 'metad2a\[nsga\]'"):
        NSGANetV2(CELLS)


def test_spaces_of_other_decisions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ProductSpace", MobileNetV3)
    with pytest.raises(ConfigError, match="spaces of independent decisions; 'nasbench201' is none"):
        NSGANetV2(CELLS)
