import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metad2a.runtime import numpy_rng
from metad2a.spaces.nasbench201 import NASBench201

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "measure_proxies.py"))


@pytest.fixture
def table(space: NASBench201, tmp_path: Path) -> Path:
    """Accuracies of the networks that are measured, which the number of parameters orders backwards."""
    archs = [arch for seed in (0, 1) for arch in space.sample(6, numpy_rng("measure proxies", seed))]
    truth = 90 - np.array(space.params(archs, 10)) / 1e6
    path = tmp_path / "table.parquet"
    pd.DataFrame({"arch": list(map(space.format, archs)), "truth": truth}).to_parquet(path)
    return path


def measure(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["measure_proxies.py", "embedded:digits", *map(str, arguments)])
    SCRIPT["main"]()


def test_scores_are_kept_and_their_ranks_told(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.parquet"
    few = ("--networks", 6, "--batch-size", 4, "--resolution", 8)
    measure(monkeypatch, f"{table}:truth", kept, "params", *few)
    assert "| params | 0 | -1.00 | -1.00 |" in capsys.readouterr().out
    changed = pd.read_parquet(kept).assign(params=lambda rows: -rows["params"])
    changed.to_parquet(kept, index=False)
    measure(monkeypatch, f"{table}:truth", kept, "params", "naswot", *few)
    assert "| params | 0 | 1.00 | 1.00 |" in capsys.readouterr().out  # not computed again
    measure(monkeypatch, f"{table}:truth", kept, "linear_regions", *few)
    rows = pd.read_parquet(kept)
    assert rows["linear_regions"].max() > 16, "of many images, not of four"
    alive = rows[rows["naswot"] > -1e30]
    assert 2 < len(alive) <= 6
    with pytest.raises(SystemExit, match="is of other networks"):
        measure(monkeypatch, f"{table}:truth", kept, "params", *few, "--seed", 1)
    with pytest.raises(SystemExit, match="Did you mean 'naswot'"):
        measure(monkeypatch, f"{table}:truth", kept, "naswt", *few)
