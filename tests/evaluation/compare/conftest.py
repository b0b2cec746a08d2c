"""A made-up truth about every cell, half of it its size, and ten images without pixels."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.evaluation.compare.judge import Judge, Problem
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.models.checkpoint import Checkpoint
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
