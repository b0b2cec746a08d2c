"""scripts/ablate.py on the demo database, each model trained for an epoch at most."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metad2a.cli.jobs import train
from metad2a.errors import ConfigError
from metad2a.spaces.nasbench201 import NASBench201

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "ablate.py"
QUICK = ["embedder=pixels", "max_images_per_class=4", "images_per_class=4", "schedule.epochs=1", "model.hidden=8"]


@pytest.fixture
def ablate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: NASBench201) -> Callable[..., None]:
    archs = list(space.enumerate())
    accuracy = 60 + space.params(archs, 10) / 1e5
    pd.DataFrame({"arch": map(space.format, archs), "mine": accuracy}).to_csv(tmp_path / "t.csv", index=False)
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=images, y=np.arange(12) % 3)
    monkeypatch.chdir(tmp_path)

    def run(*options: str, only: list[str], override: list[str] = QUICK) -> None:
        data = ["--oracle", "t.csv", "--column", "mine", "--dataset", "images.npz", "--experiment", "demo"]
        given = [SCRIPT.name, "out.json", *data, *options, "--only", *only, "--override", *override]
        monkeypatch.setattr(sys, "argv", given)
        runpy.run_path(str(SCRIPT), run_name="__main__")

    return run


def test_rows_are_kept_and_resumed(
    ablate: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    space: NASBench201,
) -> None:
    ablate("--seeds", "2", only=["predictor", "surrogate", "no pairs of decisions"])
    said = capsys.readouterr().out.splitlines()
    table = {line.split(" | ")[0].removeprefix("| "): line for line in said if line.startswith("| ")}
    assert list(table)[1:] == ["predictor", "surrogate", "no pairs of decisions", "predictor, ensemble"]
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert {name: list(found) for name, found in rows.items()} == {
        "predictor": ["0", "1", "0+1"],
        "surrogate": ["0", "1"],
        "no pairs of decisions": ["0", "1"],
    }
    accuracy = 60 + space.params(list(space.enumerate()), 10) / 1e5
    for row in (row for found in rows.values() for row in found.values()):
        assert row["first"] <= row["best_of_5"] <= row["best_of_10"] <= accuracy.max()
        assert -1 <= row["kendall_top10pct"] <= 1
        assert row["val_spearman"] > -1
    # The table is of sizes, which a surrogate has among its features; a predictor of one epoch knows nothing.
    assert rows["surrogate"]["0"]["kendall_all"] > rows["predictor"]["0"]["kendall_all"]
    assert rows["surrogate"]["0"] != rows["no pairs of decisions"]["0"]

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(train, "run", refuse)
    before = (tmp_path / "out.json").read_text()
    ablate("--seeds", "2", only=["predictor", "surrogate"])
    assert (tmp_path / "out.json").read_text() == before
    with pytest.raises(ConfigError, match="Name another file"):
        ablate("--seeds", "1", only=["predictor"], override=[*QUICK, "seed=3"])


def test_variants_of_the_surrogate_differ(ablate: Callable[..., None], tmp_path: Path) -> None:
    names = ["surrogate", "no data-free scores", "isomorphic cells not averaged", "labels: accuracy, not its ranks"]
    ablate("--seeds", "1", only=[*names, "a quarter of the tasks"])
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert len({row["0"]["kendall_all"] for row in rows.values()}) == 5
