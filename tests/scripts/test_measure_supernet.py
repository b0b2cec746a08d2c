"""The script that says what a supernet's ranking is worth, on one that is tiny."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from metad2a.data.image_set import ImageSet
from metad2a.fitting.network import LabelledImages
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.supernet import fit_supernet

RECIPE = Recipe(
    "tiny", epochs=1, batch_size=8, learning_rate=0.05, resolution=8, scale={"width": 10, "downsampling": 8}
)


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("measure_supernet")


def test_ranks_are_told_and_kept(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=pixels, y=np.arange(32) % 2)
    images = ImageSet.from_npz(tmp_path / "images.npz")
    parts = [LabelledImages.of(part, 8) for part in images.split(0.5, 0)]
    told = {"valid_fraction": 0.5}
    trained = fit_supernet(parts[1], parts[0], tuple(images.classes), RECIPE, drawn=1, provenance=told)
    trained.save(tmp_path / "net.safetensors")
    kept = tmp_path / "kept"
    given = [str(tmp_path / "net.safetensors"), str(tmp_path / "images.npz"), "--kept", str(kept)]
    small = ["--networks", "3", "--epochs", "1", "--images-per-epoch", "8"]
    monkeypatch.setattr(sys, "argv", ["measure_supernet.py", *given, *small])
    script.main()
    out = capsys.readouterr().out
    assert all(word in out for word in ("inherited", "loss", "params", "flops", "Kendall", "Two halves"))
    rows = json.loads((kept / "ranks.json").read_text())
    assert rows["supernet"] == trained.fingerprint
    assert len(rows["alone"]) == len(rows["inherited"]) == len(rows["params"]) == 3
    assert all(value < 0 for value in rows["loss"])
    assert set(rows["halves"]) == {"inherited", "loss"}
    files = {path: path.stat().st_mtime_ns for path in kept.rglob("seed-*.json")}
    assert len(files) == 3
    monkeypatch.setattr(script, "fit_network", None)  # what is kept is not trained again
    script.main()
    assert json.loads((kept / "ranks.json").read_text()) == rows
