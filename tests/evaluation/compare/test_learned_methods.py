"""Surrogates among the methods, and what another data set's embedding does to whatever is meta-trained."""

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.errors import CheckpointError, ConfigError
from metad2a.evaluation.compare.calibration import calibration_rows
from metad2a.evaluation.compare.defaults import Defaults
from metad2a.evaluation.compare.generated import generated_rows
from metad2a.evaluation.compare.grid import Cell, Grid, Trial
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.learned_method import Uncertain
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.specs import open_methods
from metad2a.evaluation.compare.surrogate_method import SurrogateMethod
from metad2a.evaluation.compare.trajectory import follow
from metad2a.evaluation.compare.unseen import LabelledTask, unseen_rows
from metad2a.models.arch_features import normal_ranks
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.surrogate import Surrogate
from metad2a.runtime import torch_rng
from metad2a.search.metad2a import MetaD2A
from metad2a.search.surrogate_ranker import SurrogateRanker
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()


def images(name: str, classes: int) -> FeatureSet:
    labels = np.arange(classes * 4) % classes
    features = torch.randn(len(labels), 6, generator=torch_rng(name)) + torch.randn(
        6, generator=torch_rng(name, "at")
    )
    return FeatureSet(
        features, labels, [f"{name} {n}" for n in range(classes)], embedder="test features", name=name
    )


@pytest.fixture(scope="module")
def others(problem: Problem) -> Problem:
    return replace(problem, others=(images("one", 8), images("two", 3)))


def ranking(checkpoint: Checkpoint, **options: object) -> SurrogateMethod:
    return SurrogateMethod("alone", SurrogateRanker(checkpoint, name="untrained"), **options)  # type: ignore[arg-type]


def test_alone_it_ranks_the_whole_space(alone: Checkpoint, problem: Problem, judge: Judge) -> None:
    method = ranking(alone)
    scores = method.scores(problem, judge.archs, 0)["alone"]
    found = follow(method, problem, judge, seed=0, evaluations=30)
    places = judge.rows([SPACE.parse(text) for text in found.first])
    assert scores[places[0]] == scores.max(), "the first pick is that of the highest mean"
    assert scores[places].tolist() == sorted(scores, reverse=True)[:10]
    predicted = method.model.predict(problem.data, judge.archs, random_state=0)
    assert scores.tolist() == predicted.tolist()


def test_told_what_is_true_it_does_better(alone: Checkpoint, problem: Problem, judge: Judge) -> None:
    fixed = follow(ranking(alone), problem, judge, seed=0, evaluations=25)
    asks = follow(ranking(alone, queries=True), problem, judge, seed=0, evaluations=25)
    assert asks.true[0] >= min(fixed.true[:3]), "before it is told anything it asks for the same"
    assert np.mean(asks.true[10:]) > np.mean(fixed.true[10:]) + 3
    other = ranking(alone, queries=True)
    assert other.identity() != ranking(alone).identity()


def test_with_a_generator_it_asks_among_the_candidates(
    together: Checkpoint, problem: Problem, judge: Judge
) -> None:
    model = MetaD2A(together, name="untrained", device="cpu")
    asks = MetaMethod("asks", model, candidates=20, queries=True)
    fixed = MetaMethod("fixed", model, candidates=20)
    runs = [follow(method, problem, judge, seed=3, evaluations=50) for method in (asks, fixed)]
    assert sorted(runs[0].true) == sorted(runs[1].true)
    assert runs[0].true != runs[1].true
    assert asks.identity() != fixed.identity()


def test_a_shuffled_data_set_is_another_by_the_seed(
    alone: Checkpoint, together: Checkpoint, meta: MetaMethod, others: Problem, judge: Judge, tmp_path: Path
) -> None:
    generating = MetaD2A(together, name="untrained", device="cpu")
    pairs = [
        (ranking(alone), ranking(alone, dataset="shuffled")),
        (meta, MetaMethod("predictor", meta.model, candidates=40, dataset="shuffled")),
        (
            MetaMethod("g", generating, candidates=20),
            MetaMethod("s", generating, candidates=20, dataset="shuffled"),
        ),
    ]
    some = judge.archs[::100]
    for own, shuffled in pairs:
        right = own.scores(others, some, 1)
        wrong = shuffled.scores(others, some, 1)
        for mine, its in zip(right.values(), wrong.values(), strict=True):
            assert not np.allclose(mine, its)
        again = shuffled.scores(others, some, 1)
        assert all((wrong[name] == again[name]).all() for name in wrong)
    seen = [pairs[0][1].features(others, seed) for seed in range(12)]
    assert {one.name for one in seen} == {"one", "two"}
    assert {len(one.classes) for one in seen} == {5, 3}, "as many classes as there should be, or all there are"
    grid = Grid(list(pairs[0]), [Trial(others, judge)], 5, tmp_path)
    fewer = Grid(grid.methods, [Trial(replace(others, others=others.others[:1]), judge)], 5, tmp_path)
    assert grid.identity(Cell(0, 0, 0)) == fewer.identity(Cell(0, 0, 0)), "who sees its own images needs no others"
    assert grid.identity(Cell(1, 0, 0)) != fewer.identity(Cell(1, 0, 0))


def test_shuffled_tasks_of_meta_validation_share_no_class(alone: Checkpoint, judge: Judge) -> None:
    whole = images("class", 6)
    pairs = [(0, 1), (1, 2), (4, 5)]
    tasks = [
        LabelledTask(tuple(f"class {n}" for n in pair), list(judge.archs[:40:4]), judge.truth[:40:4])
        for pair in pairs
    ]
    method = ranking(alone, dataset="shuffled")
    looked: list[tuple[str, ...]] = []
    real = SurrogateRanker.predict

    def watched(self: SurrogateRanker, features: FeatureSet, archs: list, **options: int) -> np.ndarray:  # type: ignore[type-arg]
        looked.append(features.classes)
        return real(self, features, archs, **options)

    with (
        mock.patch.object(SurrogateRanker, "predict", watched),
        mock.patch.object(SurrogateRanker, "embedder", return_value=None),
    ):
        ranks, calibrated = unseen_rows([method], tasks, SPACE, lambda _: whole)
    assert looked == [("class 4", "class 5")] * 2 + [looked[2]]
    assert looked[2] in [("class 0", "class 1"), ("class 1", "class 2")]
    assert [row["score"] for row in ranks] == ["alone"]
    assert [row["unit"] for row in calibrated] == ["normal ranks"] * 2


def test_calibration_of_a_surrogate_is_of_ranks(surrogate_part: Part) -> None:
    model = Surrogate(**surrogate_part.config)
    rng = np.random.default_rng(0)
    truths = [50 + 10 * rng.normal(size=400), 90 + 0.1 * rng.normal(size=400), np.array([1.0, 2.0])]
    found = []
    for truth in truths:
        error = 0.5 * rng.normal(size=len(truth))
        predicted = 60 + model.target_std * (normal_ranks(truth) + error)
        found.append(Uncertain(predicted, np.full(len(truth), 0.5 * model.target_std), "the model's own", model))
    own, noisy = calibration_rows(found, truths, centred=False)
    assert own["coverage_80"] == pytest.approx(80, abs=4)
    assert own["rmse"] == pytest.approx(0.5, rel=0.1)
    assert noisy["mean_std"] == pytest.approx(np.sqrt(0.25 + model.noise))
    assert noisy["coverage_80"] > own["coverage_80"]
    assert not calibration_rows(found[2:], truths[2:], centred=False), "two have no ranks to speak of"


def test_what_only_ranks_hands_out_its_first(alone: Checkpoint, problem: Problem, judge: Judge) -> None:
    [row] = generated_rows([ranking(alone)], [Trial(problem, judge)], number=60)
    assert (row["what"], row["graphs"], row["validity"], row["uniqueness"]) == ("handed_out", 60, 100, 100)
    assert row["unique_functions"] < 100, "isomorphic cells are equal to it, so they come together"


def test_by_text(
    alone: Checkpoint, together: Checkpoint, meta: MetaMethod, others: Problem, tmp_path: Path
) -> None:
    alone.save(tmp_path / "alone.safetensors")
    together.save(tmp_path / "together.safetensors")
    meta.model.checkpoint.save(tmp_path / "meta.safetensors")
    texts = ["surrogate:{}/alone.safetensors?queries=true", "b=metad2a:{}/together.safetensors?dataset=shuffled"]
    first, second = open_methods([text.format(tmp_path) for text in texts], Defaults(device="cpu"))
    assert isinstance(first, SurrogateMethod)
    assert (first.label, first.queries, first.shuffled) == ("surrogate", True, False)
    assert (second.label, second.shuffled) == ("b", True)
    with pytest.raises(ConfigError, match=r"another data set than ten images.*others="):
        second.check(replace(others, others=()))
    second.check(others)
    with pytest.raises(ConfigError, match="dataset=other cannot be used"):
        open_methods([f"surrogate:{tmp_path}/alone.safetensors?dataset=other"], Defaults(device="cpu"))
    with pytest.raises(CheckpointError, match="give the surrogate's file too"):
        open_methods([f"surrogate:{tmp_path}/meta.safetensors"], Defaults(device="cpu"))
    with pytest.raises(CheckpointError, match=r"queries=true.*GENERATOR\+SURROGATE"):
        MetaMethod("a", meta.model, queries=True)
    with (
        pytest.raises(ConfigError, match="which cannot be listed"),
        mock.patch.object(NASBench201, "listable", False),
    ):
        ranking(alone)
