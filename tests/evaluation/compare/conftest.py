"""A made-up truth about every cell, half of it its size, ten images without pixels, and models for them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.problem import Problem
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.surrogate import Surrogate
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()


@pytest.fixture(scope="session")
def judge() -> Judge:
    archs = list(SPACE.enumerate())
    size = SPACE.params(archs, 5) / SPACE.params(archs, 5).max()
    return Judge("made up", archs, 40 + 30 * size + 20 * numpy_rng("luck").uniform(0, 1, len(archs)))


@pytest.fixture(scope="session")
def problem() -> Problem:
    features = FeatureSet(
        torch.randn(10, 6, generator=torch_rng("images")),
        np.arange(10) % 5,
        list("abcde"),
        embedder="test features",
        name="ten images",
    )
    return Problem(SPACE, features)


@pytest.fixture(scope="session")
def meta(make_checkpoint: Callable[..., Checkpoint]) -> MetaMethod:
    known = tuple(SPACE.format(arch) for arch in SPACE.sample(50, np.random.default_rng(0)))
    checkpoint = make_checkpoint(train_archs=known, provenance={"predictor": {"database": "demo", "epoch": 3}})
    return MetaMethod("ours", MetaD2A(checkpoint, name="untrained", device="cpu"), candidates=40)


@pytest.fixture(scope="session")
def surrogate_part() -> Part:
    """Return a surrogate of thirty records of three data sets that like different cells."""
    rng = torch_rng("surrogate")
    archs = list(dict.fromkeys(SPACE.sample(30, np.random.default_rng(1))))
    features = torch.from_numpy(ArchFeatures(SPACE).matrix(archs))
    model = Surrogate(
        num_rows=len(archs),
        num_tasks=3,
        arch_dim=features.shape[1],
        feature_dim=6,
        set_dim=2,
        rho=5.0,
        sigma=0.0,
        length=0.3,
        scale=0.05,
        noise=0.1,
        target_mean=60.0,
        target_std=4.0,
    )
    made = {
        "features": features,
        "targets": torch.randn(len(archs), generator=rng),
        "task_of": (torch.arange(len(archs)) % 3).int(),
        "sets": torch.randn(3, 2, generator=rng),
        "set_axes": torch.randn(2, 6, generator=rng),
    }
    model.load_state_dict(model.state_dict() | made)
    return Part.of(model)


@pytest.fixture(scope="session")
def alone(make_checkpoint: Callable[..., Checkpoint], surrogate_part: Part) -> Checkpoint:
    known = tuple(SPACE.format(arch) for arch in SPACE.sample(50, np.random.default_rng(0)))
    return replace(make_checkpoint("generator"), parts={"surrogate": surrogate_part}, train_archs=known)


@pytest.fixture(scope="session")
def together(make_checkpoint: Callable[..., Checkpoint], alone: Checkpoint) -> Checkpoint:
    return Checkpoint.merge(make_checkpoint("generator"), alone)
