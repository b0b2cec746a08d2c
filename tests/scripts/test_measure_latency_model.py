import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.spaces.nasbench201 import NASBench201


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("measure_latency_model")


def test_devices_are_told_apart(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = NASBench201()
    archs = [space.parse(text) for text in benchmark_order()]
    rng = np.random.default_rng(0)
    times = space.flops(archs, 10, 32) / 1e6
    np.savez(tmp_path / "ms.npz", sums=times, luck=rng.permutation(times))
    given = ["tables", str(tmp_path / "ms.npz"), str(tmp_path / "out.json"), "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", ["measure_latency_model.py", *given])
    script.main()
    devices = json.loads((tmp_path / "out.json").read_text())["devices"]
    assert len(devices["sums"]["spearman"]) == 2
    assert min(devices["sums"]["spearman"]) > 0.98
    assert max(np.abs(devices["luck"]["spearman"])) < 0.2
    printed = capsys.readouterr().out
    assert "| luck |" in printed
    assert "| mean of 2 |" in printed


def test_this_machine_is_measured(script: ModuleType) -> None:
    result = script.measure_here(4, 3, 1)
    [(_, row)] = result["devices"].items()
    assert row["error_percent"][0] >= 0
    assert -1 <= row["spearman"][0] <= 1
