import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.data.features import FeatureSet
from metad2a.models.official import official_checkpoint
from metad2a.search.metad2a import MetaD2A

Run = Callable[..., Any]


def test_cifar(files: Any, run: Run, official: Path, table: dict[str, float], tmp_path: Path) -> None:
    files.save_features(official, "cifar100", 2)
    done = run("cifar", official, "--runs", 2, "--candidates", 32, "--out", "out", "--device", "cpu").done()
    for name in ("cifar10", "cifar100"):
        found = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert (tmp_path / "out" / f"{name}.md").read_text() in done.out
        assert len(found["per_run"]) == 2
        for row in found["per_run"]:
            assert row["generated"] == 32 < row["sampled"]
            bests = [row[f"best_of_{n}"] for n in (1, 2, 5, 10, 30)]
            assert bests == sorted(bests)
        first = [row["best_of_1"] for row in found["per_run"]]
        assert found["mean"]["best_of_1"] == pytest.approx(np.mean(first))
        assert found["interval95"]["best_of_1"] == pytest.approx(12.706 * np.std(first, ddof=1) / 2**0.5, rel=1e-4)
    assert "94.37 ± 0.03" in done.out
    assert "73.51 ± 0.00" in done.out

    model = MetaD2A(official_checkpoint(*files.models(official)), name="official", device="cpu")
    features = FeatureSet.load(tmp_path / "out/imported/cifar10.safetensors")
    result = model.search(features, n_candidates=32, random_state=1, constrained=False)
    true = [table[candidate.arch] for candidate in result.candidates]
    row = json.loads((tmp_path / "out/cifar10.json").read_text())["per_run"][1]
    assert row["best_of_1"] == true[0]
    assert row["best_of_30"] == max(true[:30])
    assert row["mean_generated"] == pytest.approx(np.mean(true))


def test_files_may_lie_elsewhere(
    files: Any, run: Run, official: Path, table: dict[str, float], tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (*files.models(official), official / "data" / "nasbench201.pt"):
        path.rename(flat / path.name)
    moved = (official / "data" / "cifar10bylabel.pt").rename(tmp_path / "mine.pt")
    quick = ("--runs", 1, "--candidates", 30, "--out", "out", "--dataset", "cifar10")
    run("cifar", flat, "--features", moved, *quick).done()
    assert json.loads((tmp_path / "out/cifar10.json").read_text())["interval95"]["best_of_1"] is None
    assert run("cifar", flat, "--features", moved).code == 2
