import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.networks.depthwise import DepthwiseConv2d
from metad2a.spaces.networks.lean import _AveragePool3x3, lean

SPACE = NASBench201()


@given(st.tuples(*[st.integers(0, 4)] * 6))
@settings(max_examples=60)
def test_the_lean_network_is_the_same_function(choices: tuple[int, ...]) -> None:
    full = SPACE.build(Architecture("nasbench201", choices), 3, channels=2, cells=2).double()
    slim = copy.deepcopy(full)
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(choices)))
    expected = full(x)
    with lean(slim):
        found = slim(x)
    torch.testing.assert_close(found, expected)
    for output in (expected, found):
        output.pow(2).sum().backward()
    for weight, same in zip(full.parameters(), slim.parameters(), strict=True):
        assert weight.grad is not None
        gradient = torch.zeros_like(weight) if same.grad is None else same.grad
        torch.testing.assert_close(gradient, weight.grad, atol=1e-9, rtol=1e-6)
    # What normalisation has learned of the batches serves the whole network just as well.
    torch.testing.assert_close(slim.eval()(x), full.eval()(x))


def test_edges_that_lead_nowhere_are_not_computed() -> None:
    arch = SPACE.parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|")
    net = SPACE.build(arch, 2, channels=2, cells=1)
    with lean(net):
        net(torch.randn(2, 3, 4, 4)).sum().backward()
    used = {name for name, weight in net.named_parameters() if weight.grad is not None}
    assert used
    assert not any("edges" in name for name in used)


def test_lean_ends_with_its_block_even_by_an_error() -> None:
    net = SPACE.build(Architecture("nasbench201", (1,) * 6), 2, channels=2, cells=1)
    cell = net.stage1[0]
    with pytest.raises(ZeroDivisionError), lean(net):
        raise ZeroDivisionError(cell.lean)
    assert not cell.lean
    with lean(nn.Linear(1, 1)):
        pass  # other networks have nothing to leave out


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (5, 3), (16, 16)])
def test_pooling_by_sums_is_average_pooling(size: tuple[int, int]) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, *size))).requires_grad_()
    pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    torch.testing.assert_close(_AveragePool3x3.apply(x), pool(x))
    assert torch.autograd.gradcheck(_AveragePool3x3.apply, x)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 4), (5, 3), (8, 8), (16, 16)])
def test_gradients_of_depthwise_convolutions_by_pairs_of_pixels(
    kernel: int, stride: int, size: tuple[int, int]
) -> None:
    rng = torch.Generator().manual_seed(0)
    whole = DepthwiseConv2d(3, kernel, stride).double()
    slim = copy.deepcopy(whole)
    images = torch.randn(2, 3, *size, dtype=torch.float64, generator=rng)
    x, same = (images.clone().to(memory_format=torch.channels_last).requires_grad_() for _ in range(2))
    expected = whole(x)
    with lean(slim):
        found = slim(same)
    torch.testing.assert_close(found, expected)
    outer = torch.randn(expected.shape, dtype=torch.float64, generator=rng)
    expected.backward(outer)
    found.backward(outer)
    torch.testing.assert_close(same.grad, x.grad)
    torch.testing.assert_close(slim.weight.grad, whole.weight.grad)


def test_the_gradient_of_a_gradient_is_right_too() -> None:
    conv = DepthwiseConv2d(2, 5).double()
    conv.lean = True
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = conv.weight.detach().requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda x, weight: torch.func.functional_call(conv, {"weight": weight}, (x,)), (x, weight)
    )
