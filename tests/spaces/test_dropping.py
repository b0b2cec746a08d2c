"""Stochastic depth and dropout of any space's networks."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from metad2a.errors import ConfigError
from metad2a.runtime import torch_rng
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.networks.dropping import _bodies, _past, dropping

SMALL = {"mobilenetv3": {"width": 10, "downsampling": 4}, "nasbench201": {"channels": 4, "cells": 1}}
IMAGES = torch.randn(64, 3, 8, 8, generator=torch_rng("images"))


@pytest.fixture(params=[MobileNetV3, NASBench201])
def net(request: pytest.FixtureRequest) -> nn.Module:
    space: SearchSpace = request.param()
    [arch] = space.sample(1, np.random.default_rng(3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return space.build(arch, 4, **SMALL[space.name]).train()


def answers(net: nn.Module, seed: int = 0) -> torch.Tensor:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        return net(IMAGES)


@pytest.mark.parametrize("chances", [{"path": 0.5, "features": 0.0}, {"path": 0.0, "features": 0.5}])
def test_a_network_leaves_out_only_while_it_learns(net: nn.Module, chances: dict[str, float]) -> None:
    whole = answers(net)
    keys = list(net.state_dict())
    with dropping(net, **chances):
        assert not torch.allclose(answers(net), whole)
        assert torch.equal(answers(net), answers(net))
        assert not torch.equal(answers(net), answers(net, seed=1))
        assert list(net.state_dict()) == keys
        net.eval()
        used = answers(net)
    assert torch.equal(answers(net), used)
    assert torch.equal(answers(net.train()), whole)


def test_nothing_is_left_out_at_chance_zero(net: nn.Module) -> None:
    plain = copy.deepcopy(net)
    with dropping(net, path=0.0, features=0.0):
        torch.manual_seed(5)
        assert torch.equal(net(IMAGES), plain(IMAGES))
        drawn = torch.rand(1)
    assert drawn == torch.rand(1, generator=torch.Generator().manual_seed(5)), "no draw was needed"


def test_chances_rise_with_depth_and_only_shortcuts_are_taken() -> None:
    space = MobileNetV3()
    arch = space.parse("+".join(["d2:k3e3-k3e3-~k3e3-~k3e3"] * 5))
    net = space.build(arch, 4, width=10)
    found = _bodies(net, 0.2)
    # The fixed block, then of every stage the second layer: the first ones halve the image or have another width.
    assert [block.shortcut for block in [net.first, *(b for stage in net.stages for b in stage)]].count(
        True
    ) == len(found)
    assert [chance for _, chance in found][-1] == pytest.approx(0.2)
    places = [
        place for place, block in enumerate([net.first, *(b for s in net.stages for b in s)], 1) if block.shortcut
    ]
    assert [chance for _, chance in found] == pytest.approx([0.2 * place / 11 for place in places])
    cells = NASBench201()
    reductions = _bodies(cells.build(cells.sample(1, np.random.default_rng(0))[0], 4), 0.2)
    assert [chance for _, chance in reductions] == pytest.approx([0.1, 0.2])


def test_what_stays_is_scaled_so_that_the_mean_does() -> None:
    body = nn.Identity().train()
    torch.manual_seed(0)
    out = _past(0.25, body, None, torch.ones(40_000, 2, 1, 1))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(out[:, 0], out[:, 1]), "images are left out, not channels"
    assert float(out.mean()) == pytest.approx(1, abs=0.02)
    assert torch.equal(_past(0.25, body.eval(), None, torch.ones(9, 2)), torch.ones(9, 2))


def test_hooks_are_gone_after_an_error(net: nn.Module) -> None:
    whole = answers(net)
    with pytest.raises(ZeroDivisionError), dropping(net, path=0.5, features=0.5):
        raise ZeroDivisionError
    assert torch.equal(answers(net), whole)


def test_networks_that_have_nothing_to_leave_out() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten())
    with (
        pytest.raises(ConfigError, match=r"drop_path=0\.1: this network has no residual blocks"),
        dropping(plain, path=0.1, features=0.0),
    ):
        pass
    with (
        pytest.raises(ConfigError, match=r"none of that name.*recipe\.dropout=null"),
        dropping(plain, path=0.0, features=0.1),
    ):
        pass
