"""The picture of a report."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metad2a.data.embedders.base import get_embedder
from metad2a.models.checkpoint import Checkpoint

Run = Callable[..., Any]


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("draw_report")


def test_both_columns_are_drawn(
    run: Run, run_script: Run, make_checkpoint: Callable[..., Checkpoint], tmp_path: Path, script: ModuleType
) -> None:
    if script.BROWSER is None:
        pytest.skip("there is no chromium")
    embedder = get_embedder("pixels")
    info = {"name": "pixels", "fingerprint": embedder.fingerprint, "dim": embedder.dim}
    make_checkpoint(feature_dim=embedder.dim, embedder=info).save(tmp_path / "mine.safetensors")
    small = ("--checkpoint", "mine.safetensors", "--candidates", 20, "--images-per-class", 2)
    run("search", "embedded:digits", *small, "--html", "report.html").done()
    run_script("draw_report", "report.html", "out.png").done()
    pixels = np.asarray(Image.open(tmp_path / "out.png").convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    assert width == script.WIDTH
    assert width // 2 < height < script.HEIGHT, "there is an end, which is not cut off"
    halves = pixels[:, : width // 2], pixels[:, width // 2 :]
    assert all((half.max(2) < 100).mean() > 0.005 for half in halves), "text in both"
    assert all((np.ptp(half, 2) > 100).any() for half in halves), "cells and figures in their colours"


def test_a_report_that_is_not_there(run_script: Run, script: ModuleType) -> None:
    if script.BROWSER is None:
        run_script("draw_report", "away.html", "out.png").refused("no chromium is installed")
    else:
        run_script("draw_report", "away.html", "out.png").refused("there is no away.html", "--html away.html")
