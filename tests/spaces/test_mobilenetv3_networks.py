"""Networks of the MobileNetV3 space are Once-for-All's, and cost what is counted."""

import math
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3, from_official, to_official
from metad2a.spaces.networks.mobilenetv3 import Block, BlockShape, SqueezeExcite, strides

SPACE = MobileNetV3()


def uniform(*, kernel: int, expansion: int, depth: int) -> Architecture:
    return from_official({"ks": [kernel] * 20, "e": [expansion] * 20, "d": [depth] * 5})


SMALLEST = uniform(kernel=3, expansion=3, depth=2)
LARGEST = uniform(kernel=7, expansion=6, depth=4)


def measured(network: nn.Module, resolution: int) -> int:
    """Count the multiply-adds of a ``network`` without weights."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, resolution, resolution, device="meta"))
    return counter.get_total_flops() // 2


def test_the_largest_and_the_smallest_have_their_known_sizes() -> None:
    ends = [LARGEST, SMALLEST]
    assert SPACE.params(ends, 1000).tolist() == [7_664_760, 3_410_792]
    assert SPACE.flops(ends, 1000, 224).tolist() == [566_170_656, 121_278_672]
    assert SPACE.resolution == 224


def test_the_smallest_has_the_published_multiplications() -> None:
    """89,421,520 at 192 pixels: what torchprofile counted in Once-for-All's own network (its issue 10).

    It counts hard swishes, gates and every value of a mean over one axis too; the network had ten classes.
    """
    network = SPACE.build(SMALLEST, 10).eval()
    beside = []

    def count(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if isinstance(module, nn.Hardswish | SqueezeExcite):
            beside.append(output.numel())
        if isinstance(module, nn.AdaptiveAvgPool2d):
            channels, height = inputs[0].shape[1:3]
            beside.append(channels * height + channels)

    for module in network.modules():
        module.register_forward_hook(count)
    network(torch.zeros(1, 3, 192, 192))
    assert SPACE.flops([SMALLEST], 10, 192).item() + sum(beside) == 89_421_520


def test_blocks_are_those_that_were_measured_on_a_phone(shared_data: Path) -> None:
    """Once-for-All's latency table of width 120 names every block there is, with its sizes."""
    with (shared_data / "ofa" / "note10" / "224_lookup_table.yaml").open() as file:
        published = {name for name in yaml.safe_load(file) if name.startswith("expanded_conv")}
    found = set()
    for kernel, expansion in product((3, 5, 7), (3, 4, 6)):
        with torch.device("meta"):
            network = SPACE.build(uniform(kernel=kernel, expansion=expansion, depth=4), 10, width=120)
            for block in network.modules():
                if isinstance(block, Block):
                    block.register_forward_hook(lambda m, i, o: found.add(described(m, i[0], o)))
            network(torch.zeros(2, 3, 224, 224))
    assert found == published


def described(block: nn.Module, x: torch.Tensor, y: torch.Tensor) -> str:
    """Return the name of ``block`` in the published table."""
    conv = block.body.depthwise.conv
    parts = [
        f"input:{x.shape[2]}x{x.shape[3]}x{x.shape[1]}-output:{y.shape[2]}x{y.shape[3]}x{y.shape[1]}",
        f"expand:{conv.in_channels}-kernel:{conv.kernel_size[0]}-stride:{conv.stride[0]}",
        f"idskip:{int(block.shortcut)}-se:{int(hasattr(block.body, 'squeeze'))}",
        f"hs:{int(isinstance(block.body.depthwise.act, nn.Hardswish))}",
    ]
    return "expanded_conv-" + "-".join(parts)


@given(
    st.tuples(*[st.integers(0, 2)] * 45),
    st.integers(1, 300),
    st.integers(1, 2000),
    st.fixed_dictionaries({"width": st.integers(1, 300), "downsampling": st.sampled_from([1, 2, 4, 8, 16, 32])}),
)
@settings(max_examples=8)
def test_costs_are_those_of_the_networks(
    drawn: tuple[int, ...], resolution: int, classes: int, scale: dict[str, int]
) -> None:
    arch = Architecture("mobilenetv3", drawn)
    with torch.device("meta"):
        network = SPACE.build(arch, classes, **scale)
    params = sum(weight.numel() for weight in network.parameters())
    assert SPACE.params([arch], classes, **scale).tolist() == [params]
    assert SPACE.flops([arch], classes, resolution, **scale).tolist() == [measured(network, resolution)]


@pytest.mark.parametrize(
    ("downsampling", "expected"),
    [
        (32, (2, 2, 2, 2, 1, 2)),
        (16, (2, 1, 2, 2, 1, 2)),
        (8, (2, 1, 2, 1, 1, 2)),
        (4, (1, 1, 2, 1, 1, 2)),
        (2, (1, 1, 1, 1, 1, 2)),
        (1, (1, 1, 1, 1, 1, 1)),
    ],
)
def test_small_images_are_halved_less_often(downsampling: int, expected: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = SPACE.build(SMALLEST, 2, downsampling=downsampling)
    found = [network.stem.conv.stride[0], *(stage[0].body.depthwise.conv.stride[0] for stage in network.stages)]
    assert tuple(found) == strides(downsampling) == expected


def test_costs_are_counted_for_many_at_once() -> None:
    several = SPACE.sample(50, np.random.default_rng(0))
    assert SPACE.params(several, 7).tolist() == [SPACE.params([arch], 7).item() for arch in several]
    assert SPACE.flops(several, 7, 64).tolist() == [SPACE.flops([arch], 7, 64).item() for arch in several]


def test_what_is_not_used_costs_nothing() -> None:
    full = SPACE.sample(200, np.random.default_rng(0))
    nets = [to_official(arch) for arch in full]
    for net in nets:
        for place in range(20):
            if place % 4 >= net["d"][place // 4]:
                net["ks"][place], net["e"][place] = 3, 3
    bare = [from_official(net) for net in nets]
    assert bare != full
    assert [SPACE.canonical(arch) for arch in bare] == [SPACE.canonical(arch) for arch in full]
    assert SPACE.params(bare, 10).tolist() == SPACE.params(full, 10).tolist()
    assert SPACE.flops(bare, 10, 224).tolist() == SPACE.flops(full, 10, 224).tolist()


@pytest.mark.parametrize("width", [50, 100, 120])
def test_widths_are_multiples_of_eight_near_the_wanted_ones(width: int) -> None:
    network = SPACE.build(LARGEST, 10, width=width)
    wanted = [16 * width / 100, *(base * width / 100 for base in (24, 40, 80, 112, 160))]
    found = [network.first.body.project.conv.out_channels]
    found += [stage[-1].body.project.conv.out_channels for stage in network.stages]
    assert all(channels % 8 == 0 for channels in found)
    assert all(0.9 * want <= got < want + 8 for got, want in zip(found, wanted, strict=True))


def test_gradients_reach_every_parameter() -> None:
    network = SPACE.build(SPACE.sample(1, np.random.default_rng(0))[0], 2, width=10)
    network(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_a_block_adds_its_input_where_it_can() -> None:
    shape = BlockShape.searched(0, 1, kernel=3, expansion=3, width=100)
    block = Block(shape).eval()
    nn.init.zeros_(block.body.project.norm.weight)
    x = torch.randn(2, shape.inputs, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x), x)
    assert not Block(BlockShape.searched(0, 0, kernel=3, expansion=3, width=100)).shortcut
    assert not Block(BlockShape.searched(3, 0, kernel=3, expansion=3, width=100)).shortcut


def test_gates_are_one_number_a_channel() -> None:
    module = SqueezeExcite(8, 8).eval()
    x = torch.rand(2, 8, 4, 4, generator=torch.Generator().manual_seed(0)) + 1
    gates = (module(x) / x).flatten(2)
    torch.testing.assert_close(gates, gates[:, :, :1].expand_as(gates))
    assert bool(((gates >= 0) & (gates <= 1)).all())


def test_signals_keep_their_size_at_the_start() -> None:
    torch.manual_seed(0)
    network = SPACE.build(LARGEST, 10)
    logits = network(torch.randn(8, 3, 64, 64)).detach()
    assert 0.05 < float(logits.std()) < 5
    assert math.isfinite(float(logits.sum()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": 3, "width": 0}, "width=0"),
        ({"num_classes": 3, "downsampling": 6}, "downsampling=6. Give 1, 2, 4, 8, 16 or 32."),
        ({"num_classes": 3, "widht": 8}, "Did you mean 'width'?"),
    ],
)
def test_impossible_networks_are_explained(options: dict[str, int], message: str) -> None:
    for make in (SPACE.build, lambda a, **o: SPACE.params([a], **o)):
        with pytest.raises(ArchitectureError, match=re.escape(message)):
            make(SMALLEST, **options)
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        SPACE.flops([SMALLEST], resolution=224, **options)
