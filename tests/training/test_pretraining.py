"""Pre-training of a graph encoder without labels."""

from typing import Any

import numpy as np
import pytest
import torch

from metad2a.models.arch_features import ArchFeatures
from metad2a.models.predictor import Predictor
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.training import pretraining
from metad2a.training.pretraining import pretrain

SIZE: dict[str, Any] = {"feature_dim": 6, "num_types": 7, "num_nodes": 8, "hidden": 16, "latent": 8}


class Small(NASBench201):
    """So large that only a part of it is drawn, of which this gives the first few hundred."""

    size = 10**6

    def sample(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        assert n == 20_000
        return super().sample(600, rng)


def model() -> Predictor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Predictor(**SIZE)


def test_the_graph_encoder_learns_what_architectures_are_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "_BATCH", 20)
    monkeypatch.setattr(pretraining, "_LEARNING_RATE", 1e-2)
    features = ArchFeatures(Small())
    features.__dict__["_table"] = None  # that of the scores is of the real space
    net, again, before = model(), model(), model().state_dict()
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    early = pretrain(net, features, epochs=1, seed=3)
    assert torch.equal(torch.rand(1), drawn)  # no draw of anybody else is moved
    late = pretrain(again, features, epochs=8, seed=3)
    assert late > early + 0.05
    assert late > 0.1
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]) == (not name.startswith("graph_encoder.")), name
    other = model()
    assert pretrain(other, features, epochs=1, seed=3) == early
    assert all(
        torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True)
    )
