"""Both searchers with a model: what they look at, and what they make of it."""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metad2a.errors import ConfigError
from metad2a.runtime import numpy_rng
from metad2a.search.bananas import Bananas
from metad2a.search.base import get_searcher
from metad2a.search.model_based import ModelBased, one_hot
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "bayesian": ("bayesian", {}),
    "bayesian, ucb": ("bayesian", {"acquisition": "ucb", "kappa": 1.0}),
    "bananas": ("bananas", {}),
    "bananas, ridge": ("bananas", {"member": "ridge"}),
}
Make = Callable[..., ModelBased]


@pytest.fixture(params=METHODS)
def make(request: pytest.FixtureRequest, space: NASBench201) -> Make:
    name, options = METHODS[request.param]
    if name == "bayesian":
        pytest.importorskip("botorch")
    return lambda **more: get_searcher(name, space, **options, **{"candidates": 60} | more)  # type: ignore[return-value]


def value(arch: Architecture) -> float:
    """Return what it is worth that edges are 3x3 convolutions (3), less that they are nothing (0)."""
    weights = (1.0, 5.0, 2.0, 4.0, 3.0, 6.0)
    return 50 + sum(w * ((c == 3) - (c == 0)) for w, c in zip(weights, arch.choices, strict=True))


def told(searcher: ModelBased, queries: int, portion: int = 1) -> list[float]:
    found = []
    for _ in range(queries // portion):
        asked = searcher.ask(portion)
        found += [value(arch) for arch in asked]
        searcher.tell(asked, found[-portion:])
    return found


def test_what_it_asks_for_becomes_better(make: Make) -> None:
    found = told(make(), 40, portion=5)
    assert np.mean(found[-10:]) > np.mean(found[:10]) + 8
    assert max(found) >= 66


def test_failed_evaluations_are_avoided(make: Make) -> None:
    """Whatever begins with a pooling fails; the rest is equally good."""
    searcher, fails = make(every=5), []
    for _ in range(40):
        [arch] = searcher.ask(1)
        fails.append(arch.choices[0] in (0, 4))
        searcher.tell([arch], [math.nan if fails[-1] else value(arch)])
    assert sum(fails[-20:]) <= 4


def test_a_portion_is_not_the_same_guess_again(make: Make, space: NASBench201) -> None:
    searcher = make()
    told(searcher, 10)
    table = space.choices(searcher.ask(6))
    assert len({tuple(row) for row in table.tolist()}) == 6


def test_a_ranking_replaces_the_random_beginning(make: Make, space: NASBench201) -> None:
    first = list(dict.fromkeys(space.sample(12, numpy_rng("first"))))
    searcher = make(first=first)
    found = told(searcher, len(first) + 4)
    assert np.mean(found[-4:]) > np.mean(found[:-4])


def test_a_loaded_searcher_forgets_its_own_model(make: Make) -> None:
    """Two that were told the same values of different architectures must not share a model."""
    one, other = make(), make(seed=1)
    for searcher in (one, other):
        for number in range(12):
            searcher.tell(searcher.ask(1), [float(number)])
        searcher.ask(1)
    state = one.state_dict()
    expected = one.ask(3)
    other.load_state_dict(state)
    assert other.ask(3) == expected


@pytest.mark.parametrize(
    ("options", "word"),
    [({"initial": 1}, "initial=1"), ({"candidates": 1}, "candidates=1"), ({"every": 0}, "every=0")],
)
def test_impossible_numbers_are_told(make: Make, options: dict[str, int], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        make(**options)


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("bayesian", {"acquisition": "pi"}, "Choose one of ei, ucb"),
        ("bayesian", {"kappa": -1.0}, "kappa=-1"),
        ("bananas", {"member": "svm"}, "Choose one of mlp, ridge"),
        ("bananas", {"members": 1}, "at least 2"),
        ("bananas", {"size": 1}, "options: candidates, every, first, initial, member, members"),
    ],
)
def test_impossible_options_are_told(space: NASBench201, name: str, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        get_searcher(name, space, **options)


def test_without_botorch_it_says_what_to_install(space: NASBench201, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(ConfigError, match=r"pip install 'metad2a\[bo\]'"):
        get_searcher("bayesian", space)


def test_models_are_fitted_ever_more_rarely(space: NASBench201) -> None:
    searcher = Bananas(space, member="ridge", candidates=10)
    counts = []
    for _ in range(160):
        searcher.tell(searcher.ask(1), [float(len(counts))])
        counts.append(len(searcher._model[0]))
    fits = sorted(set(counts) - {0})
    assert fits == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 121, 133, 146]


def test_one_hot_is_of_decisions_where_there_are_some() -> None:
    space = MobileNetV3()
    archs = space.sample(4, numpy_rng("one hot"))
    coded = one_hot(space, archs)
    assert coded.shape == (4, sum(space.options))
    assert (coded.sum(1) == len(space.options)).all()
    assert len(np.unique(coded, axis=0)) == len(set(archs))


def test_one_hot_is_of_graphs_where_decisions_depend(space: NASBench201) -> None:
    methods = dict.fromkeys(SearchSpace.__abstractmethods__)
    methods |= {"num_types": space.num_types, "encode": lambda self, archs: space.encode(archs)}
    graphs = type("Graphs", (SearchSpace,), methods)()
    archs = space.sample(30, numpy_rng("one hot"))
    assert len(np.unique(one_hot(graphs, archs), axis=0)) == len(set(archs))
