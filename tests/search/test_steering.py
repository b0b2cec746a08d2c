import numpy as np
import pytest
import torch

from metad2a.models.graph_decoder import GraphDecoder
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.search.constraints import Costs
from metad2a.search.steering import Steering
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import FIRST_OPERATION, NAMES, NASBench201

LIMIT = 300_000.0


@pytest.fixture
def steering(space: NASBench201) -> Steering:
    return Steering(space, Costs(space, 10), {"params": LIMIT})


def test_penalties_are_what_types_cost(space: NASBench201, steering: Steering) -> None:
    assert steering.active
    assert steering.penalty is None
    dear = [Architecture(space.name, (NAMES.index("nor_conv_3x3"),) * 6)]
    steering.learn(dear)
    assert steering.rising
    assert steering.penalty is not None
    operations = steering.penalty[1:-1, FIRST_OPERATION:]
    kernel, one = NAMES.index("nor_conv_3x3"), NAMES.index("nor_conv_1x1")
    above = operations - operations[:, [NAMES.index("none")]]
    free = [i for i in range(len(NAMES)) if i not in (kernel, one)]
    assert above[:, free].abs().max() < 0.01 * above[:, kernel].min()
    [cheap, small, large] = (
        space.params([Architecture(space.name, (i, 0, 0, 0, 0, 0))], 10)[0] for i in (0, one, kernel)
    )
    np.testing.assert_allclose(above[:, one] / above[:, kernel], (small - cheap) / (large - cheap), rtol=0.02)


def test_prices_fall_when_most_meet_the_limit(space: NASBench201, steering: Steering) -> None:
    dear, cheap = Architecture(space.name, (3,) * 6), Architecture(space.name, (0,) * 6)
    for _ in range(3):
        steering.learn([dear])
    high = steering.penalty
    steering.learn([dear, cheap])
    assert high is not None
    assert steering.penalty is not None
    torch.testing.assert_close(steering.penalty, high, msg="half of them is what is wanted")
    for _ in range(3):
        steering.learn([cheap])
    assert steering.penalty is None
    assert not steering.rising


def test_a_cost_that_does_not_vary_cannot_be_steered(space: NASBench201, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "params", lambda archs, _: np.ones(len(archs)))
    steering = Steering(space, Costs(space, 10), {"params": 0.5})
    steering.learn(space.sample(10, numpy_rng("any")))
    assert not steering.active
    assert not steering.rising
    assert steering.penalty is None


def test_the_decoder_avoids_what_is_penalised(space: NASBench201) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = GraphDecoder(7, 8, 12, 8, topology=space.topology.nonzero().tolist())
    penalty = torch.zeros(8, 7)
    penalty[3, FIRST_OPERATION + 1] = 50.0
    plain, steered = (
        decoder.sample(torch.zeros(200, 8), rules=space, generator=torch_rng(0), penalty=used).types
        for used in (None, penalty)
    )
    assert (plain[:, 3] == FIRST_OPERATION + 1).any()
    assert not (steered[:, 3] == FIRST_OPERATION + 1).any()
    assert torch.equal(plain[:, :3], steered[:, :3])
