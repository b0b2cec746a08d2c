from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from metad2a import plugins
from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError, DataError, UnknownNameError
from metad2a.proxies.activations import LinearRegions
from metad2a.proxies.base import Proxy, get_proxy
from metad2a.proxies.network import DEAD, Inputs, NetworkProxy
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.proxies import ProxyContract

SMALL = Inputs(batch_size=4, resolution=8, scale={"channels": 4, "cells": 1})


class TestInstalledProxies(ProxyContract):
    count = 3

    @pytest.fixture(params=plugins.names("proxies"))
    def proxy(self, request: pytest.FixtureRequest) -> Proxy:
        kind = plugins.load("proxies", request.param)
        return kind(SMALL) if issubclass(kind, NetworkProxy) and kind is not LinearRegions else kind()

    @pytest.fixture
    def space(self) -> SearchSpace:
        return NASBench201()

    def test_has_the_name_it_is_found_by(self, proxy: Proxy, request: pytest.FixtureRequest) -> None:
        assert request.node.callspec.params["proxy"] == proxy.name


def test_the_built_in_proxies_are_installed() -> None:
    assert {"params", "flops"} <= set(plugins.names("proxies")), "install the project: pip install -e ."


def test_cost_proxies_are_the_costs_of_the_networks(space: NASBench201) -> None:
    archs = space.sample(20, np.random.default_rng(1))
    assert get_proxy("params").score(space, archs, 9).tolist() == space.params(archs, 9).tolist()
    assert get_proxy("flops").score(space, archs, 9).tolist() == space.flops(archs, 9, 32).tolist()


def test_an_unknown_proxy() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown proxy 'parms'\. Did you mean 'params'\?"):
        get_proxy("parms")


NETWORK_PROXIES = sorted(set(plugins.names("proxies")) - {"params", "flops"})
DEAD_CELL = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|none~2|"


@pytest.mark.parametrize("name", NETWORK_PROXIES)
def test_a_dead_network_gets_the_worst_score(name: str, space: NASBench201) -> None:
    archs = [space.parse(DEAD_CELL), space.parse(DEAD_CELL.replace("none~2", "nor_conv_1x1~2"))]
    dead, alive = get_proxy(name, inputs=SMALL).score(space, archs, 5)
    assert dead == DEAD < alive


@pytest.mark.parametrize("name", NETWORK_PROXIES)
def test_a_score_leaves_the_network_untouched(name: str, space: NASBench201) -> None:
    net = space.build(
        space.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|none~2|"), 5
    ).eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    proxy = get_proxy(name, inputs=SMALL)
    proxy.score_network(net, SMALL.batches(proxy.batch_count, 5))
    assert not net.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())


def test_snip_is_what_a_mask_of_the_weights_would_feel() -> None:
    """The definition: the gradient by a mask of ones that multiplies the weights."""
    batch = SMALL.batches(1, 5)[0]
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 5)
    )
    mask = torch.ones_like(net[0].weight, requires_grad=True)
    other = torch.ones_like(net[3].weight, requires_grad=True)
    hidden = torch.nn.functional.conv2d(batch.images, net[0].weight * mask, net[0].bias).relu().flatten(1)
    scores = torch.nn.functional.linear(hidden, net[3].weight * other, net[3].bias)
    found = torch.autograd.grad(torch.nn.functional.cross_entropy(scores, batch.labels), [mask, other])
    expected = sum(float(gradient.abs().sum()) for gradient in found)
    assert get_proxy("snip").score_network(net, [batch]) == pytest.approx(expected, rel=1e-5)


def test_images_of_a_data_set(space: NASBench201) -> None:
    images = ImageSet.open("embedded:digits")
    inputs = Inputs(images, batch_size=16, resolution=8, scale=SMALL.scale)
    first, second = inputs.batches(2, 10)
    assert first.images.shape == (16, 3, 8, 8)
    assert not torch.equal(first.images, second.images)
    assert torch.cat([first.images, second.images]).mean().abs() < 1e-5
    archs = space.sample(2, np.random.default_rng(0))
    assert np.isfinite(get_proxy("naswot", inputs=inputs).score(space, archs, 10)).all()
    with pytest.raises(DataError, match="networks of 5 classes on 'digits', which has 10"):
        inputs.batches(1, 5)
    with pytest.raises(DataError, match="needs 200 batches of 16"):
        inputs.batches(200, 10)
    with pytest.raises(ConfigError, match="batch_size=1, but must be at least 2"):
        Inputs(batch_size=1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("synflow", 0.97), ("logsynflow", 0.97), ("naswot", 0.9)])
def test_ranks_of_300_cells_are_the_published_ones(
    name: str, least: float, space: NASBench201, shared_data: Path
) -> None:
    """Published by FreeREA (MIT) with CIFAR-10 images; here those images, too, and other first weights."""
    table = pd.read_csv(shared_data / "nasbench201" / "nasbench201_cifar10.csv")
    rows = table.iloc[np.random.default_rng(0).permutation(len(table))[:300]]
    images = ImageSet.open(str(shared_data / "images" / "cifar10_train_500each.npz"))
    scores = get_proxy(name, inputs=Inputs(images)).score(space, [space.parse(text) for text in rows["arch"]], 10)
    published = rows[f"freerea_{name}"].to_numpy(float)
    # Where FreeREA has no value or no flow, the network is dead, and the other way round.
    assert set(np.flatnonzero(scores == DEAD)) == set(np.flatnonzero(~(rows["freerea_synflow"].to_numpy() > 0)))
    live = scores > DEAD
    assert stats.spearmanr(scores[live], published[live]).statistic >= least
