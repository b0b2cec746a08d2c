"""A supernet's networks are real ones whose weights are parts of its own."""

import numpy as np
import pytest
import torch
from torch import nn

from metad2a.runtime import torch_rng
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.mobilenetv3 import MobileNetV3Network
from metad2a.spaces.networks.supernet import LARGEST, SMALLEST, Supernet, recalibrate

SIZE = {"width": 25, "downsampling": 8}
SPACE = MobileNetV3()
DRAWN = [SPACE.layers(arch) for arch in SPACE.sample(2, np.random.default_rng(0))]


@pytest.fixture(scope="module")
def net() -> Supernet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Supernet(5, **SIZE)
        for matrix in [*net.to5, *net.to3]:  # as after training
            matrix.data += 0.1 * torch.randn(matrix.shape)
    return net.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(6, 3, 16, 16, generator=torch_rng("images"))


@pytest.mark.parametrize("layers", [LARGEST, SMALLEST, *DRAWN], ids=["largest", "smallest", "first", "second"])
def test_a_network_that_is_taken_out_computes_what_the_supernet_does(
    net: Supernet, images: torch.Tensor, layers: list[list[tuple[int, int]]]
) -> None:
    network = net.network(layers)
    built = MobileNetV3Network(layers, 5, **SIZE)
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in built.state_dict().items()
    }
    built.load_state_dict(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(built.eval()(images), net(images, layers))
    assert not {value.data_ptr() for value in network.parameters()} & {
        value.data_ptr() for value in net.parameters()
    }


def test_weights_are_the_first_channels_and_the_first_layers(net: Supernet) -> None:
    own = net.network(SMALLEST).state_dict()
    shared = net.largest.state_dict()
    for name in (
        "stages.2.1.body.expand.conv.weight",
        "stages.4.0.body.squeeze.gate.reduce.bias",
        "head.mix.weight",
    ):
        first = tuple(map(slice, own[name].shape))
        assert torch.equal(own[name], shared[name][first])
    assert not any(name.startswith("stages.0.2") for name in own)


def test_small_kernels_are_centres_times_matrices(net: Supernet) -> None:
    name = "stages.1.0.body.depthwise.conv.weight"
    whole = net.largest.state_dict()[name]
    of = {kernel: net.network([[(kernel, 6)] * 2] * 5).state_dict()[name] for kernel in (3, 5, 7)}
    assert torch.equal(of[7], whole)
    five = (whole[:, 0, 1:6, 1:6].reshape(-1, 25) @ net.to5[4].T).reshape(-1, 1, 5, 5)
    torch.testing.assert_close(of[5], five)
    torch.testing.assert_close(of[3], (five[:, 0, 1:4, 1:4].reshape(-1, 9) @ net.to3[4].T).reshape(-1, 1, 3, 3))


def test_a_new_supernet_crops_kernels() -> None:
    net = Supernet(2, **SIZE)
    name = "stages.0.1.body.depthwise.conv.weight"
    own = net.network(SMALLEST).state_dict()[name]
    torch.testing.assert_close(own, net.largest.state_dict()[name][: len(own), :, 2:5, 2:5])


def test_gradients_reach_the_shared_weights_and_no_others(images: torch.Tensor) -> None:
    net = Supernet(5, **SIZE)
    net(images, [[(5, 3)] * 2] * 5).square().sum().backward()
    gradient = dict(net.named_parameters())["largest.stages.0.0.body.expand.conv.weight"].grad
    assert gradient is not None
    used = 3 * gradient.shape[0] // 6
    assert bool(gradient[:used].any())
    assert not bool(gradient[used:].any())
    assert net.to5[0].grad is not None
    assert net.to3[0].grad is None, "no kernel of 3 was used"
    assert net.to5[2].grad is None, "the third layer was not used"


def test_rows_of_the_head_make_a_classifier_of_some_classes(net: Supernet, images: torch.Tensor) -> None:
    with torch.no_grad():
        some = net.network(SMALLEST, [3, 1])(images)
        torch.testing.assert_close(some, net(images, SMALLEST)[:, [3, 1]])


def test_recalibrated_statistics_are_those_of_all_batches(net: Supernet, images: torch.Tensor) -> None:
    network = net.network(SMALLEST)
    weights = {name: value.clone() for name, value in network.named_parameters()}
    recalibrate(network, images.split(3))
    with torch.no_grad():
        seen = [network.stem.conv(part) for part in images.split(3)]
    norm = network.stem.norm
    torch.testing.assert_close(norm.running_mean, torch.stack([part.mean((0, 2, 3)) for part in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([part.var((0, 2, 3)) for part in seen]).mean(0))
    assert not any(module.training for module in network.modules())
    assert {module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}
    assert all(torch.equal(value, weights[name]) for name, value in network.named_parameters())
