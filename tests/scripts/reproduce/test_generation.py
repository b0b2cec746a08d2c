"""Validity, uniqueness, novelty; and networks of the MobileNetV3 space."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from metad2a.spaces.mobilenetv3 import from_official

Run = Callable[..., Any]


State = Callable[..., dict[str, Tensor]]


def test_generation(files: Any, run: Run, official: Path, igraph: Callable[..., Any], tmp_path: Path) -> None:
    files.save_database(official, igraph, "generator")
    done = run("generation", official, "--cells", 150, "--out", "out", "--device", "cpu").done()
    assert "98.97" in done.out
    made = json.loads((tmp_path / "out" / "cifar10.json").read_text())["made"]
    free, ruled, handed = made.values()
    assert free["sampled"] == ruled["sampled"] == handed["sampled"] == 150
    assert free["validity"] < 100
    assert ruled["validity"] == handed["validity"] == handed["uniqueness"] == 100
    for row in made.values():
        assert row["uniqueness"] == pytest.approx(100 * row["distinct"] / row["valid"])
        assert row["novelty"] == pytest.approx(100 * row["novel"] / row["distinct"])
    run("generation", official, "--cells", 20, "--out", "bare", "--skip-novelty").done()
    bare = json.loads((tmp_path / "bare" / "cifar10.json").read_text())["made"]
    assert {row["novelty"] for row in bare.values()} == {None}


@pytest.mark.parametrize("constrained", [True, False])
def test_mobilenetv3(files: Any, run: Run, official_state: State, tmp_path: Path, constrained: bool) -> None:
    folder = tmp_path / "official"
    generator = official_state("generator", "mobilenetv3")
    # Of 22 random vertices almost nothing is a network: let it write chains of one depth.
    generator["add_vertex.2.bias"][2:11] += 8
    generator["add_edge.2.bias"] += 4
    files.save(generator, folder / "results/generator/model/ckpt_120.pt")
    files.save(official_state("predictor", "mobilenetv3", hidden=24), files.models(folder)[1])
    files.save_features(folder, "aircraft100", 5)
    done = run(
        *("mobilenetv3", folder, "--candidates", 8, "--max-flops", 3e8, "--out", "out", "--dataset", "aircraft"),
        *(["--constrained"] if constrained else []),
    ).done()
    assert "Not done: fine-tuning" in done.out
    found = json.loads((tmp_path / "out" / "aircraft.json").read_text())
    nets = found["candidates"]
    assert len(nets) == 8
    assert [net["score"] for net in nets] == sorted((net["score"] for net in nets), reverse=True)
    assert all(net["flops"] <= 3e8 for net in nets)
    assert len({from_official(net["net"]) for net in nets}) == 8
    assert found["dataset"]["classes"] == 5
