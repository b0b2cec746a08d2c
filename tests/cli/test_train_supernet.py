"""metad2a train supernet, from images to a file that an oracle opens; killed runs go on."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metad2a.data.image_set import ImageSet
from metad2a.fitting.loop import Fit
from metad2a.oracles.supernet import SupernetOracle, open_supernet
from metad2a.spaces.mobilenetv3 import MobileNetV3

TINY = (
    *("recipe.epochs=2", "recipe.images_per_epoch=8", "recipe.batch_size=8", "recipe.resolution=8"),
    *("recipe.scale.width=10", "valid_fraction=0.25", "drawn=1"),
)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=pixels, y=np.arange(24) % 2, classes=np.array(["cat", "dog"]))
    return tmp_path / "images.npz"


def test_a_supernet_is_trained_interrupted_and_used(
    run: Callable[..., object], npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fit, "_step", lambda fit, loss: _stop() if fit.state.epoch == 1 else None)
    assert run("train", "supernet", "dataset=images.npz", *TINY).code == 130  # type: ignore[attr-defined]
    monkeypatch.undo()
    [folder] = (tmp_path / "runs" / "train-supernet").iterdir()
    assert not (folder / "checkpoints" / "supernet.safetensors").exists()
    told = run("resume", folder).done().out  # type: ignore[attr-defined]
    assert "val/smallest" in told
    trained = open_supernet(folder / "checkpoints" / "supernet.safetensors", width=10)
    assert trained.classes == ("cat", "dog")
    assert trained.provenance["dataset"] == "images"
    assert trained.provenance["steps"] == 2
    assert str(tmp_path) not in json.dumps(trained.provenance)
    about: str = run("info", folder / "checkpoints" / "supernet.safetensors").done().out  # type: ignore[attr-defined]
    assert "its networks: width 10, downsampling 8, 8 pixels a side" in about
    assert "images that it has seen: 18\n" in about
    assert "classes: cat, dog\n" in about
    images = ImageSet.from_npz(npz)
    valid, train = images.split(0.25, 0)
    oracle = SupernetOracle.of(trained, train, valid)
    assert oracle.images == len(valid) == 6
    assert SupernetOracle.of(trained, train, images).images == 6, "the others were trained on"
    accuracy = oracle.evaluate(MobileNetV3().sample(1, np.random.default_rng(0)))
    assert 0 <= accuracy[0] <= 100


def _stop() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ((), ("dataset is empty", "metad2a train supernet dataset=IMAGES")),
        (("dataset=images.npz", "drawn=0"), ("drawn=0",)),
        (("dataset=images.npz", "recipe.scale.downsampling=5"), ("downsampling=5", "8, 16 or 32")),
        (("dataset=images.npz", "+recipe.scale.cells=5"), ("unknown scale option", "cells")),
        (("dataset=images.npz", "recipe.batch_size=64"), ("22 training and 2 validation images",)),
        (("dataset=none.npz",), ("none.npz",)),
    ],
)
def test_mistakes_are_explained(
    run: Callable[..., object], npz: Path, overrides: tuple[str, ...], words: tuple[str, ...]
) -> None:
    run("train", "supernet", *overrides).refused(*words)  # type: ignore[attr-defined]
