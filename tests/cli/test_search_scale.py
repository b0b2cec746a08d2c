"""metad2a search told how large its networks are, or not told what its files know; both codes of MobileNetV3."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.costs.layer_latency import _fixed_keys, _searched_keys
from metad2a.data.features import FeatureSet
from metad2a.models.checkpoint import Checkpoint
from metad2a.oracles.ofa import write_predictor
from metad2a.runtime import torch_rng
from metad2a.spaces.registry import get_space

Run = Callable[..., Any]
SPACES = ("mobilenetv3", "mobilenetv3-compact")


@pytest.fixture
def here(tmp_path: Path, features: FeatureSet, make_mobile_checkpoint: Callable[..., Checkpoint]) -> Path:
    """Write features, a checkpoint for each code, a table of layers of width 120, and an accuracy predictor."""
    features.save(tmp_path / "images.safetensors")
    for space in SPACES:
        make_mobile_checkpoint(space).save(tmp_path / f"{space}.safetensors")
    rows = ["resolution,layer,ms"]
    for pixels in (192, 224):
        keys = dict.fromkeys([*_fixed_keys(120, pixels), *_searched_keys(120, pixels)])
        rows += [f"{pixels},{key},{len(key) / 100}" for key in keys]
    (tmp_path / "note10.csv").write_text("\n".join(rows) + "\n")
    state = {}
    for place, (before, after) in enumerate(((128, 400), (400, 400), (400, 400), (400, 1))):
        state[f"{2 * place}.weight"] = torch.randn(after, before, generator=torch_rng(place)) * 0.1 * before**-0.5
        state[f"{2 * place}.bias"] = torch.full((after,), 0.5)
    write_predictor(tmp_path / "accuracy.safetensors", state)
    return tmp_path


def command(space: str = "mobilenetv3") -> tuple[str, ...]:
    return ("search", "images.safetensors", "--checkpoint", f"{space}.safetensors", "--candidates", "8")


@pytest.mark.parametrize("space", SPACES)
def test_trade_offs_of_networks_of_a_scale(run: Run, here: Path, space: str) -> None:
    size = ("--scale", "width=120", "--resolution", 192)
    limits = ("--max-flops", "600e6", "--latency-table", "note10.csv")
    outcome = run(
        *command(space), *size, *limits, "--pareto", "flops", "--json", "a.json", "--html", "a.html"
    ).done()
    assert "networks of width 120, downsampling 32, 192 pixels a side" in outcome.out
    assert "~ is the sum of the layers" in outcome.out
    found = json.loads((here / "a.json").read_text())
    assert (found["space"], found["resolution"]) == (space, 192)
    assert found["scale"] == {"width": 120, "downsampling": 32}
    own = get_space(space)
    archs = [own.parse(one["arch"]) for one in found["candidates"]]
    assert [one["flops"] for one in found["candidates"]] == own.flops(archs, 5, 192, width=120).tolist()
    assert max(one["flops"] for one in found["candidates"]) <= 600e6
    assert found["pareto"]["latency_ms"]
    assert "width 120, downsampling 32, 192 pixels a side" in (here / "a.html").read_text()
    run(*command(space), "--latency-table", "note10.csv", "--pareto", "latency_ms", "--json", "b.json").done()
    untold = json.loads((here / "b.json").read_text())
    assert (untold["scale"], untold["resolution"]) == ({"width": 120, "downsampling": 32}, 224)


def test_what_is_found_is_taken_away_at_its_scale(run: Run, here: Path) -> None:
    told = ("--scale", "width=35", "--scale", "downsampling=8", "--resolution", 16, "--json", "found.json")
    run(*command(), *told, "--top", 1, "--export", "nets", "--no-onnx").done()
    best = json.loads((here / "found.json").read_text())["candidates"][0]
    run("export", "found.json", "later", "--no-onnx").done()
    for folder in ("nets/rank1", "later"):
        card = json.loads((here / folder / "card.json").read_text())
        assert (card["scale"], card["resolution"]) == ({"width": 35, "downsampling": 8}, 16)
        assert (card["params"], card["flops"]) == (best["params"], best["flops"])
    run("export", "found.json", "other", "--no-onnx", "--scale", "width=50").done()
    assert json.loads((here / "other/card.json").read_text())["scale"] == {"width": 50, "downsampling": 8}


def test_what_is_found_is_trained_at_its_scale(run: Run, here: Path) -> None:
    told = ("--scale", "width=10", "--scale", "downsampling=4", "--resolution", 8, "--json", "found.json")
    run(*command(), *told).done()
    best = json.loads((here / "found.json").read_text())["candidates"][0]
    rng = np.random.default_rng(0)
    np.savez(here / "tiny.npz", x=rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8), y=np.arange(60) % 5)
    quick = ("recipe.epochs=1", "recipe.batch_size=8", "recipe.images_per_epoch=8", "device=cpu", "json=fit.json")
    run("fit-network", "found.json", "tiny.npz", *quick).done()
    card = json.loads((here / "fit.json").read_text())["card"]
    assert (card["scale"], card["resolution"]) == ({"width": 10, "downsampling": 4}, 8)
    assert card["arch"] == best["arch"]
    run("fit-network", "found.json", "tiny.npz", *quick, "recipe.scale.width=20", "recipe.resolution=12").done()
    card = json.loads((here / "fit.json").read_text())["card"]
    assert (card["scale"], card["resolution"]) == ({"width": 20, "downsampling": 4}, 12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--latency-table", "note10.csv", "--scale", "width=100"),
            ("--latency-table note10.csv is for networks of width=120", "the search is for width=100", "Leave out"),
        ),
        (("--latency-table", "note10.csv", "--resolution", 160), ("no layers at 160 pixels", "192, 224")),
        (("--scale", "width"), ("--scale width", "a name and a whole number")),
        (("--scale", "channels=16"), ("unknown scale option for 'mobilenetv3'", "channels", "width")),
        (
            ("--then-train", 1),
            ("--recipe short", "unknown scale option for 'mobilenetv3': 'channels'", "finetune_short"),
        ),
        (("--scale", "downsampling=7"), ("downsampling=7", "1, 2, 4, 8, 16 or 32")),
        (("--resolution", 0), ("0 pixels a side",)),
        (
            ("--queries", 1, "--oracle", "accuracy.safetensors", "--oracle-column", "192", "--scale", "width=35"),
            ("--oracle accuracy.safetensors is for networks of width=120", "width=35"),
        ),
        (
            (
                "--latency-table",
                "note10.csv",
                "--queries",
                1,
                "--oracle",
                "accuracy.safetensors",
                *("--oracle-column", 160),
            ),
            ("no layers at 160 pixels",),
        ),
    ],
)
def test_what_is_refused(run: Run, here: Path, arguments: tuple[object, ...], words: tuple[str, ...]) -> None:
    run(*command(), *arguments).refused(*words)


def test_the_space_is_the_checkpoints(run: Run, here: Path) -> None:
    for space in SPACES:  # the compact code is one of MobileNetV3's networks
        outcome = run(*command(space), "--space", "mobilenetv3", "--json", "found.json").done()
        assert json.loads((here / "found.json").read_text())["space"] == space
        assert "d" in outcome.out
    run(*command("mobilenetv3-compact"), "--space", "mobilenetv3-compact").done()
    run(*command("mobilenetv3"), "--space", "mobilenetv3-compact").refused(
        "the checkpoint is for the search space 'mobilenetv3', not for 'mobilenetv3-compact'",
        "Use --space mobilenetv3",
    )
    run(*command("mobilenetv3"), "--space", "nasbench201").refused("'mobilenetv3', not for 'nasbench201'")
    run("search", "images.safetensors", "--space", "mobilenetv3-compat").refused(
        "Did you mean 'mobilenetv3-compact'?"
    )


def test_what_is_shipped_is_found_by_its_space(
    run: Run,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_mobile_checkpoint: Callable[..., Checkpoint],
) -> None:
    from metad2a.search import shipped_checkpoints

    folder = here / "shipped" / "data" / "pretrained"
    folder.mkdir(parents=True)
    monkeypatch.setattr(shipped_checkpoints, "shipped", lambda *parts: (here / "shipped").joinpath(*parts))
    search = ("search", "images.safetensors", "--candidates", "4", "--json", "found.json")
    make_mobile_checkpoint("mobilenetv3").save(folder / "phones.safetensors")
    run(*search, "--space", "mobilenetv3").done()
    assert json.loads((here / "found.json").read_text())["checkpoint"] == "phones"
    run(*search, "--space", "mobilenetv3-compact").refused(
        "no checkpoint for the search space 'mobilenetv3-compact' is shipped",
        "phones (for 'mobilenetv3')",
        "--checkpoint",
    )
    run(*search, "--space", "nasbench201").refused("no checkpoint for the search space 'nasbench201'")
    make_mobile_checkpoint("mobilenetv3-compact").save(folder / "mobilenetv3.safetensors")
    for space in SPACES:
        run(*search, "--space", space).done()
        found = json.loads((here / "found.json").read_text())
        assert (found["checkpoint"], found["space"]) == ("mobilenetv3", "mobilenetv3-compact")
