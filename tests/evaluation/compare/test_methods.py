import numpy as np
import pytest

from metad2a.data.glyphs import glyphs
from metad2a.database.published import MetaDatabase
from metad2a.errors import ConfigError, UnknownNameError
from metad2a.evaluation.compare.defaults import Defaults
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.known_cells import best_on_average, most_frequent
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.methods import ListMethod, ProxyMethod, SearcherMethod, ranked
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.specs import labels_of, open_methods
from metad2a.evaluation.compare.trajectory import Trajectory, follow
from metad2a.models.checkpoint import Checkpoint
from metad2a.proxies.activations import LinearRegions
from metad2a.proxies.network import Inputs
from metad2a.runtime import shipped
from metad2a.search.neighbourhood import likeliest
from metad2a.search.random_search import RandomSearch
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()


def test_ties_are_broken_by_the_seed_and_what_has_no_score_is_last(judge: Judge) -> None:
    archs = judge.archs[:50]
    scores = np.array([1.0] * 48 + [np.nan, 2.0])
    orders = [ranked(archs, scores, seed=seed) for seed in range(3)]
    for order in orders:
        assert (order[0], order[-1]) == (archs[49], archs[48])
        assert sorted(order) == sorted(archs)
    assert len({tuple(order) for order in orders}) == 3
    assert orders[0] == ranked(archs, scores, seed=0)


def test_every_method_goes_through_one_loop(judge: Judge, problem: Problem) -> None:
    found = follow(SearcherMethod("random", "random"), problem, judge, seed=4, evaluations=30, batch=7)
    asked = RandomSearch(SPACE, seed=4).ask(30)
    assert found.true == tuple(judge.truth[judge.rows(asked)])
    assert found.told == found.true
    assert found.first == tuple(map(SPACE.format, asked[:10]))
    assert found.training is None
    assert list(found.seconds) == sorted(found.seconds)
    assert found.pick([1, 10, 99]).tolist() == found.best_found([1, 10, 99]).tolist()
    assert found.pick([10])[0] == max(found.true[:10])
    assert Trajectory.restore(found.to_dict()) == found


def test_noise_fools_the_pick_not_the_best_found() -> None:
    noisy = Trajectory(
        true=(50.0, 80.0, 70.0),
        told=(60.0, 55.0, 65.0),
        seconds=(1.0, 2.0, 3.0),
        training=(10.0, 20.0, 40.0),
        first=(),
    )
    assert noisy.pick([1, 2, 3, 9]).tolist() == [50, 50, 70, 70]
    assert noisy.best_found([1, 2, 3]).tolist() == [50, 80, 80]
    assert noisy.cpu_seconds([2]).tolist() == [2]
    times = noisy.pick_at(np.array([10.0, 11.0, 42.9, 43.0]))
    assert np.isnan(times[0])
    assert times[1:].tolist() == [50, 50, 70]


def test_a_cheap_score_ranks_the_whole_space(judge: Judge, problem: Problem) -> None:
    method = ProxyMethod("params", "params")
    found = follow(method, problem, judge, seed=0, evaluations=3)
    order = np.argsort(-SPACE.params(judge.archs, 5), kind="stable")
    assert found.true[0] == judge.truth[order[0]]
    assert method.scorers == ("params",)
    scores = method.scores(problem, judge.archs, 0)["params"]
    assert scores.tolist() == SPACE.params(judge.archs, 5).tolist()


def test_a_dear_score_ranks_random_cells(judge: Judge, problem: Problem) -> None:
    method = ProxyMethod("synflow", "synflow", candidates=3, batch_size=2)
    found = follow(method, problem, judge, seed=1, evaluations=10)
    assert set(found.true) == set(judge.truth[judge.rows(RandomSearch(SPACE, seed=1).ask(3))])
    assert method.looks
    assert not method.scorers


def test_a_score_of_tiny_networks_keeps_their_size_and_its_images() -> None:
    problem = Problem(SPACE, glyphs(["a", "b"], images_per_class=30))
    method = ProxyMethod("regions", "linear_regions", candidates=4, batch_size=40)
    inputs = Inputs(problem.data, batch_size=40, resolution=3, seed=1, scale={"channels": 1, "cells": 1})
    archs = RandomSearch(SPACE, seed=1).ask(4)
    scores = LinearRegions(inputs).score(SPACE, archs, 2)
    assert len(set(scores)) > 1
    assert method.searcher(problem, 1).ask(4) == ranked(archs, scores, seed=1)
    assert method.identity() != ProxyMethod("regions", "linear_regions", candidates=4).identity()
    assert ProxyMethod("regions", "linear_regions").identity()["batch_size"] == 3000
    assert ProxyMethod("naswot", "naswot").identity() == {"proxy": "naswot", "candidates": 100, "batch_size": 64}


def test_metad2a_hands_out_its_candidates(judge: Judge, problem: Problem, meta: MetaMethod) -> None:
    found = follow(meta, problem, judge, seed=2, evaluations=100)
    result = meta.model.search(problem.data, n_candidates=40, random_state=2)
    archs = [SPACE.parse(candidate.arch) for candidate in result.candidates]
    assert found.true == tuple(judge.truth[judge.rows(archs)])
    scores = meta.scores(problem, judge.archs, 2)
    assert list(scores) == ["ours predictor", "ours generator", "ours both"]
    assert np.argsort(-scores["ours both"])[:40].tolist() == judge.rows(archs)
    likeliest_first = likeliest(meta.model.generator, SPACE, meta.latents(problem, 2), judge.archs)
    assert judge.rows(likeliest_first[:5]) == np.argsort(-scores["ours generator"], kind="stable")[:5].tolist()
    assert np.exp(scores["ours generator"]).sum() < 1, "they are probabilities"


def test_the_best_known_cells(judge: Judge, problem: Problem) -> None:
    method = ListMethod("static", {SPACE.format(judge.archs[5]): 2.0, SPACE.format(judge.archs[9]): 3.0})
    found = follow(method, problem, judge, seed=0, evaluations=10)
    assert found.true == (judge.truth[9], judge.truth[5])


def test_frequency_and_merit_are_those_of_meta_training() -> None:
    database = MetaDatabase.load("open")
    rows = database.records[database.records["split"] == "train"]
    assert most_frequent("open") == rows["arch"].value_counts().to_dict()
    above = rows["accuracy"] - rows.groupby(["task", "recipe"])["accuracy"].transform("mean")
    arch = max(best_on_average("open"), key=best_on_average("open").__getitem__)
    mine = above[rows["arch"] == arch]
    assert best_on_average("open")[arch] == pytest.approx(mine.sum() / (len(mine) + 1))
    known = Checkpoint.load(shipped("data", "pretrained", "nasbench201.safetensors")).train_archs
    found = most_frequent("nasbench201")
    assert sorted(found, key=found.__getitem__, reverse=True) == list(known)


def test_methods_by_text() -> None:
    texts = [
        "random",
        "flops",
        "few=proxy:naswot?candidates=7",
        "static:demo",
        "best=static_best",
        "published=metad2a:nasbench201?candidates=9",
    ]
    assert labels_of(texts) == ["random", "flops", "few", "static", "best", "published"]
    methods = open_methods(texts, Defaults(device="cpu"))
    assert [method.label for method in methods] == labels_of(texts)
    assert methods[2].identity() == {"proxy": "naswot", "candidates": 7, "batch_size": 64}
    assert isinstance(methods[5], MetaMethod)
    assert methods[5].candidates == 9


@pytest.mark.parametrize(
    ("texts", "error", "words"),
    [
        (["randm"], UnknownNameError, "unknown method 'randm'. Did you mean 'random'?"),
        (["proxy:naswott"], UnknownNameError, "unknown proxy 'naswott'. Did you mean 'naswot'?"),
        (["searcher:away"], UnknownNameError, "unknown searcher 'away'"),
        (["random", "random"], ConfigError, "two are called 'random'"),
        ([], ConfigError, "name at least one"),
        (["a=b=c"], ConfigError, "cannot be read"),
        (["proxy:naswot?candidates=0"], ConfigError, "candidates=0 cannot be used"),
        (["proxy:naswot?candidate=3"], UnknownNameError, "Did you mean 'candidates'?"),
        (["metad2a?refinements=-1"], ConfigError, "refinements=-1 cannot be used"),
        (["metad2a?constrained=no"], ConfigError, "constrained=no cannot be used"),
        (["random?first=3"], UnknownNameError, "unknown option"),
    ],
)
def test_texts_that_cannot_be_used(texts: list[str], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        open_methods(texts, Defaults(device="cpu"))
    assert words in str(caught.value)
