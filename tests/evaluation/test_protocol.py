import json
import logging
import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import stats

from metad2a.data.features import FeatureSet
from metad2a.errors import CheckpointError, ConfigError, DataError
from metad2a.evaluation.asking import Remembered, uniform_sample
from metad2a.evaluation.protocol import BUDGETS, Evaluation, best_of, evaluate
from metad2a.models.checkpoint import Checkpoint
from metad2a.oracles.table import TableOracle
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.search.metad2a import MetaD2A
from metad2a.search.random_search import RandomSearch
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()
STATIC = 3  # the place, in the list of all cells, of the most frequent architecture of meta-training
SEEDS, CANDIDATES = 2, 60
METRICS = {
    *("top1", "best_of", "regret"),
    *("kendall_generated", "spearman_generated", "kendall_all", "kendall_top10pct"),
}
Table = dict[Architecture, float]


@pytest.fixture(scope="module")
def table() -> Table:
    """A made-up truth about every cell: half its size, half luck."""
    archs = list(SPACE.enumerate())
    size = SPACE.params(archs, 5) / SPACE.params(archs, 5).max()
    luck = numpy_rng("luck").uniform(0, 1, len(archs))
    return dict(zip(archs, (40 + 30 * size + 20 * luck).tolist(), strict=True))


@pytest.fixture(scope="module")
def images() -> FeatureSet:
    return FeatureSet(
        torch.randn(10, 6, generator=torch_rng("images")),
        np.arange(10) % 5,
        list("abcde"),
        embedder="test features",
        name="ten images",
    )


@pytest.fixture(scope="module")
def model(make_checkpoint: Callable[..., Checkpoint], table: Table) -> MetaD2A:
    archs = list(table)
    known = tuple(SPACE.format(archs[i]) for i in (STATIC, 100, 200))
    checkpoint = make_checkpoint(train_archs=known)
    return MetaD2A(checkpoint, name="untrained", device="cpu")


@pytest.fixture(scope="module")
def evaluation(model: MetaD2A, images: FeatureSet, table: Table) -> Evaluation:
    oracle = TableOracle(table, SPACE, name="made up")
    return evaluate(model, images, oracle, seeds=SEEDS, n_candidates=CANDIDATES)


def test_best_of_is_a_running_maximum() -> None:
    true = np.array([50.0, 40.0, 60.0, 55.0])
    assert best_of(true, (1, 2, 3, 10)) == {"1": 50.0, "2": 50.0, "3": 60.0, "10": 60.0}
    assert list(best_of(true)) == ["1", "2", "5", "10", "30", "100", "500"]


def test_what_other_programs_rely_on(evaluation: Evaluation) -> None:
    content = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert {"dataset", "oracle", "runs", "metrics", "spread", "baselines"} <= set(content)
    assert (content["dataset"], content["oracle"], content["runs"]) == ("ten images", "made up", SEEDS)
    assert set(content["metrics"]) >= METRICS
    assert set(content["metrics"]["best_of"]) == {str(budget) for budget in BUDGETS}
    assert set(content["spread"]) == set(content["metrics"])
    assert set(content["spread"]["best_of"]) == set(content["metrics"]["best_of"])
    assert {"random", "params", "static"} <= set(content["baselines"])
    for baseline in content["baselines"].values():
        assert {"top1", "best_of", "regret"} <= set(baseline)


def test_metrics_are_those_of_the_searches(
    evaluation: Evaluation, model: MetaD2A, images: FeatureSet, table: Table
) -> None:
    optimum = max(table.values())
    for seed, row in enumerate(evaluation.per_run):
        result = model.search(images, n_candidates=CANDIDATES, random_state=seed)
        true = [table[SPACE.parse(candidate.arch)] for candidate in result.candidates]
        assert row["top1"] == true[0]
        assert row["regret"] == pytest.approx(optimum - true[0])
        assert row["mean_generated"] == pytest.approx(np.mean(true))
        assert row["best_of"] == {str(budget): max(true[:budget]) for budget in BUDGETS}
        order = [-candidate.rank for candidate in result.candidates]
        assert row["kendall_generated"] == pytest.approx(stats.kendalltau(order, true).statistic)
        assert row["spearman_generated"] == pytest.approx(stats.spearmanr(order, true).statistic)


def test_agreement_over_the_whole_space(
    evaluation: Evaluation, model: MetaD2A, images: FeatureSet, table: Table
) -> None:
    truth = np.array(list(table.values()))
    predicted = model.predict(images, list(table), random_state=1)
    best = np.argsort(-truth)[: math.ceil(0.1 * len(truth))]
    row = evaluation.per_run[1]
    assert row["kendall_all"] == pytest.approx(stats.kendalltau(predicted, truth).statistic)
    assert row["spearman_all"] == pytest.approx(stats.spearmanr(predicted, truth).statistic)
    top = stats.kendalltau(predicted[best], truth[best]).statistic
    assert row["kendall_top10pct"] == pytest.approx(top)


def test_means_and_spread(evaluation: Evaluation) -> None:
    for name, value in evaluation.metrics.items():
        rows = [row[name] for row in evaluation.per_run]
        if isinstance(value, dict):
            spread = evaluation.spread[name]
            assert isinstance(spread, dict)
            for budget in value:
                column = [row[budget] for row in rows]
                assert value[budget] == pytest.approx(np.mean(column))
                assert spread[budget] == pytest.approx(np.std(column, ddof=1))
        else:
            assert value == pytest.approx(np.mean(rows))
            assert evaluation.spread[name] == pytest.approx(np.std(rows, ddof=1))


def test_random_search_is_a_baseline(evaluation: Evaluation, table: Table) -> None:
    runs = [[table[arch] for arch in RandomSearch(SPACE, seed=seed).ask(500)] for seed in range(SEEDS)]
    baseline = evaluation.baselines["random"]
    assert baseline["top1"] == pytest.approx(np.mean([run[0] for run in runs]))
    for budget in BUDGETS:
        assert baseline["best_of"][str(budget)] == pytest.approx(np.mean([max(run[:budget]) for run in runs]))
    assert baseline["regret"] == pytest.approx(max(table.values()) - baseline["top1"])
    assert baseline["spread"]["top1"] > 0


def test_the_largest_network_is_a_baseline(evaluation: Evaluation, table: Table) -> None:
    archs = list(SPACE.enumerate())
    params = SPACE.params(archs, 5)
    largest = archs[int(params.argmax())]
    baseline = evaluation.baselines["params"]
    assert (params == params.max()).sum() == 1
    assert baseline["top1"] == table[largest]
    expected = stats.kendalltau(params, list(table.values())).statistic
    assert baseline["kendall_all"] == pytest.approx(expected)
    assert expected > 0.3, "the made-up truth depends on size"


def test_the_most_frequent_architecture_is_a_baseline(evaluation: Evaluation, table: Table) -> None:
    values = list(table.values())
    baseline = evaluation.baselines["static"]
    assert baseline["top1"] == values[STATIC]
    assert baseline["best_of"]["2"] == max(values[STATIC], values[100])
    assert baseline["best_of"]["500"] == max(values[STATIC], values[100], values[200])


def test_one_run_has_no_spread(
    make_checkpoint: Callable[..., Checkpoint], images: FeatureSet, table: Table
) -> None:
    model = MetaD2A(make_checkpoint(), name="untrained", device="cpu")
    oracle = TableOracle(dict.fromkeys(table, 50.0), SPACE, name="all alike")
    content = evaluate(model, images, oracle, seeds=1, n_candidates=5).to_dict()
    assert content["runs"] == 1
    assert content["spread"]["top1"] == 0
    assert set(content["spread"]["best_of"].values()) == {0}
    assert "static" not in content["baselines"], "this checkpoint knows no training architectures"
    assert content["metrics"]["top1"] == 50
    assert content["metrics"]["regret"] == 0
    assert content["metrics"]["kendall_all"] is None, "equal accuracies have no order"
    json.dumps(content, allow_nan=False)


def test_an_incomplete_table(model: MetaD2A, images: FeatureSet, table: Table) -> None:
    oracle = TableOracle(dict(list(table.items())[:-15_000]), SPACE, name="made up")
    with pytest.raises(DataError, match="made up lists 625 of 15625 architectures"):
        evaluate(model, images, oracle, seeds=1)


def test_an_oracle_that_lists_nothing(model: MetaD2A, images: FeatureSet, table: Table) -> None:
    class Asked:
        name = "asked"
        calls: ClassVar[list[Architecture]] = []

        def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> np.ndarray:
            self.calls.extend(archs)
            return np.array([table[arch] for arch in archs])

    found = evaluate(model, images, Asked(), seeds=2, n_candidates=20, sample=100)
    assert (found.oracle, found.archs) == ("asked", 100)
    sample = uniform_sample(SPACE, 100)
    truth = [table[arch] for arch in sample]
    predicted = model.predict(images, sample, random_state=1)
    assert found.per_run[1]["kendall_all"] == pytest.approx(stats.kendalltau(predicted, truth).statistic)
    assert len(Asked.calls) == len({SPACE.canonical(arch) for arch in Asked.calls}), "none is evaluated twice"
    best = max(table[arch] for arch in Asked.calls)
    assert found.metrics["regret"] == pytest.approx(best - found.metrics["top1"])
    params = SPACE.params(list(table), 5)
    largest = list(table)[int(params.argmax())]
    assert found.baselines["params"]["top1"] == table[largest]
    expected = stats.kendalltau(SPACE.params(sample, 5), truth).statistic
    assert found.baselines["params"]["kendall_all"] == pytest.approx(expected)
    random = [[table[arch] for arch in RandomSearch(SPACE, seed=seed).ask(20)] for seed in range(2)]
    assert found.baselines["random"]["best_of"]["500"] == pytest.approx(np.mean([max(run) for run in random]))


def test_how_long_an_oracle_takes_is_told_before_and_after_a_few(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    class Slow:
        name = "slow"
        told: ClassVar[list[int]] = []

        def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> np.ndarray:
            self.told.append(len(caplog.messages))
            clock[0] += 10 * len(archs)
            return np.full(len(archs), 50.0)

    monkeypatch.setattr("metad2a.evaluation.asking.time.monotonic", lambda: clock[0])
    archs = SPACE.sample(9, numpy_rng("slow"))
    assert len(set(map(SPACE.canonical, archs))) == 9
    remembered = Remembered(Slow(), SPACE)
    remembered.evaluate(archs[:1])
    assert caplog.messages == [], "one alone is asked in silence"
    with caplog.at_level(logging.INFO, logger="metad2a.evaluation.asking"):
        remembered.evaluate_all([archs[:4], archs[2:]])
    assert caplog.messages == [
        "slow: 11 evaluations of 9 networks, 1 of which are kept from before",
        "slow: 10 s a network, about 50 s for the other 5",
    ]
    assert Slow.told == [0, 1, 1, 1, 2, 2, 2, 2, 2], "one after another, so that the bar moves"


def test_the_searches_run_free_when_asked(model: MetaD2A, images: FeatureSet, table: Table) -> None:
    with pytest.raises(CheckpointError, match="cannot decode unconstrained"):
        evaluate(model, images, TableOracle(table, SPACE, name="made up"), seeds=1, constrained=False)


def test_no_seeds(model: MetaD2A, images: FeatureSet, table: Table) -> None:
    with pytest.raises(ConfigError, match="seeds=0: at least one run"):
        evaluate(model, images, TableOracle(table, SPACE, name="made up"), seeds=0)
