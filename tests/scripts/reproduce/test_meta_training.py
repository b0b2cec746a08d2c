from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.data.embedders import resnet18
from metad2a.database.importers import official_features
from metad2a.models.checkpoint import Checkpoint
from metad2a.spaces.mobilenetv3 import MobileNetV3, to_official

Run = Callable[..., Any]


def save_mobilenetv3_databases(files: Any, folder: Path) -> None:
    """Write both databases of random networks on twenty tasks of ImageNet32's first twelve classes."""
    rng = np.random.default_rng(0)
    for kind in ("generator", "predictor"):
        rows = [
            {
                "top1": float(rng.uniform(50, 90)),
                "net": to_official(arch),
                "class": torch.from_numpy(np.sort(rng.choice(12, 3, replace=False))),
            }
            for arch in MobileNetV3().sample(20, rng)
        ]
        files.save(rows, folder / "data" / kind / "processed" / "collected_database.pt")


@pytest.mark.slow
@pytest.mark.parametrize("space", ["nasbench201", "mobilenetv3"])
def test_meta_training(
    files: Any,
    run: Run,
    igraph: Callable[..., Any],
    resnet18_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    space: str,
) -> None:
    """Random weights count as the official ones, which are a download."""
    monkeypatch.setenv(resnet18.WEIGHTS_VARIABLE, str(resnet18_weights))
    monkeypatch.setenv("METAD2A_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(official_features, "OFFICIAL_FINGERPRINT", resnet18.ResNet18().fingerprint)
    folder = tmp_path / "official"
    if space == "nasbench201":
        for which in ("generator", "predictor"):
            files.save_database(folder, igraph, which)
    else:
        save_mobilenetv3_databases(files, folder)
    files.save_features(folder, "imgnet32", 12)
    quick = ("meta_training", folder, "--space", space, "--out", "out", "debug=limit")
    run(*quick).done()
    both = Checkpoint.load(tmp_path / "out" / f"{space}.safetensors")
    assert both.space == space
    assert set(both.parts) == {"generator", "predictor"}
    assert both.parts["generator"].config["topology"] is None  # it decides the edges itself, as the official one
    again = run(*quick).done()
    assert "$ metad2a train" not in again.out
    assert "$ metad2a resume" not in again.out
