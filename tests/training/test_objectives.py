from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from metad2a.data.features import SetBatch
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.runtime import torch_rng
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.training.meta_data import MetaData
from metad2a.training.objectives import (
    NEW_TASKS,
    GeneratorObjective,
    MetaBatch,
    Objective,
)
from metad2a.training.predictor_objective import PredictorObjective

MakeData = Callable[..., MetaData]
SIZE: dict[str, int] = {"feature_dim": 6, "num_types": 7, "num_nodes": 8, "hidden": 16, "latent": 8}


def objective(kind: str, data: MetaData, **settings: Any) -> Any:
    common: dict[str, Any] = {
        "data": data,
        "train_rows": data.train_rows,
        "valid_rows": data.valid_rows,
        "batch_size": 16,
        "images_per_class": 4,
        "seed": 1,
    }
    if kind == "predictor":
        return PredictorObjective(**common | settings)
    return GeneratorObjective(**common | {"latent": 8, "space": NASBench201()} | settings)


def model(kind: str) -> Generator | Predictor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "predictor":
            return Predictor(**SIZE)
        return Generator(**SIZE, topology=NASBench201().topology.nonzero().tolist())


def learn(objective: Objective, net: nn.Module, *, epochs: int, rate: float) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        net.train()
        for batch in objective.batches(epoch):
            optimizer.zero_grad()
            objective.loss(net, batch)["loss"].backward()
            optimizer.step()
        schedule.step()
    net.eval()


def tensors(batch: MetaBatch) -> list[Tensor]:
    noise = [] if batch.noise is None else [batch.noise]
    return [batch.sets.features, batch.sets.mask, batch.archs.types, batch.archs.edges, batch.accuracy, *noise]


def equal(a: list[MetaBatch], b: list[MetaBatch]) -> bool:
    pairs = [
        pair for one, other in zip(a, b, strict=True) for pair in zip(tensors(one), tensors(other), strict=True)
    ]
    return all(one.shape == other.shape and torch.equal(one, other) for one, other in pairs)


@pytest.fixture
def data(make_data: MakeData) -> MetaData:
    return make_data(tasks=12, per_task=6, difficulty=1.0, noise=1.0)


# --- batches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["predictor", "generator"])
def test_batches_are_a_function_of_seed_and_epoch(kind: str, data: MetaData) -> None:
    one, other = objective(kind, data), objective(kind, data, seed=2)
    first = list(one.batches(3))
    half_used = one.batches(3)
    next(half_used)
    list(one.batches(0))
    one.validate(model(kind))
    torch.rand(5)
    assert equal(list(one.batches(3)), first)
    assert equal(list(objective(kind, data).batches(3)), first)
    assert not equal(list(one.batches(4)), first)
    assert not equal(list(other.batches(3)), first)
    assert equal(list(one.validation_batches()), list(one.validation_batches()))


@pytest.mark.parametrize("kind", ["predictor", "generator"])
def test_an_epoch_is_every_training_record_once(kind: str, data: MetaData) -> None:
    one = objective(kind, data, batch_size=16)
    batches = list(one.batches(0))
    assert len(batches) == one.batches_per_epoch == 4  # 54 records
    assert [len(batch.accuracy) for batch in batches] == [16, 16, 16, 6]
    seen = torch.cat([batch.accuracy for batch in batches]).sort().values
    assert torch.equal(seen, data.accuracy[data.train_rows].sort().values)
    valid = torch.cat([batch.accuracy for batch in one.validation_batches()])
    assert torch.equal(valid, data.accuracy[data.valid_rows])


def test_a_batch_belongs_together(data: MetaData) -> None:
    one = objective("predictor", data)
    centres = torch.stack([images.mean(0) for images in data.features.features.split(6)])
    for batch in one.batches(0):
        # The images drawn lie around the classes of the task whose record this is.
        drawn = batch.sets.features.mean(2)
        classes = torch.cdist(drawn, centres.expand(len(drawn), -1, -1)).argmin(-1)
        for row, accuracy in enumerate(batch.accuracy):
            record = int((data.accuracy == accuracy).nonzero()[0])
            assert classes[row].tolist() == data.tasks[data.task_of[record]].tolist()
            assert torch.equal(batch.archs.types[row], data.archs.types[data.arch_of[record]])


# --- losses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["predictor", "generator"])
def test_the_loss_is_a_mean_or_a_sum(kind: str, data: MetaData) -> None:
    net = model(kind)
    batch = next(objective(kind, data).batches(0))
    mean = objective(kind, data).loss(net, batch)["loss"]
    total = objective(kind, data, reduction="sum").loss(net, batch)["loss"]
    torch.testing.assert_close(total, 16 * mean)


def test_the_predictors_loss_is_the_squared_error_of_the_standardised_accuracy(data: MetaData) -> None:
    net = model("predictor")
    batch = next(objective("predictor", data).batches(0))
    accuracy = data.accuracy[data.train_rows]
    wanted = (batch.accuracy - accuracy.mean()) / accuracy.std()
    for scale in (1.0, 0.01):
        loss = objective("predictor", data, target_scale=scale).loss(net, batch)["loss"]
        torch.testing.assert_close(loss, (net(batch.sets, batch.archs) - scale * wanted).square().mean())


def test_the_target_turns_scores_into_percent(data: MetaData) -> None:
    class Knows(Predictor):
        """Gives the standardised accuracy of each record of validation, times the scale."""

        scale = 1.0

        def forward(self, sets: Any, archs: Any) -> Tensor:
            mean, std = data.target()
            return self.scale * (data.accuracy[data.valid_rows] - mean) / std

    net = Knows(**SIZE)
    for scale in (1.0, 0.01):
        net.scale = scale
        scores = objective("predictor", data, target_scale=scale).validate(net)
        assert scores["val/mae"] < 1e-4
        assert scores["val/spearman"] == scores["val/kendall_tau"] == pytest.approx(1)
        assert scores["val/spearman_within_tasks"] == pytest.approx(1)


def test_the_generators_loss_has_parts(data: MetaData) -> None:
    net = model("generator")
    batch = next(objective("generator", data).batches(0))
    losses = objective("generator", data, beta=0.5).loss(net, batch)
    assert set(losses) == {"loss", "recon", "kl"}
    torch.testing.assert_close(losses["loss"], losses["recon"] + 0.5 * losses["kl"])
    quiet = objective("generator", data, beta=0.5, eps_scale=0.0).loss(net, batch)
    torch.testing.assert_close(quiet["recon"], net(batch.sets, batch.archs).recon / 16)
    assert not torch.equal(quiet["recon"], losses["recon"]), "the latent noise has no effect"


# --- learning -----------------------------------------------------------------------------------------------


def test_the_predictor_learns_what_makes_an_architecture_good(make_data: MakeData) -> None:
    data = make_data(tasks=16, per_task=16, difficulty=1.0)
    one, net = objective("predictor", data, batch_size=24), model("predictor")
    before = one.validate(net.eval())
    learn(one, net, epochs=15, rate=0.02)
    after = one.validate(net)
    assert abs(before["val/spearman"]) < 0.6
    assert after["val/spearman"] > 0.9
    assert after["val/spearman_within_tasks"] > 0.9
    assert after["val/spearman_advantage"] > 0.9
    assert after["val/mae"] < 0.4 * float(np.std(data.accuracy.numpy()))
    assert one.validate(net) == after, "validation must not depend on what happened before"


@pytest.mark.parametrize("kind", ["predictor", "generator"])
def test_tasks_in_both_parts_are_left_out_of_further_scores(kind: str, data: MetaData) -> None:
    one, net = objective(kind, data, **({"samples": 8} if kind == "generator" else {})), model(kind).eval()
    assert one.is_new_task is None
    assert not any(name.startswith(NEW_TASKS) for name in one.validate(net)), "all tasks are new: nothing to add"
    valid = data.valid.clone()
    valid[:2] = False  # two records of task 0 are learned from
    shared = replace(data, valid=valid)
    rows = {"train_rows": shared.train_rows, "valid_rows": shared.valid_rows}
    other = replace(one, data=shared, **rows)
    scores = other.validate(net)
    alone = replace(other, valid_rows=shared.new_task_rows)
    assert len(alone.valid_rows) == len(shared.valid_rows) - 4
    further = {name.removeprefix(NEW_TASKS) for name in scores if name.startswith(NEW_TASKS)}
    assert further == {name.removeprefix("val/") for name in one.validate(net) if name.startswith("val/")}
    if kind == "generator":  # the images are drawn as if these were all records
        expected = alone.validate(net)
        assert scores[f"{NEW_TASKS}recon_nll"] == pytest.approx(expected["val/recon_nll"])
    none_new = replace(other, valid_rows=shared.valid_rows[:4])
    assert none_new.is_new_task is None


class Remembers(Predictor):
    """Predicts the accuracy that each record of validation has, or another one."""

    predictions: Tensor

    def forward(self, sets: Any, archs: Any) -> Tensor:
        return self.predictions


def test_scores_on_new_tasks_are_of_these_alone(data: MetaData) -> None:
    valid = data.valid.clone()
    valid[0] = False
    shared = replace(data, valid=valid)
    mean, std = shared.target()
    rows = shared.valid_rows
    net = Remembers(**SIZE)
    right = (shared.accuracy[rows] - mean) / std
    seen = ~torch.isin(rows, shared.new_task_rows)
    net.predictions = torch.where(seen, -right, right)  # wrong where the task is in meta-training too
    scores = objective("predictor", shared).validate(net)
    assert scores[f"{NEW_TASKS}spearman"] == pytest.approx(1)
    assert scores[f"{NEW_TASKS}mae"] < 1e-4
    assert scores["val/spearman"] < 0.9


def test_a_pair_trained_twice_counts_once(make_data: MakeData) -> None:
    once = make_data(tasks=12, per_task=6)
    rows = torch.cat([torch.arange(72), once.valid_rows])  # every validation pair from a second seed
    noise = torch.zeros(len(rows))
    noise[once.valid_rows] = torch.tensor([30.0, -30.0]).repeat(9)
    noise[72:] = -noise[once.valid_rows]
    twice = replace(
        once,
        task_of=once.task_of[rows],
        arch_of=once.arch_of[rows],
        accuracy=once.accuracy[rows] + noise,
        valid=once.valid[rows],
    )
    net = Remembers(**SIZE)
    for data in (once, twice):
        net.predictions = (once.accuracy[rows] / 10)[data.valid_rows]
        scores = objective("predictor", data).validate(net)
        assert scores["val/kendall_tau"] == pytest.approx(1), "the noise of the seeds averages out"
        assert scores["val/spearman_within_tasks"] == pytest.approx(1)
    assert len(objective("predictor", twice).valid_rows) == 36, "both are kept"


def test_validation_of_single_records_has_no_score_within_tasks(make_data: MakeData) -> None:
    scores = objective("predictor", make_data(tasks=20, per_task=1)).validate(model("predictor"))
    assert "val/spearman_within_tasks" not in scores
    assert {"val/spearman", "val/kendall_tau", "val/pearson", "val/mae"} <= set(scores)


def test_the_generator_learns_which_architecture_suits_a_data_set(make_data: MakeData) -> None:
    # Each task has one good architecture of its own; validated on the training tasks, to see that it can learn.
    data = make_data(tasks=4, per_task=1, archs=4, valid=0.0)
    rows = data.train_rows
    one = objective("generator", data, train_rows=rows.repeat(8), valid_rows=rows, batch_size=16, samples=64)
    net = model("generator")
    before = one.validate(net.eval())
    learn(one, net, epochs=50, rate=0.02)
    after = one.validate(net)
    assert before["val/recon_nll"] > 8
    assert after["val/recon_nll"] < 0.5
    assert after["gen/validity"] == 100
    assert after["gen/novelty"] < 75 < before["gen/novelty"] + 1
    sets = next(one.validation_batches()).sets
    made = net.sample(net.encode(sets)[0], rules=one.space, stochastic=False)
    assert one.space.decode(made) == one.space.decode(data.archs[data.arch_of[rows]])


@pytest.mark.parametrize("constrained", [True, False])
def test_samples_are_valid_where_the_space_decides(data: MetaData, constrained: bool) -> None:
    scores = objective("generator", data, constrained=constrained, samples=200).validate(model("generator"))
    assert set(scores) == {"val/recon_nll", "val/kl", "gen/validity", "gen/uniqueness", "gen/novelty"}
    assert (scores["gen/validity"] == 100) is constrained
    assert 0 <= scores["gen/uniqueness"] <= 100
    assert 0 <= scores["gen/novelty"] <= 100


@pytest.mark.parametrize("kind", ["predictor", "generator"])
def test_validation_of_a_wrapped_model(kind: str, data: MetaData) -> None:
    net = model(kind).eval()
    wrapped = Fabric(accelerator="cpu", devices=1).setup(net)
    one = objective(kind, data, **({"samples": 32} if kind == "generator" else {}))
    assert one.validate(wrapped) == one.validate(net)


def test_noise_is_standard_normal(data: MetaData) -> None:
    noise = objective("generator", data).noise(4000, torch_rng(0))
    assert noise.shape == (4000, 8)
    assert abs(float(noise.mean())) < 0.05
    assert abs(float(noise.std()) - 1) < 0.05
    assert objective("predictor", data).noise(4, torch_rng(0)) is None


# --- parts of batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["predictor", "generator"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("world_size", "batch_size"), [(2, 16), (3, 10), (5, 26)])
def test_the_parts_of_a_batch_make_up_the_batch(
    kind: str, reduction: str, world_size: int, batch_size: int, data: MetaData
) -> None:
    settings: dict[str, Any] = {"reduction": reduction, "batch_size": batch_size}
    whole = objective(kind, data, **settings)
    parts = [objective(kind, data, **settings, rank=rank, world_size=world_size) for rank in range(world_size)]
    net = model(kind).double()
    data.features.features = data.features.features.double()
    for batch, *shares in zip(whole.batches(1), *(part.batches(1) for part in parts), strict=True):
        for rank, share in enumerate(shares):
            assert share.size == len(batch.accuracy)
            assert share.counts is (rank < share.size)
            if share.counts:
                assert equal([share], [_every(batch, rank, world_size)])
        total: dict[str, Any] = {}
        for part, share in zip(parts, shares, strict=True):
            for name, value in part.loss(net, share).items():
                total[name] = total.get(name, 0.0) + value
        torch.testing.assert_close(total, dict(whole.loss(net, batch)), rtol=1e-6, atol=1e-9)


def _every(batch: MetaBatch, rank: int, world_size: int) -> MetaBatch:
    own = slice(rank, None, world_size)
    return batch._replace(
        sets=SetBatch(batch.sets.features[own], batch.sets.mask[own]),
        archs=batch.archs[torch.arange(batch.size)[own]],
        accuracy=batch.accuracy[own],
        noise=None if batch.noise is None else batch.noise[own],
    )


def test_the_loss_of_one_record_tells_of_a_plateau_whatever_the_reduction(data: MetaData) -> None:
    net = model("generator")
    mean, total = (objective("generator", data, reduction=reduction) for reduction in ("mean", "sum"))
    for batch in mean.batches(0):
        torch.testing.assert_close(total.loss(net, batch)[total.plateau_on], mean.loss(net, batch)[mean.plateau_on])
    # The predictor's records count the same, also those of the last, small batch.
    net, summed = model("predictor"), objective("predictor", data, reduction="sum")
    batches = list(summed.batches(0))
    logged = torch.stack([summed.loss(net, batch)["loss_per_record"] for batch in batches]).mean()
    loss = torch.stack([summed.loss(net, batch)["loss"] for batch in batches]).sum() / len(data.train_rows)
    torch.testing.assert_close(logged, loss)
