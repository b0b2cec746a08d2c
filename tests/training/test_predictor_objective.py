"""What a predictor learns: ranks instead of accuracies, pairs instead of records, features beside graphs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from metad2a.errors import ConfigError
from metad2a.models.predictor import Predictor
from metad2a.training.meta_data import MetaData
from metad2a.training.predictor_objective import PredictorObjective

MakeData = Callable[..., MetaData]
SIZE: dict[str, Any] = {"feature_dim": 6, "num_types": 7, "num_nodes": 8, "hidden": 16, "latent": 8}


def objective(data: MetaData, **settings: Any) -> PredictorObjective:
    common: dict[str, Any] = {
        "data": data,
        "train_rows": data.train_rows,
        "valid_rows": data.valid_rows,
        "batch_size": 16,
        "images_per_class": 4,
        "seed": 1,
    }
    return PredictorObjective(**common | settings)


def model(**options: Any) -> Predictor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Predictor(**SIZE, **options)


@pytest.fixture
def data(make_data: MakeData) -> MetaData:
    return make_data(tasks=12, per_task=8, difficulty=5.0, noise=0.5)


@pytest.mark.parametrize(
    "settings", [{"aim": "ranks"}, {"loss_name": "pairwise"}, {"aim": "ranks", "target_scale": 0.5}]
)
def test_the_order_within_tasks_is_learned(
    settings: dict[str, Any], data: MetaData, learn: Callable[..., None]
) -> None:
    one, net = objective(data, **settings), model()
    before = one.validate(net)["val/spearman_within_tasks"]
    learn(one, net, epochs=12)
    scores = one.validate(net)
    assert scores["val/spearman_within_tasks"] > max(before, 0) + 0.3
    assert scores["val/spearman_within_tasks"] > 0.6
    # What a difference of scores is in percent is of the right size.
    assert scores["val/pair_error"] < 1.5 * float(data.accuracy.std())
    mean, scale = one.target
    assert 40 < mean < 80
    assert scale > 0


def test_a_rank_is_what_is_regressed(data: MetaData) -> None:
    one, net = objective(data, aim="ranks", target_scale=0.5), model()
    batch = next(iter(one.batches(0)))
    assert one._within is not None
    wanted = 0.5 * one._within.rank[batch.rows]
    error = (net(batch.sets, batch.archs) - wanted).square().mean()
    torch.testing.assert_close(one.loss(net, batch)["loss"], error)
    assert one.target == (one._within.level, one._within.spread / 0.5)


def test_batches_of_pairs_keep_the_records_of_a_task_together(data: MetaData) -> None:
    one = objective(data, loss_name="pairwise")
    for epoch in range(2):
        rows = torch.cat([batch.rows for batch in one.batches(epoch)])
        assert torch.equal(rows.sort().values, data.train_rows)
        tasks = data.task_of[rows]
        assert len(tasks.unique_consecutive()) == len(tasks.unique())
    first, second = (torch.cat([batch.rows for batch in one.batches(epoch)]) for epoch in range(2))
    assert not torch.equal(data.task_of[first].unique_consecutive(), data.task_of[second].unique_consecutive())
    inside = [rows[data.task_of[rows] == data.task_of[first[0]]] for rows in (first, second)]
    assert not torch.equal(*inside)
    plain = torch.cat([batch.rows for batch in objective(data).batches(0)])
    assert len(data.task_of[plain].unique_consecutive()) > len(tasks.unique())


def test_scores_of_pairs_get_the_spread_of_accuracies(data: MetaData) -> None:
    one, net = objective(data, loss_name="pairwise"), model()
    before = one.target
    plain = one.validate(net)
    with torch.no_grad():  # any level, any scale: the percentages stay
        net.out.weight.mul_(7)
        net.out.bias.mul_(7).add_(100)
    again = one.validate(net)
    assert one.target != before
    assert again["val/pair_error"] == pytest.approx(plain["val/pair_error"], rel=1e-3)
    assert again["val/mae"] == pytest.approx(plain["val/mae"], rel=1e-3)


def test_pairs_need_one_process(data: MetaData) -> None:
    with pytest.raises(ConfigError, match=r"Set trainer\.devices=1"):
        objective(data, loss_name="pairwise", world_size=2)


def test_features_reach_the_model(data: MetaData) -> None:
    known = torch.randn(len(data.archs), 3, generator=torch.Generator().manual_seed(0))
    one, net = objective(data, arch_features=known), model(arch_features=3)
    batch = next(iter(one.batches(0)))
    expected = net(batch.sets, batch.archs, known[data.arch_of[batch.rows]])
    mean, scale = one.target
    error = (expected - (batch.accuracy - mean) / scale).square().mean()
    torch.testing.assert_close(one.loss(net, batch)["loss"], error)
    scores = one.validate(net)
    shuffled = objective(data, arch_features=known.flip(0)).validate(net)
    assert scores["val/spearman_advantage"] != shuffled["val/spearman_advantage"]
