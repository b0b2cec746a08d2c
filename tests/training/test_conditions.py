"""Generators that can be told what is wanted: they aim at it, and nothing changes for those that cannot."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.errors import ConfigError, UnknownNameError
from metad2a.models.generator import Generator
from metad2a.runtime import shipped, torch_rng
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.training.conditions import Conditions, conditions_of
from metad2a.training.meta_data import MetaData
from metad2a.training.objectives import GeneratorObjective

SIZE: dict[str, Any] = {"feature_dim": 6, "num_types": 7, "num_nodes": 8, "hidden": 24, "latent": 8}
NAMES = ["accuracy", "flops"]


@pytest.fixture
def data(make_data: Callable[..., MetaData]) -> MetaData:
    return make_data(tasks=20, per_task=16, difficulty=5.0)


def objective(data: MetaData, space: NASBench201, conditions: Conditions | None) -> GeneratorObjective:
    return GeneratorObjective(
        data=data,
        train_rows=data.train_rows,
        valid_rows=data.valid_rows,
        batch_size=32,
        images_per_class=4,
        seed=1,
        latent=8,
        space=space,
        conditions=conditions,
    )


def generator(space: NASBench201, **options: Any) -> Generator:
    assert space.topology is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Generator(**SIZE, topology=space.topology.nonzero().tolist(), **options)


def test_what_records_meet(data: MetaData, space: NASBench201) -> None:
    found = conditions_of(data, NAMES, space)
    own = data.task_of == 7
    assert torch.equal(found.told[own, 0].argsort(), data.accuracy[own].argsort())
    archs = [space.parse(data.arch_names[arch]) for arch in data.arch_of.tolist()]
    np.testing.assert_allclose(found.told[:, 1].exp(), space.flops(archs, 10, space.resolution), rtol=1e-5)
    mean, std, most = found.kept["flops"]
    train = found.told[data.train_rows, 1].double()
    assert (mean, std, most) == pytest.approx(
        (float(train.mean()), float(train.std(correction=0)), float(train.max()))
    )
    few = replace(data, task_of=torch.where(torch.arange(len(own)) < 14, 1, data.task_of))  # two are left of task 0
    unknown = conditions_of(few, ["accuracy"], space).told[:, 0].isnan()
    assert unknown.nonzero().flatten().tolist() == [14, 15]


def test_a_generator_aims_at_what_is_wanted(data: MetaData, space: NASBench201, learn: Callable[..., None]) -> None:
    conditions = conditions_of(data, NAMES, space)
    one = objective(data, space, conditions)
    net = generator(space, **one.measured)
    learn(one, net, epochs=8)
    sets = next(one.validation_batches()).sets
    told = [{}, {"accuracy": 0.1}, {"accuracy": 0.5, "flops": 1e8}, {"accuracy": 0.5, "flops": 2e7}]
    worth, flops = [], []
    with torch.inference_mode():
        for want in told:
            latents = net.latents(sets, want).repeat(12, 1)
            graphs = net.sample(latents, rules=space, generator=torch_rng("graphs"))
            archs = [arch for arch in space.decode(graphs) if arch is not None]
            worth.append(np.mean([sum((-3.0, 0.5, 2.0, 4.0, -1.0)[c] for c in arch.choices) for arch in archs]))
            flops.append(np.mean(space.flops(archs, 10, space.resolution)))
        best, nothing = net.latents(sets), net.encode(sets)[0]
    assert worth[0] > worth[1] + 3
    assert flops[2] > 1.3 * flops[3]
    assert not torch.equal(best, nothing)
    unknown = torch.full((len(nothing), 2), torch.nan)
    assert net.wishes is not None
    assert not net.wishes(unknown).any()  # nothing told, nothing moved
    assert one.validate(net)["val/recon_nll"] > 0


def test_wishes_are_checked(data: MetaData, space: NASBench201) -> None:
    kept = conditions_of(data, NAMES, space).kept
    net = generator(space, conditions=kept)
    sets = next(objective(data, space, None).validation_batches()).sets
    with pytest.raises(ConfigError, match=r"want accuracy=1\.5: give a share"):
        net.latents(sets, {"accuracy": 1.5})
    with pytest.raises(ConfigError, match="want flops=-1: give a positive"):
        net.latents(sets, {"flops": -1.0})
    with pytest.raises(UnknownNameError, match="Did you mean 'flops'"):
        net.latents(sets, {"flop": 1.0})
    with pytest.raises(ConfigError, match=r"model\.condition=\[accuracy\]"):
        generator(space).latents(sets, {"accuracy": 1.0})
    with pytest.raises(ValueError, match="unknown condition 'size'"):
        generator(space, conditions={"size": (0.0, 1.0, 1.0)})
    assert net.wishes is not None
    assert net.wishes.told({"accuracy": 0.5})[0, 0] == pytest.approx(0.0)
    assert net.wishes.told({"accuracy": 1.0})[0, 0] == kept["accuracy"][2] == net.wishes.told({})[0, 0]
    assert net.wishes.told({})[0, 1].isnan()


def test_without_conditions_the_draws_and_the_loss_are_as_ever(data: MetaData, space: NASBench201) -> None:
    one = objective(data, space, None)
    net = generator(space)
    assert one.measured == {}
    assert "wishes" not in dict(net.named_children())
    batch = next(one.batches(0))
    assert batch.noise is not None
    assert batch.noise.shape[1] == 8
    torch.testing.assert_close(
        one.loss(net, batch)["loss"] * 32, net(batch.sets, batch.archs, noise=batch.noise).loss
    )


def test_shipped_generators_are_told_nothing() -> None:
    for file in shipped("data", "pretrained").glob("nasbench201*.safetensors"):
        model = MetaD2A.from_checkpoint(file, device="cpu").generator
        assert model.wishes is None
        assert model.config["conditions"] is None
