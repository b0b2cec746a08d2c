"""The script that gives classes words."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metad2a.models.checkpoint import Checkpoint
from metad2a.models.reference import Reference

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "reproduce" / "name_classes.py"


def test_ids_become_words_and_other_names_stay(
    make_checkpoint: Callable[..., Checkpoint],
    make_reference: Callable[..., Reference],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = {str(label): f"n{1000 - label:08d}" for label in range(1, 1001)}  # the first in order is label 1000
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    names = ["s/n00000000", "n00000134", "s/mine"]
    reference = make_reference()
    others = [f"class {number}" for number in range(len(reference.classes) - len(names))]
    make_checkpoint(reference=make_reference(classes=(*names, *others))).save(tmp_path / "a.safetensors")
    make_checkpoint(reference=None).save(tmp_path / "none.safetensors")

    def run(source: str) -> None:
        arguments = [tmp_path / source, tmp_path / "b.safetensors", "--wnids", tmp_path / "ids.json"]
        monkeypatch.setattr(sys, "argv", ["name_classes.py", *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")

    run("a.safetensors")
    noted = Checkpoint.load(tmp_path / "b.safetensors").reference
    assert noted is not None
    assert noted.classes == ("tench", "crane bird", "s/mine", *others)
    with pytest.raises(SystemExit, match="notes no classes"):
        run("none.safetensors")
