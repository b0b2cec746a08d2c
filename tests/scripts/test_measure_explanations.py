"""The script that measures what explanations say."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from metad2a.data.embedders.base import get_embedder
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.reference import Reference
from metad2a.spaces.nasbench201 import NASBench201

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_explanations.py"


def test_a_line_a_data_set_and_a_line_a_chance(
    make_checkpoint: Callable[..., Checkpoint],
    make_reference: Callable[..., Reference],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    embedder, space = get_embedder("pixels"), NASBench201()
    info = {"name": "pixels", "fingerprint": embedder.fingerprint, "dim": embedder.dim}
    usual = {"sizes": (1, 2), "loneliness": torch.linspace(0, 1e-4, 101).expand(2, 101)}
    checkpoint = make_checkpoint(
        feature_dim=embedder.dim,
        embedder=info,
        reference=make_reference(embedder.dim, **usual),
        metrics={"predictor": {"val/pair_error": 1.0}},
    )
    checkpoint.save(tmp_path / "mine.safetensors")
    texts = [f"{space.format(arch)},{number % 90}" for number, arch in enumerate(space.enumerate())]
    (tmp_path / "truth.csv").write_text("arch,accuracy\n" + "\n".join(texts))
    words = ["embedded:digits", "--checkpoint", tmp_path / "mine.safetensors", "--oracle", tmp_path / "truth.csv"]
    monkeypatch.setattr(sys, "argv", ["measure_explanations.py", *map(str, words)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    first, *chances = capsys.readouterr().out.splitlines()
    assert first == "| digits | 10 | 100 far | 100 far | 100 far |"
    assert chances
    pairs = sum(int(line.split("|")[2].replace(",", "")) for line in chances)
    assert pairs == 500 * 499 // 2
