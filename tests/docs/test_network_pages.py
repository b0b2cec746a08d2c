"""The Python of the pages about found networks runs as it is written; only what it trains is smaller."""

import contextlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.data.image_set import ImageSet
from metad2a.fitting.found import fit_found
from metad2a.fitting.parts import split_parts
from metad2a.fitting.recipe import Recipe
from metad2a.search import classifier
from metad2a.search.export import export_network
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.nasbench201 import NASBench201

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
TINY = Recipe("short", epochs=1, batch_size=16, learning_rate=0.05, resolution=8, scale={"channels": 2, "cells": 1})


def run_python(page: str) -> dict[str, Any]:
    """Run all Python of a page in one module, in the working folder; return its names."""
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", (PAGES / page).read_text("utf-8"), re.DOTALL | re.MULTILINE):
        exec(compile(block, page, "exec"), names)  # noqa: S102 - our own page
    return names


def test_take_the_network_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = ImageSet.from_arrays(rng.integers(0, 256, (24, 16, 16, 3), dtype=np.uint8), np.arange(24) % 3)
    space = NASBench201()
    [arch] = space.sample(1, rng)
    fitted = fit_found(space, arch, split_parts(images).load(8), TINY).fitted
    monkeypatch.syspath_prepend(tmp_path)  # takes back what the page does to sys.path
    monkeypatch.setattr(ImageSet, "open", lambda place: images)
    with contextlib.chdir(tmp_path):
        export_network(fitted, "trained", onnx=False)
        names = run_python("take-the-network-away.md")
    assert names["probabilities"].shape == (8, 3)
    assert names["fresh"].classifier.out_features == 12
    assert sorted(path.name for path in (tmp_path / "networks").iterdir()) == ["rank1", "rank2", "rank3"]
    assert (tmp_path / "best" / "network.py").is_file()


def test_classify_with_scikit_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(classifier, "get_recipe", lambda name: TINY)
    search, less = MetaD2A.search, {"n_candidates": 3, "images_per_class": 1}
    monkeypatch.setattr(MetaD2A, "search", lambda self, images, **options: search(self, images, **options | less))
    with contextlib.chdir(tmp_path), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        names = run_python("classify-with-scikit-learn.md")
    assert (tmp_path / "digits-network" / "network.py").is_file()
    assert len(names["classifier"].result_.candidates) == 3
    assert "'max_params'" in capsys.readouterr().out
