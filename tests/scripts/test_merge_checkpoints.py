"""Checkpoints become one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from metad2a.models.checkpoint import Checkpoint


def test_a_generator_and_predictors_are_one_file(
    run_script: Callable[..., Any], make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    make_checkpoint("generator").save(tmp_path / "g.safetensors")
    make_checkpoint("predictor").save(tmp_path / "p.safetensors")
    done = run_script("merge_checkpoints", "p.safetensors", "g.safetensors", "both.safetensors").done()
    assert done.out == "wrote both.safetensors\n"
    found, expected = Checkpoint.load(tmp_path / "both.safetensors").parts, make_checkpoint().parts
    assert found.keys() == expected.keys() == {"generator", "predictor"}
    for name, part in expected.items():
        assert all(torch.equal(found[name].state[key], tensor) for key, tensor in part.state.items())
    failed = run_script("merge_checkpoints", "none.safetensors", "g.safetensors", "no.safetensors")
    failed.refused("none.safetensors")
    assert not (tmp_path / "no.safetensors").exists()
