import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from metad2a.search.network_module import load_module
from metad2a.spaces.nasbench201 import NASBench201

Run = Callable[..., Any]
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"


def test_an_architecture(run: Run, tmp_path: Path) -> None:
    sizes = ["--scale", "channels=4", "--scale", "cells=2", "--resolution", 16, "--no-onnx"]
    said = run("export", CELL, "out", "--num-classes", 7, *sizes).done().out
    assert said.split() == ["wrote", "out/card.json", "wrote", "out/network.py"]
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert (card["scale"], card["resolution"], card["num_classes"]) == ({"channels": 4, "cells": 2}, 16, 7)
    assert card["command"].startswith("metad2a export ")
    network = load_module((tmp_path / "out/network.py").read_text())["Network"]()
    space = NASBench201()
    assert sum(weight.numel() for weight in network.parameters()) == card["params"]
    built = space.build(space.parse(CELL), 7, channels=4, cells=2)
    torch.save(built.state_dict(), tmp_path / "mine.pt")
    run("export", CELL, "out", "--num-classes", 7, *sizes, "--weights", "mine.pt").done()
    built.load_state_dict(torch.load(tmp_path / "out/weights.pt", weights_only=True))


def test_a_candidate_of_a_search(run: Run, tmp_path: Path) -> None:
    candidates = [
        {"rank": rank, "arch": arch, "predicted": 70.0, "std": None} for rank, arch in ((1, "?"), (2, CELL))
    ]
    found = {"schema_version": 1, "space": "nasbench201", "checkpoint": "x", "seed": 5, "candidates": candidates}
    (tmp_path / "found.json").write_text(json.dumps({**found, "dataset": {"name": "animals", "classes": 6}}))
    run("export", "found.json#2", "out", "--no-onnx").done()
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert (card["arch"], card["num_classes"]) == (CELL, 6)
    assert (card["search"]["rank"], card["search"]["seed"], card["search"]["dataset"]["name"]) == (2, 5, "animals")
    run("export", "found.json#3", "out2", "--no-onnx").refused("found.json has no candidate of rank 3")
    run("export", "found.json#2", "out2", "--space", "mobilenetv3").refused("Leave out --space")
    assert not (tmp_path / "out2").exists()


def test_what_is_refused(run: Run, tmp_path: Path) -> None:
    run("export", CELL, "out").refused("--num-classes")
    run("export", "|none", "out", "--num-classes", 2).refused("is no architecture of 'nasbench201'")
    run("export", CELL, "out", "--num-classes", 2, "--space", "mobilenetv3").refused(
        "is of the space 'nasbench201', not 'mobilenetv3': give --space nasbench201"
    )
    run("export", CELL, "out", "--num-classes", 2, "--scale", "channels").refused("--scale channels", "channels=16")
    run("export", CELL, "out", "--num-classes", 2, "--scale", "depth=2").refused("unknown scale option", "depth")
    run("export", "best.safetensors", "out").refused("there is no trained network")
    assert list(tmp_path.iterdir()) == []
