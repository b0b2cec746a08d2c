"""A plug-in's space of mobile networks has what those of MobileNetV3 have: what knows layers asks for no name."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from metad2a import plugins
from metad2a.costs.layer_latency import LayerLatency, _fixed_keys, _searched_keys, read_latency_table
from metad2a.data.image_set import ImageSet
from metad2a.errors import ArchitectureError
from metad2a.fitting.fitted import load_fitted
from metad2a.fitting.network import seeded
from metad2a.fitting.supernet_file import TrainedSupernet
from metad2a.oracles.ofa import AccuracyPredictor
from metad2a.oracles.opening import open_oracle
from metad2a.oracles.supernet import SupernetOracle
from metad2a.runtime import torch_rng
from metad2a.spaces.base import ArchBatch, Architecture
from metad2a.spaces.mobile import MobileSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.mobilenetv3_compact import CompactMobileNetV3
from metad2a.spaces.networks.mobilenetv3 import DEPTHS, EXPANSIONS, KERNELS, LAYERS, STAGES
from metad2a.spaces.networks.supernet import Supernet
from metad2a.spaces.product import ProductSpace
from metad2a.testing.mobile_spaces import MobileSpaceContract

START, END, FIRST = 0, 1, 2
KINDS = (len(DEPTHS), len(KERNELS), len(EXPANSIONS))
STAGE = re.compile("d([234])k([357])e([346])")
CLASSES = ("a", "b", "c")


class Uniform(MobileSpace, ProductSpace):
    """Mobile networks, in which the layers of a stage are alike: ``d2k3e3-d4k5e6-...``; a vertex is a stage."""

    name = "uniform"
    options = KINDS * STAGES
    num_types = FIRST + int(np.prod(KINDS))
    num_nodes = STAGES + 2

    def stages(self, archs: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        depths, kernels, expansions = np.moveaxis(self.choices(archs).reshape(-1, STAGES, 3), 2, 0)
        return depths, kernels[:, :, None].repeat(LAYERS, 2), expansions[:, :, None].repeat(LAYERS, 2)

    def parse(self, text: str) -> Architecture:
        read = [STAGE.fullmatch(part) for part in text.split("-")]
        if len(read) != STAGES or not all(read):
            raise ArchitectureError(f"'{text}' is no architecture of 'uniform'.")
        values = [zip((DEPTHS, KERNELS, EXPANSIONS), map(int, one.groups()), strict=True) for one in read if one]
        return Architecture(self.name, tuple(options.index(value) for stage in values for options, value in stage))

    def format(self, arch: Architecture) -> str:
        table = self.choices([arch]).reshape(STAGES, 3).tolist()
        return "-".join(f"d{DEPTHS[depth]}k{KERNELS[k]}e{EXPANSIONS[e]}" for depth, k, e in table)

    def canonical(self, arch: Architecture) -> str:
        return self.format(arch)

    def encode(self, archs: Sequence[Architecture]) -> ArchBatch:
        stages = self.choices(archs).reshape(-1, STAGES, 3)
        inner = FIRST + np.ravel_multi_index(tuple(np.moveaxis(stages, 2, 0)), KINDS)
        types = torch.from_numpy(np.pad(inner, ((0, 0), (1, 1)), constant_values=(START, END)))
        return ArchBatch(types, self.topology.repeat(len(archs), 1, 1), torch.ones_like(types, dtype=torch.bool))

    def decode(self, graphs: ArchBatch) -> list[Architecture | None]:
        types, inner = graphs.types, graphs.types[:, 1:-1]
        valid = graphs.mask.all(1) & (types[:, 0] == START) & (types[:, -1] == END) & (inner >= FIRST).all(1)
        stages = np.stack(np.unravel_index((inner - FIRST).clamp(min=0).numpy(), KINDS), axis=2)
        rows = zip(self._archs(stages.reshape(-1, len(self.options))), valid.tolist(), strict=True)
        return [arch if ok else None for arch, ok in rows]

    def allowed_types(self, prefix: Int[Tensor, "B V"]) -> Bool[Tensor, "B T"]:
        batch, position = prefix.shape
        allowed = torch.zeros(batch, self.num_types, dtype=torch.bool)
        allowed[:, {0: START, self.num_nodes - 1: END}.get(position, slice(FIRST, None))] = True
        return allowed

    @property
    def topology(self) -> Bool[Tensor, "N N"]:
        return torch.ones(self.num_nodes, self.num_nodes, dtype=torch.bool).triu(1).tril(1)


SPACE, WHOLE = Uniform(), MobileNetV3()
ARCHS = SPACE.sample(4, np.random.default_rng(0))


def in_other_words(arch: Architecture) -> Architecture:
    """Return the same network as one of MobileNetV3."""
    stages = re.findall(r"d(\d)(k\de\d)", SPACE.format(arch))
    return WHOLE.parse("+".join(f"d{depth}:" + "-".join([layer] * int(depth)) for depth, layer in stages))


SAME = list(map(in_other_words, ARCHS))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the space be found by its name, as that of an installed package is."""
    load = plugins.load
    monkeypatch.setattr(
        plugins, "load", lambda kind, name: Uniform if (kind, name) == ("spaces", "uniform") else load(kind, name)
    )


@pytest.fixture
def supernet(tmp_path: Path) -> TrainedSupernet:
    with seeded(0):
        net = Supernet(len(CLASSES), width=10, downsampling=8)
    trained = TrainedSupernet(net, CLASSES, 8, (120.0,) * 3, (60.0,) * 3)
    trained.save(tmp_path / "net.safetensors")
    return trained


@pytest.fixture
def images(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", x=pixels, y=np.arange(60) % 3, classes=np.array(CLASSES))
    return tmp_path / "noise.npz"


class TestUniform(MobileSpaceContract):
    @pytest.fixture
    def space(self) -> MobileSpace:
        return SPACE


class TestMobileNetV3(MobileSpaceContract):
    @pytest.fixture(params=[MobileNetV3, CompactMobileNetV3])
    def space(self, request: pytest.FixtureRequest) -> MobileSpace:
        space: MobileSpace = request.param()
        return space


def test_the_same_networks_cost_the_same() -> None:
    assert SPACE.params(ARCHS, 10).tolist() == WHOLE.params(SAME, 10).tolist()
    assert SPACE.flops(ARCHS, 10, 224, width=120).tolist() == WHOLE.flops(SAME, 10, 224, width=120).tolist()
    assert SPACE.memory(ARCHS, 10, 224).tolist() == WHOLE.memory(SAME, 10, 224).tolist()
    assert SPACE.source(ARCHS[0], 10) == WHOLE.source(SAME[0], 10)


def test_a_table_of_layers_knows_their_latencies(tmp_path: Path) -> None:
    keys = dict.fromkeys([*_fixed_keys(120, 224), *_searched_keys(120, 224)])
    rows = [f"224,{key},{len(key) / 100}" for key in keys]
    (tmp_path / "phone.csv").write_text("\n".join(["resolution,layer,ms", *rows]), encoding="utf-8")
    ours, theirs = (read_latency_table(tmp_path / "phone.csv", space) for space in (SPACE, WHOLE))
    assert isinstance(ours, LayerLatency)
    assert ours.predict(ARCHS).tolist() == theirs.predict(SAME).tolist()
    assert len(set(ours.predict(ARCHS))) == len(ARCHS)


def test_the_published_predictor_knows_their_accuracies() -> None:
    rng, state = torch_rng("accuracy predictor"), {}
    for place, (before, after) in enumerate(((128, 400), (400, 400), (400, 400), (400, 1))):
        state[f"{2 * place}.weight"] = torch.randn(after, before, generator=rng) * before**-0.5
        state[f"{2 * place}.bias"] = torch.full((after,), 0.5 if after == 1 else 0.0)
    ours, theirs = (AccuracyPredictor(state, space=space) for space in (SPACE, WHOLE))
    assert ours.evaluate(ARCHS).tolist() == theirs.evaluate(SAME).tolist()
    assert len(set(ours.evaluate(ARCHS))) == len(ARCHS)


def test_a_supernet_knows_their_accuracies(supernet: TrainedSupernet, images: Path, tmp_path: Path) -> None:
    ours = open_oracle(tmp_path / "net.safetensors", str(images), SPACE)
    assert isinstance(ours, SupernetOracle)
    theirs = SupernetOracle.on(supernet, ImageSet.from_npz(images), space=WHOLE)
    assert ours.measure(ARCHS) == theirs.measure(SAME)
    assert len({one.loss for one in ours.measure(ARCHS)}) == len(ARCHS)


@pytest.mark.usefixtures("installed")
def test_a_network_is_trained_from_a_supernet_by_a_command(
    run: Callable[..., Any], supernet: TrainedSupernet, images: Path, tmp_path: Path
) -> None:
    quick = ("recipe.epochs=1", "recipe.batch_size=8", "recipe.resolution=8", "recipe.images_per_epoch=8")
    given = ("space=uniform", "recipe=finetune_short", "init=net.safetensors", *quick, "device=cpu")
    run("fit-network", SPACE.format(ARCHS[0]), images, *given).done()
    [folder] = (tmp_path / "runs/fit-network").iterdir()
    card = load_fitted(folder).card
    assert (card.space, card.start) == ("uniform", supernet.fingerprint)
    assert card.scale == {"width": 10, "downsampling": 8}


@pytest.mark.usefixtures("installed", "supernet")
def test_labels_are_inherited_by_a_command(run: Callable[..., Any], images: Path, tmp_path: Path) -> None:
    source = {"source": "noise", "images": images, "licence": "none", "tasks": 1, "classes_per_task": 2}
    source |= {"images_per_class": 12, "valid_fraction": 0.5}
    told = (f"label_source.mine.{name}={value}" for name, value in source.items())
    recipe = ("recipe=inherited", "recipe.supernet=net.safetensors", "executor=inline", "archs_per_task=2")
    run("build-database", "out=built", "space=uniform", "label_source=images", *recipe, *told).done()
    records = pd.read_parquet(tmp_path / "built" / "records.parquet")
    assert records["status"].tolist() == ["ok"] * 2
    assert [SPACE.format(SPACE.parse(text)) for text in records["arch"]] == records["arch"].tolist()
    assert json.loads((tmp_path / "built" / "manifest.json").read_text())["space"] == "uniform"
