"""Weights that Once-for-All published are read by their names; the layout here is written down by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from metad2a.errors import CheckpointError
from metad2a.fitting.network import LabelledImages
from metad2a.fitting.parts import LoadedParts
from metad2a.fitting.recipes import get_recipe
from metad2a.fitting.starting import inherited_network, with_size_of
from metad2a.fitting.supernet_ofa import read_ofa_supernet
from metad2a.oracles.supernet import open_supernet
from metad2a.runtime import torch_rng
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.supernet import SMALLEST

State = dict[str, torch.Tensor]
CHANNELS = (24, 40, 80, 112, 160)


def layout(*, bn: str = "bn.bn", conv: str = "conv.conv", block: str = "mobile_inverted_conv") -> State:
    """Return random weights of width 100 with five classes, named as in the published file."""
    rng = torch_rng("published")
    state: State = {}

    def put(name: str, *shape: int) -> None:
        state[name] = 0.1 * torch.randn(shape, generator=rng)

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean"):
            put(f"{name}.{part}", channels)
        state[f"{name}.running_var"] = torch.rand(channels, generator=rng) + 0.5

    put("first_conv.conv.weight", 16, 3, 3, 3)
    norm("first_conv.bn", 16)
    put(f"blocks.0.{block}.depth_conv.conv.weight", 16, 1, 3, 3)
    norm(f"blocks.0.{block}.depth_conv.bn", 16)
    put(f"blocks.0.{block}.point_linear.conv.weight", 16, 16, 1, 1)
    norm(f"blocks.0.{block}.point_linear.bn", 16)
    before = 16
    for number in range(20):
        stage, of = number // 4, f"blocks.{number + 1}.{block}"
        after, wide = CHANNELS[stage], 6 * before
        put(f"{of}.inverted_bottleneck.{conv}.weight", wide, before, 1, 1)
        norm(f"{of}.inverted_bottleneck.{bn}", wide)
        put(f"{of}.depth_conv.{conv}.weight", wide, 1, 7, 7)
        put(f"{of}.depth_conv.conv.7to5_matrix", 25, 25)
        put(f"{of}.depth_conv.conv.5to3_matrix", 9, 9)
        norm(f"{of}.depth_conv.{bn}", wide)
        if stage in (1, 3, 4):
            narrow = (wide // 4 + 4) // 8 * 8
            put(f"{of}.depth_conv.se.fc.reduce.weight", narrow, wide, 1, 1)
            put(f"{of}.depth_conv.se.fc.reduce.bias", narrow)
            put(f"{of}.depth_conv.se.fc.expand.weight", wide, narrow, 1, 1)
            put(f"{of}.depth_conv.se.fc.expand.bias", wide)
        put(f"{of}.point_linear.{conv}.weight", after, wide, 1, 1)
        norm(f"{of}.point_linear.{bn}", after)
        before = after
    put("final_expand_layer.conv.weight", 960, 160, 1, 1)
    norm("final_expand_layer.bn", 960)
    put("feature_mix_layer.conv.weight", 1280, 960, 1, 1)
    put("classifier.linear.weight", 5, 1280)
    put("classifier.linear.bias", 5)
    return state


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(content: object) -> Path:
        torch.save(content, tmp_path / "ofa_mbv3_d234_e346_k357_w1.0")
        return tmp_path / "ofa_mbv3_d234_e346_k357_w1.0"

    return write


def test_a_network_begins_with_them(write: Callable[..., Path]) -> None:
    state, space = layout(), MobileNetV3()
    supernet = open_supernet(write({"state_dict": state}))
    arch = space.parse("+".join(["d2:k7e6-k7e6-~k3e3-~k3e3"] * 5))
    pixels = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch_rng("pixels"))
    part = LabelledImages(pixels, torch.arange(6) % 2)
    parts = LoadedParts(part, part, part, ("a", "b"), "noise")
    recipe = with_size_of(supernet, space, get_recipe("finetune"))
    net = inherited_network(supernet, space, arch, parts, recipe, seed=0, device=torch.device("cpu"))
    theirs = "blocks.6.mobile_inverted_conv.depth_conv.conv.conv.weight"  # of the second stage, the second layer
    assert torch.equal(net.stages[1][1].body.depthwise.conv.weight, state[theirs])
    assert net.classifier.weight.shape == (2, 1280)


def test_every_weight_finds_its_place(write: Callable[..., Path]) -> None:
    state = layout()
    read = read_ofa_supernet(write({"state_dict": state}), width=100, classes=["a", "b", "c", "d", "e"])
    assert (read.classes, read.resolution, read.net.size["width"]) == (("a", "b", "c", "d", "e"), 224, 100)
    assert len(read.seen) == 0
    own, block = read.net.state_dict(), "blocks.{}.mobile_inverted_conv.{}"
    for name, theirs in {
        "largest.stem.conv.weight": "first_conv.conv.weight",
        "largest.first.body.project.norm.bias": block.format(0, "point_linear.bn.bias"),
        "largest.stages.1.2.body.squeeze.gate.expand.bias": block.format(7, "depth_conv.se.fc.expand.bias"),
        "largest.stages.4.3.body.depthwise.conv.weight": block.format(20, "depth_conv.conv.conv.weight"),
        "largest.head.mix.weight": "feature_mix_layer.conv.weight",
        "to5.6": block.format(7, "depth_conv.conv.7to5_matrix"),
        "to3.0": block.format(1, "depth_conv.conv.5to3_matrix"),
    }.items():
        assert torch.equal(own[name], state[theirs])
    values = {value.double().sum().item() for name, value in own.items() if "num_batches" not in name}
    assert values == {value.double().sum().item() for value in state.values()}, "each is used, and used once"
    with torch.no_grad():
        scores = read.net.network(SMALLEST, [0, 4])(torch.randn(1, 3, 64, 64, generator=torch_rng("image")))
    assert scores.shape == (1, 2)


def test_other_spellings_are_the_same(write: Callable[..., Path]) -> None:
    one = read_ofa_supernet(write(layout()))
    spelled = {f"module.{name}": value for name, value in layout(bn="bn", conv="conv", block="conv").items()}
    other = read_ofa_supernet(write({"state_dict": spelled}))
    assert one.fingerprint == other.fingerprint
    assert one.classes[:2] == ("folder 0", "folder 1")


def test_files_that_cannot_be_used_are_explained(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there are no supernet weights .*mit-han-lab/once-for-all"):
        read_ofa_supernet(tmp_path / "none")
    path = write({"state_dict": layout()})
    with pytest.raises(CheckpointError, match=r"of width 100, not 120. Give ofa_mbv3_d234_e346_k357_w1.2"):
        read_ofa_supernet(path, width=120)
    with pytest.raises(CheckpointError, match="not 50: weights of 50 were not published"):
        read_ofa_supernet(path, width=50)
    lacking = layout()
    del lacking["blocks.3.mobile_inverted_conv.depth_conv.conv.5to3_matrix"]
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, blocks.3.depth_conv.conv.5to3_matrix \(9, 9\)"):
        read_ofa_supernet(write(lacking))
    with pytest.raises(CheckpointError, match=r"lacks first_conv.conv.weight: it is no MobileNetV3 supernet"):
        read_ofa_supernet(write({"fc.weight": torch.zeros(2, 2)}))
    with pytest.raises(CheckpointError, match="has 7 features, which no network of width 100 or 120 has"):
        read_ofa_supernet(write(layout() | {"classifier.linear.weight": torch.zeros(5, 7)}))
    with pytest.raises(CheckpointError, match="no weights by name"):
        read_ofa_supernet(write([1, 2]))
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_ofa_supernet(path)
