import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from metad2a.spaces.nasbench201 import NASBench201

SMALL = {"epochs": 2, "batch_size": 8, "resolution": 8, "scale": {"channels": 2, "cells": 1}}


@pytest.fixture
def script(load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_script("calibrate_recipes")
    monkeypatch.setattr(module, "VALID", 20)
    monkeypatch.setattr(module, "VARIANTS", {"rank60k": (40, SMALL), "other": (24, SMALL)})
    return module


def test_what_is_measured_is_kept_and_reported(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    files = []
    for number in range(2):
        files.append(str(tmp_path / f"{number}.npz"))
        np.savez(files[-1], x=rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8), y=np.arange(40) % 2)
    labels = tmp_path / "labels.jsonl"
    options = argparse.Namespace(labels=labels, images=files, recipes=["rank60k"], cells=4, seed=0)
    script.measure(options)
    options.recipes, options.cells = ["rank60k", "other"], 5
    script.measure(options)  # four of them are there already
    rows = script._read(labels)
    assert len({(row["recipe"], row["arch"]) for row in rows}) == len(rows) == 10
    assert all(len(row["curve"]) == 2 for row in rows)

    space = NASBench201()
    archs = list(space.enumerate())
    truth = space.params(archs, 10)
    table = tmp_path / "table.csv"
    pd.DataFrame({"arch": map(space.format, archs), "params": truth}).to_csv(table, index=False)
    script.report(argparse.Namespace(labels=labels, oracle=table, column="params", svg=tmp_path / "a.svg"))
    header, _, first, *_ = capsys.readouterr().out.strip().splitlines()
    found = dict(zip(header.split("|"), first.split("|"), strict=True))
    assert found["recipe"] == "rank60k"
    assert found["cells"] == "5"
    assert found["params"].startswith("1.00")  # the number of parameters agrees with itself
    assert "core-seconds a label" in (tmp_path / "a.svg").read_text()


def test_all_recipes_are_validated_on_the_same_images(script: ModuleType, tmp_path: Path) -> None:
    pixels = np.arange(80, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2).repeat(3, 3)
    np.savez(tmp_path / "a.npz", x=pixels, y=np.arange(80) % 2)
    parts = [script._split([str(tmp_path / "a.npz")], count, 8) for count in (40, 24)]
    assert parts[0][1].images.equal(parts[1][1].images)
    assert [len(train) for train, _ in parts] == [40, 24]
    for train, valid in parts:
        assert not set(train.images[:, 0, 0, 0].tolist()) & set(valid.images[:, 0, 0, 0].tolist())
