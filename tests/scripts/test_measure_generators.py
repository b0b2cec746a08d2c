"""scripts/measure_generators.py on generators of the demo database, each trained for an epoch."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metad2a.cli.configuration import compose
from metad2a.cli.jobs import train
from metad2a.spaces.nasbench201 import NASBench201

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_generators.py"
QUICK = ["embedder=pixels", "max_images_per_class=4", "images_per_class=4"]


def test_those_that_can_be_told_have_a_row_for_each_aim(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: NASBench201, capsys: pytest.CaptureFixture[str]
) -> None:
    archs = list(space.enumerate())
    accuracy = 60 + space.params(archs, 10) / 1e5
    pd.DataFrame({"arch": map(space.format, archs), "mine": accuracy}).to_csv(tmp_path / "t.csv", index=False)
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=images, y=np.arange(12) % 3)
    monkeypatch.chdir(tmp_path)
    small = ["schedule.epochs=1", "model.hidden=8", "model.latent=8"]
    for name, more in {"plain": [], "told": ["model.condition=[accuracy]"]}.items():
        cfg = compose("train", ["model=generator", "experiment=demo/generator", *QUICK, *small, *more])
        train.run(cfg, tmp_path / name, run_id=name)
    files = [f"{name}={name}/checkpoints/best.safetensors" for name in ("plain", "told", "told")]
    data = ["--oracle", "t.csv", "--column", "mine", "--dataset", "images.npz", "--experiment", "demo"]
    given = [SCRIPT.name, *files, *data, "--draws", "40", "--seeds", "1", "--override", *QUICK]
    monkeypatch.setattr(sys, "argv", given)
    capsys.readouterr()
    runpy.run_path(str(SCRIPT), run_name="__main__")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[:3] for row in rows] == [
        ["plain", "1", ""],
        *(["told", "2", aim] for aim in ("the best", "the middle", "nothing")),
    ]
    means = [float(row[3].split()[0]) for row in rows]
    assert all(60 < mean < accuracy.max() for mean in means)
    assert rows[1][3] != rows[3][3]
