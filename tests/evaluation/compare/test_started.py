"""Searchers that start from MetaD2A's samples, and those that weigh a cost."""

from typing import Any
from unittest import mock

import numpy as np
import pytest

from metad2a.errors import ConfigError, MetaD2AError, UnknownNameError
from metad2a.evaluation.compare.defaults import Defaults
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.methods import SearcherMethod
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.specs import open_methods
from metad2a.evaluation.compare.started_method import LIMITS, StartedMethod, by_fronts
from metad2a.evaluation.compare.trajectory import follow
from metad2a.search.nsganetv2 import NSGANetV2
from metad2a.search.pareto import pareto_front
from metad2a.spaces.nasbench201 import NASBench201

pytest.importorskip("pymoo")
SPACE = NASBench201()
FEW = {"doe": 6, "population": 8, "generations": 2, "surrogate": "rbf"}


def started(meta: MetaMethod, **options: Any) -> StartedMethod:
    return StartedMethod("warm", meta.model, "nsganetv2", FEW, samples=4, candidates=30, **options)


def test_the_first_are_those_of_metad2a(judge: Judge, problem: Problem, meta: MetaMethod) -> None:
    method = started(meta)
    found = follow(method, problem, judge, seed=3, evaluations=12)
    proposed = meta.search(problem, 3, candidates=30).candidates
    assert found.first[:4] == tuple(candidate.arch for candidate in proposed[:4])
    assert len(set(found.first)) == 10, "after them it goes on"
    assert not method.scorers
    assert method.looks
    others = [started(meta, order="front"), started(meta, dataset="shuffled"), MetaMethod("warm", meta.model)]
    assert method.identity() not in [other.identity() for other in others[::2]]
    assert others[1].shuffled


def test_they_can_be_the_best_trade_offs(problem: Problem, meta: MetaMethod) -> None:
    proposed = [SPACE.parse(one.arch) for one in meta.search(problem, 0, candidates=30).candidates]
    rank, costs = -np.arange(30.0), problem.costs(proposed)
    first = started(meta, order="front").searcher(problem, 0).ask(4)
    front = [proposed[place] for place in pareto_front(rank, costs)]
    assert first[: len(front)] == front[:4]
    everything = by_fronts(proposed, rank, costs, 99)
    assert sorted(everything) == sorted(proposed)
    left = [i for i, arch in enumerate(proposed) if arch not in front]
    second = [proposed[left[place]] for place in pareto_front(rank[left], costs[left])]
    assert everything[len(front) :][: len(second)] == second


def test_they_can_be_those_under_limits_of_cost(problem: Problem, meta: MetaMethod) -> None:
    first = started(meta, order="limits").searcher(problem, 0).ask(4)
    costs = SPACE.flops(list(SPACE.enumerate()), 5, 32)
    limits = np.geomspace(costs.min(), costs.max(), LIMITS + 1)[1:]
    assert (problem.costs(first) <= limits[:4]).all()
    best = meta.model.search(problem.data, n_candidates=6, random_state=0, max_flops=float(limits[0]))
    assert SPACE.format(first[0]) == best.candidates[0].arch


def test_what_is_reported_is_weighed(problem: Problem) -> None:
    archs = SPACE.sample(5, np.random.default_rng(0))
    searcher = SearcherMethod("nsganetv2", "nsganetv2").searcher(problem, 0)
    assert isinstance(searcher, NSGANetV2)
    np.testing.assert_array_equal(searcher.cost(archs), problem.costs(archs))
    own = SearcherMethod("nsganetv2", "nsganetv2", {"cost": "params"}).searcher(problem, 0)
    assert isinstance(own, NSGANetV2)
    np.testing.assert_array_equal(own.cost(archs), SPACE.params(archs, 10))
    with mock.patch.object(Problem, "costs", side_effect=AssertionError("nobody asked")):
        assert SearcherMethod("evolution", "evolution").searcher(problem, 0).ask(1)


def test_by_text() -> None:
    [method] = open_methods(["warm=searcher:nsganetv2?first=metad2a&samples=7&doe=20&candidates=9"], Defaults())
    assert isinstance(method, StartedMethod)
    identity = method.identity()
    assert identity["options"] == {"doe": 20}
    assert (identity["samples"], identity["candidates"], identity["order"]) == (7, 9, "accuracy")
    [other] = open_methods(["searcher:evolution?first=metad2a:nasbench201&order=front"], Defaults("elsewhere"))
    assert other.label == "evolution"
    assert other.identity()["order"] == "front"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("searcher:nsganetv2?first=random", ConfigError, "Write first=metad2a, or"),
        ("searcher:nsganetv2?first=metad2a:nasbench20", UnknownNameError, "nasbench20"),
        ("searcher:nsganetv3?first=metad2a", UnknownNameError, "Did you mean 'nsganetv2'"),
        ("searcher:nsganetv2?first=metad2a&order=size", ConfigError, "order=size"),
        ("searcher:nsganetv2?first=metad2a&samples=0", ConfigError, "samples=0"),
    ],
)
def test_texts_that_cannot_be_used(text: str, error: type[MetaD2AError], words: str) -> None:
    with pytest.raises(error, match=words):
        open_methods([text], Defaults())
