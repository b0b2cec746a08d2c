"""Rank quality, calibration, what is generated, meta-validation, provenance."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from scipy import stats

from metad2a.data.features import FeatureSet
from metad2a.database.published import MetaDatabase
from metad2a.evaluation.compare import provenance
from metad2a.evaluation.compare.calibration import calibration
from metad2a.evaluation.compare.generated import diversity, figures, generated_rows
from metad2a.evaluation.compare.grid import Grid, Trial
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.kept import Kept
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.methods import ProxyMethod, SearcherMethod
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.provenance import audits, provenance_rows
from metad2a.evaluation.compare.ranks import rank_quality, rank_rows
from metad2a.evaluation.compare.unseen import labelled_tasks, unseen_rows
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()


def test_ranks_within_the_best(judge: Judge) -> None:
    scores = judge.truth + numpy_rng("errors").normal(0, 5, len(judge.truth))
    found = rank_quality(scores, judge.truth)
    best = np.argsort(-judge.truth)[: int(np.ceil(0.05 * len(judge.truth)))]
    expected = stats.kendalltau(scores[best], judge.truth[best]).statistic
    assert found["kendall_top5pct"] == pytest.approx(expected, abs=0.005)
    assert found["spearman_all"] == pytest.approx(stats.spearmanr(scores, judge.truth).statistic)
    order = np.argsort(-scores)
    assert found["regret_10"] == pytest.approx(judge.best - judge.truth[order[:10]].max())
    perfect = rank_quality(judge.truth, judge.truth)
    assert perfect["kendall_all"] == pytest.approx(1)
    assert perfect["regret_1"] == 0


def test_equal_scores_know_nothing() -> None:
    truth = np.arange(100.0)
    found = [rank_quality(np.zeros(100), truth, seed=seed)["regret_1"] for seed in range(200)]
    assert np.isnan(rank_quality(np.zeros(100), truth)["kendall_all"])
    assert 40 < np.mean(found) < 60, "ties are not broken by the order of the table"


def test_rows_of_scores_are_kept(problem: Problem, judge: Judge, meta: MetaMethod, tmp_path: Path) -> None:
    grid = Grid(
        [SearcherMethod("random", "random"), ProxyMethod("params", "params"), meta],
        [Trial(problem, judge)],
        5,
        tmp_path,
    )
    rows = rank_rows(grid, [0])
    assert [row["score"] for row in rows] == ["params", "ours predictor", "ours generator", "ours both"]
    predicted = meta.model.predict(problem.data, judge.archs, random_state=0)
    assert rows[1]["kendall_all"]["mean"] == pytest.approx(stats.kendalltau(predicted, judge.truth).statistic)
    with mock.patch.object(MetaMethod, "scores", side_effect=AssertionError("computed again")):
        assert rank_rows(grid, [0]) == rows


def test_calibration() -> None:
    rng = numpy_rng("calibrated")
    std = rng.uniform(0.5, 3, 20_000)
    error = std * rng.standard_normal(20_000)
    honest = calibration(np.full(20_000, 70.0), std, 70 + error)
    assert honest["coverage_50"] == pytest.approx(50, abs=1.5)
    assert honest["coverage_80"] == pytest.approx(80, abs=1)
    assert honest["coverage_95"] == pytest.approx(95, abs=1)
    assert honest["nll"] == pytest.approx(-stats.norm(0, std).logpdf(error).mean())
    bold = calibration(np.full(20_000, 70.0), std / 4, 70 + error)
    assert bold["coverage_80"] < 30
    assert bold["nll"] > honest["nll"]
    assert bold["rmse"] == honest["rmse"]
    shifted = calibration(np.full(20_000, 60.0), std, 70 + error)
    assert shifted["coverage_80"] < 10
    assert calibration(np.full(20_000, 60.0), std, 70 + error, centred=True)["coverage_80"] > 78


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    archs = list(dict.fromkeys(SPACE.sample(60, np.random.default_rng(3))))
    pairs = [
        sum(x != y for x, y in zip(a.choices, b.choices, strict=True))
        for i, a in enumerate(archs)
        for b in archs[:i]
    ]
    assert diversity(archs) == pytest.approx(np.mean(pairs))
    assert np.isnan(diversity(archs[:1]))


def test_what_is_generated(problem: Problem, judge: Judge, meta: MetaMethod) -> None:
    a, b, c = judge.archs[:3]
    found = figures([a, a, b, c, None], SPACE, {SPACE.format(a)})
    assert (found["graphs"], found["validity"], found["uniqueness"]) == (5, 80, 75)
    assert found["novelty"] == pytest.approx(200 / 3)
    # 0 is the input, and a skip connection of it is the input again.
    zero, skip = (
        SPACE.parse(f"|{op}~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|") for op in ("none", "skip_connect")
    )
    other = SPACE.parse("|nor_conv_1x1~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")
    found = figures([zero, skip, other], SPACE, {SPACE.format(zero)})
    assert (found["uniqueness"], found["novelty"]) == (100, pytest.approx(200 / 3))
    assert (found["unique_functions"], found["novel_functions"]) == (pytest.approx(200 / 3), 50)
    sampled, handed_out = generated_rows([meta], [Trial(problem, judge)], number=200)
    assert (sampled["what"], handed_out["what"]) == ("sampled", "handed_out")
    assert sampled["graphs"] == handed_out["graphs"] == 200
    assert handed_out["validity"] == handed_out["uniqueness"] == 100
    assert sampled["validity"] == 100, "the decoder is constrained"
    assert 0 < sampled["uniqueness"] <= 100


def test_only_labelled_cells_of_a_task_count(meta: MetaMethod) -> None:
    database = MetaDatabase.load("demo")
    tasks = labelled_tasks(database, SPACE, split="by_task")
    assert len(tasks) == 8
    names = sorted({name for task in tasks for name in task.classes})
    labels = np.repeat(np.arange(len(names)), 4)
    features = FeatureSet(
        torch_features(len(labels)), labels, names, embedder="test features", name="classes of the tasks"
    )
    with mock.patch.object(type(meta.model), "embedder", return_value=None):
        ranks, calibrated = unseen_rows(
            [SearcherMethod("random", "random"), ProxyMethod("params", "params"), meta],
            tasks,
            SPACE,
            lambda _: features,
        )
    assert [row["score"] for row in ranks] == ["params", *meta.scorers]
    by_task = [
        stats.spearmanr(SPACE.params(task.archs, len(task.classes)), task.accuracy).statistic for task in tasks
    ]
    assert ranks[0]["spearman"]["mean"] == pytest.approx(np.mean(by_task))
    assert ranks[0]["tasks"] == 8
    assert ranks[0]["spearman"]["low"] < np.mean(by_task) < ranks[0]["spearman"]["high"]
    [row] = calibrated
    assert (row["method"], row["on"]) == ("ours", "meta-validation")
    assert row["mean_std"] > 0


def torch_features(rows: int) -> "object":
    import torch

    return torch.randn(rows, 6, generator=torch_rng("unseen"))


def test_what_was_trained_on_what(problem: Problem, judge: Judge, meta: MetaMethod, tmp_path: Path) -> None:
    trials = [Trial(problem, judge)]
    generator, predictor = provenance_rows([meta], trials)
    assert (generator["trained_on"], predictor["trained_on"], predictor["epoch"]) == (None, "demo", 3)
    assert predictor["selected_on"] is None, "nothing was measured in its training"
    assert predictor["cells"] == 50
    places = judge.rows([SPACE.parse(text) for text in meta.model.checkpoint.train_archs])
    best = judge.truth >= np.sort(judge.truth)[-1563]
    assert predictor["top10"] == {"made up": pytest.approx(100 * best[places].mean())}
    found = audits("open", [meta], trials, Kept(tmp_path))
    assert [one["database"] for one in found] == ["open", "demo"], "the checkpoint's own is audited, too"
    assert found[0]["comparison"]["benchmark"] == "made up"
    with mock.patch.object(provenance, "audit", side_effect=AssertionError("computed again")):
        assert audits("open", [meta], trials, Kept(tmp_path)) == found
