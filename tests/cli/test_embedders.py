"""Searching and meta-training with an embedder of one's choice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from metad2a.data.embedders.pixels import Pixels
from metad2a.data.embedders.weights import WEIGHTS_VARIABLE
from metad2a.models.checkpoint import Checkpoint

Run = Callable[..., Any]


def test_ls_says_what_references_look_like(run: Run) -> None:
    lines = run("ls", "embedders").done().out.splitlines()
    assert {"- pixels", "- resnet18?weights=", "- timm:MODEL?resolution=&weights="} <= set(lines)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of two classes with 15 images each."""
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(15):
            pixels = np.random.default_rng([number, i]).integers(0, 256, (40, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def test_ten_new_images_cost_ten(
    run: Run, tmp_path: Path, photos: Path, checkpoints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAD2A_CACHE", str(tmp_path / "cache"))
    embedded, whole = [], Pixels.embed

    def count(self: Pixels, images: UInt8[np.ndarray, "I S S 3"]) -> Float[Tensor, "I F"]:
        embedded.append(len(images))
        return whole(self, images)

    monkeypatch.setattr(Pixels, "embed", count)

    def search(place: Path) -> int:
        embedded.clear()
        run("search", place, *checkpoints, "--candidates", 5).done()
        return sum(embedded)

    assert [search(photos), search(photos)] == [30, 0]
    for i in range(10):
        Image.new("RGB", (32, 32), (0, 20 * i, 0)).save(photos / "dog" / f"new{i}.webp", lossless=True)
    moved = photos.rename(tmp_path / "moved")
    for path in [*moved.glob("cat/*.png")]:
        path.rename(path.with_name(f"renamed {path.name}"))
    assert search(moved) == 10
    (moved / "cat").rename(moved / "tiger")
    assert search(moved) == 0
    # The same pixels as an array: the central squares of the files.
    paths = sorted(moved.glob("*/*.*"))
    x = np.stack([np.asarray(Image.open(path))[-36:][:32] for path in paths])
    np.savez(tmp_path / "x.npz", x=x, y=np.array([path.parent.name == "dog" for path in paths], dtype=int))
    assert search(tmp_path / "x.npz") == 0


@pytest.mark.parametrize("kind", ["timm", "resnet18"])
def test_a_checkpoint_remembers_its_embedder(
    kind: str, run: Run, tmp_path: Path, database: Path, npz: Path, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: Path = request.getfixturevalue(f"{kind}_weights")
    options = {"timm": "timm:test_resnet?resolution=32&", "resnet18": "resnet18?"}[kind]
    for model in ("generator", "predictor"):
        run("train", model, f"database={database}", "debug=limit", f"embedder={options}weights={weights}").done()
    files = sorted((tmp_path / "runs/train").glob("*/checkpoints/best.safetensors"))
    name = f"{options}weights={weights.name}"
    assert [Checkpoint.load(file).embedder["name"] for file in files] == [name] * 2

    search = ("search", npz, *(text for file in files for text in ("--checkpoint", file)), "--candidates", 5)
    run(*search).refused(f"no file {weights.name}", f"Set {WEIGHTS_VARIABLE} to the file")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(weights))
    run(*search, "--json", "found.json").done()
    assert json.loads((tmp_path / "found.json").read_text())["dataset"]["embedder"] == name

    other = tmp_path / weights.name
    if kind == "timm":
        state = load_file(weights)
        save_file(state | {"conv1.0.weight": -state["conv1.0.weight"]}, other)
    else:
        state = torch.load(weights, weights_only=True)
        torch.save(state | {"conv1.weight": -state["conv1.weight"]}, other)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(other))
    run(*search).refused("was trained on features of", name, "Give it the weights of the training")


def test_features_of_one_source_from_a_place_of_ones_own(
    run: Run, tmp_path: Path, database: Path, timm_weights: Path
) -> None:
    """images=[SOURCE=PLACE], and the options of an embedder in a sweep."""
    import pandas as pd

    tasks = pd.read_parquet(database / "tasks.parquet")
    [source] = tasks["source"].unique()
    names = sorted({str(name) for names in tasks["classes"] for name in names})
    labels = np.repeat(np.arange(len(names)), 4)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x=pixels, y=labels, classes=np.array(names))
    embedders = ",".join(f"timm:test_resnet?resolution={side}&weights={timm_weights}" for side in (32, 64))
    run(
        *("train", "predictor", f"database={database}", "debug=limit", f"images=[{source}=own.npz]"),
        *(f"embedder={embedders}", "-m"),
    ).done()
    made = [Checkpoint.load(file) for file in (tmp_path / "runs").glob("**/best.safetensors")]
    assert {checkpoint.embedder["fingerprint"].split("-")[2] for checkpoint in made} == {"32", "64"}
