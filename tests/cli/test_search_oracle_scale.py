"""Queries of an oracle that knows of which networks its accuracies are: nobody has to tell the search."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.data.embedders.pixels import Pixels
from metad2a.data.image_set import ImageSet
from metad2a.fitting.network import LabelledImages
from metad2a.fitting.supernet_file import TrainedSupernet, image_keys
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.generator import Generator
from metad2a.oracles.ofa import write_predictor
from metad2a.runtime import torch_rng
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.supernet import Supernet

Run = Callable[..., Any]
CLASSES = tuple("abcde")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, invoke: Run) -> Path:
    """Return a folder with images, a supernet, a surrogate of labels by inherited weights, and a generator."""
    folder = tmp_path_factory.mktemp("queries")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "noise.npz", x=pixels, y=np.arange(60) % 5, classes=np.array(CLASSES))
    own, edges = Pixels(), MobileNetV3().topology.nonzero().tolist()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Supernet(5, width=10, downsampling=8)
        size = {"feature_dim": own.dim, "num_types": 29, "num_nodes": 22, "hidden": 12, "latent": 8}
        generator = Generator(**size, topology=edges)
    seen = image_keys(LabelledImages.of(ImageSet.from_npz(folder / "noise.npz").take(range(20)), 8).images)
    moments = ((120.0,) * 3, (60.0,) * 3)
    TrainedSupernet(net, CLASSES, 8, *moments, seen=np.sort(seen)).save(folder / "net.safetensors")
    embedder: Any = {"name": "pixels", "fingerprint": own.fingerprint, "dim": own.dim}
    Checkpoint({"generator": Part.of(generator)}, "mobilenetv3", edges, embedder, 4).save(folder / "g.safetensors")
    state = {}
    for layer, (before, after) in enumerate(((128, 400), (400, 400), (400, 400), (400, 1))):
        state[f"{2 * layer}.weight"] = torch.randn(after, before, generator=torch_rng(layer)) * 0.1 * before**-0.5
        state[f"{2 * layer}.bias"] = torch.full((after,), 0.5)
    write_predictor(folder / "accuracy.safetensors", state)
    mine = {"source": "noise", "images": "noise.npz", "licence": "none", "tasks": 4, "classes_per_task": 3}
    mine |= {"images_per_class": 12, "valid_fraction": 0.75}
    build = (
        "build-database",
        "out=built",
        "name=built",
        "space=mobilenetv3",
        "recipe=inherited",
        "executor=inline",
    )
    invoke(
        *(folder, *build, "recipe.supernet=net.safetensors", "label_source=images", "archs_per_task=4"),
        *(f"label_source.mine.{name}={value}" for name, value in mine.items()),
    ).done()
    known = (
        "space=mobilenetv3",
        "database=built",
        "images=[noise=noise.npz]",
        "embedder=pixels",
        "images_per_class=4",
    )
    invoke(folder, "train", "surrogate", *known).done()
    [run_folder] = (folder / "runs/train").iterdir()
    (run_folder / "checkpoints/best.safetensors").rename(folder / "s.safetensors")
    return folder


SEARCH = ("search", "noise.npz", "--checkpoint", "g.safetensors", "--checkpoint", "s.safetensors")
SUPERNET = ("--queries", 2, "--oracle", "net.safetensors", "--oracle-column", "noise.npz")


def test_costs_are_those_of_the_supernets_networks(invoke: Run, place: Path) -> None:
    small = ("--candidates", 8, "--json", "a.json")
    outcome = invoke(place, *SEARCH, *small, *SUPERNET).done()
    assert "networks of width 10, downsampling 8, 8 pixels a side" in outcome.out
    assert "2 evaluations by supernet:" in outcome.out
    found = json.loads((place / "a.json").read_text())
    assert (found["scale"], found["resolution"]) == ({"width": 10, "downsampling": 8}, 8)
    space = MobileNetV3()
    archs = [space.parse(one["arch"]) for one in found["candidates"]]
    assert [one["flops"] for one in found["candidates"]] == space.flops(
        archs, 5, 8, width=10, downsampling=8
    ).tolist()
    told = ("--scale", "width=10", "--resolution", 8)
    invoke(place, *SEARCH, *small, *SUPERNET, *told).done()
    assert json.loads((place / "a.json").read_text())["candidates"] == found["candidates"]
    invoke(place, *SEARCH, *SUPERNET, "--scale", "width=35").refused(
        "--oracle net.safetensors is for networks of width=10", "the search is for width=35"
    )


def test_costs_are_those_of_the_predictors_networks(invoke: Run, place: Path) -> None:
    predictor = ("--queries", 2, "--oracle", "accuracy.safetensors", "--oracle-column", 192)
    invoke(place, *SEARCH, "--candidates", 8, *predictor, "--max-flops", 500e6, "--json", "b.json").done()
    found = json.loads((place / "b.json").read_text())
    assert (found["scale"], found["resolution"]) == ({"width": 120, "downsampling": 32}, 192)
    assert max(one["flops"] for one in found["candidates"]) <= 500e6
