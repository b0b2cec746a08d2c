"""Shared fixtures. Tests are offline and write only below their own temporary folder."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.runtime import torch_rng
from metad2a.spaces.nasbench201 import NASBench201

FEATURE_DIM = 6
FINGERPRINT = "test features"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two test processes share two cores; more threads would only fight."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAD2A_NO_PROGRESS", "1")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("METAD2A_RUN_ID", raising=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data for development (METAD2A_TEST_DATA, default ../shared/data); the test skips where it is absent."""
    folder = Path(os.environ.get("METAD2A_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder} (set METAD2A_TEST_DATA)")
    return folder


@pytest.fixture
def space() -> NASBench201:
    return NASBench201()


@pytest.fixture
def features() -> FeatureSet:
    """Five classes of uneven sizes; random features of the width that ``make_checkpoint`` expects."""
    labels = np.repeat(np.arange(5), [3, 9, 4, 6, 8])
    return FeatureSet(
        torch.randn(len(labels), FEATURE_DIM, generator=torch_rng("test features")),
        labels,
        [f"class {i}" for i in range(5)],
        embedder=FINGERPRINT,
        name="random",
    )


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Checkpoint]:
    """Return a function that makes an untrained checkpoint; its arguments replace fields of it."""

    def make(*parts: str, feature_dim: int = FEATURE_DIM, **fields: Any) -> Checkpoint:
        topology = NASBench201().topology.nonzero().tolist()
        size = {"feature_dim": feature_dim, "num_types": 7, "num_nodes": 8, "hidden": 12, "latent": 8}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            models = {"generator": Generator(**size, topology=topology), "predictor": Predictor(**size)}
            with torch.no_grad():  # an untrained predictor hardly tells architectures apart; this one does
                models["predictor"].join.weight.mul_(8)
                models["predictor"].out.weight.mul_(8)
        whole = Checkpoint(
            parts={name: Part.of(models[name]) for name in parts or models},
            space="nasbench201",
            topology=topology,
            embedder={"name": "pixels", "fingerprint": FINGERPRINT, "dim": feature_dim},
            images_per_class=4,
            target={"mean": 70.0, "std": 5.0},
        )
        return replace(whole, **fields)

    return make
