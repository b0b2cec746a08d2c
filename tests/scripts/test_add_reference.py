"""The script that notes in a checkpoint what it was meta-trained on."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from metad2a.data.embedders.base import get_embedder
from metad2a.database.published import MetaDatabase
from metad2a.models.checkpoint import Checkpoint

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "reproduce" / "add_reference.py"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["add_reference.py", *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_the_weights_stay_and_the_tasks_are_noted(
    make_checkpoint: Callable[..., Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = get_embedder("pixels")
    info = {"name": "pixels", "fingerprint": embedder.fingerprint, "dim": embedder.dim}
    before = make_checkpoint(feature_dim=embedder.dim, embedder=info, metrics={"predictor": {"val/mae": 3.0}})
    before.save(tmp_path / "old.safetensors")
    new = tmp_path / "new.safetensors"
    run(monkeypatch, tmp_path / "old.safetensors", "demo", new, "--split", "auto", "--max-images-per-class", 4)
    after = Checkpoint.load(new)
    for name, part in before.parts.items():
        assert all(torch.equal(part.state[key], tensor) for key, tensor in after.parts[name].state.items())
    reference, database = after.reference, MetaDatabase.load("demo")
    assert reference is not None
    known = {frozenset(classes) for classes in database.task_classes}
    noted = [
        frozenset(reference.classes[number].partition("/")[2] for number in task if number >= 0)
        for task in reference.tasks.tolist()
    ]
    assert noted
    assert set(noted) <= known
    assert reference.sizes == (1, 2)
    assert np.isfinite(reference.accuracy.numpy()).all()
    assert after.metrics["predictor"]["val/mae"] == 3.0
    assert after.metrics["predictor"]["val/pair_error"] > 0

    run(monkeypatch, new, "demo", new, "--split", "auto", "--max-images-per-class", 4, "--no-tasks")
    classes = Checkpoint.load(new).reference
    assert classes is not None
    assert (classes.archs, len(classes.tasks), len(classes.accuracy)) == ((), 0, 0)
    assert torch.equal(classes.means, reference.means)


def test_the_wrong_space_is_told(
    make_checkpoint: Callable[..., Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint().save(tmp_path / "old.safetensors")
    with pytest.raises(SystemExit, match="error: the checkpoint was trained on features of the embedder"):
        run(monkeypatch, tmp_path / "old.safetensors", "demo", tmp_path / "new.safetensors")
