"""Hand-made meta-databases with a truth that can be learned."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metad2a.data.features import FeatureSet
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.training.meta_data import MetaData

CLASSES, IMAGES, WIDTH = 12, 6, 6


def merit(archs: torch.Tensor) -> torch.Tensor:
    """How good a cell is, in percent of accuracy: its convolutions are good, its zeros are bad."""
    worth = torch.tensor([0.0, 0.0, -3.0, 0.5, 2.0, 4.0, -1.0])  # by vertex type
    return worth[archs].sum(1)


@pytest.fixture
def class_features() -> FeatureSet:
    """Images of twelve classes, each around a point of its own."""
    centres = torch.randn(CLASSES, 1, WIDTH, generator=torch_rng("centres"))
    images = centres + 0.3 * torch.randn(CLASSES, IMAGES, WIDTH, generator=torch_rng("around"))
    return FeatureSet(
        images.flatten(0, 1),
        np.repeat(np.arange(CLASSES), IMAGES),
        [f"s/{i}" for i in range(CLASSES)],
        embedder="pixels-32-v1",
        name="s",
    )


@pytest.fixture
def make_data(space: NASBench201, class_features: FeatureSet) -> Callable[..., MetaData]:
    """Return a function that makes records: accuracy = 60 + merit + difficulty of the task's classes + noise."""

    def make(
        *,
        tasks: int,
        per_task: int,
        archs: int = 60,
        difficulty: float = 0.0,
        noise: float = 0.0,
        valid: float = 0.25,
    ) -> MetaData:
        rng = numpy_rng("meta data", tasks, per_task)
        classes = np.stack([rng.choice(CLASSES, 3, replace=False) for _ in range(tasks)])
        hard = difficulty * rng.standard_normal(CLASSES)
        listed = list(dict.fromkeys(space.sample(2 * archs, rng)))[:archs]
        graphs = space.encode(listed)
        task_of = np.repeat(np.arange(tasks), per_task)
        arch_of = np.concatenate([rng.choice(archs, per_task, replace=False) for _ in range(tasks)])
        accuracy = (
            60
            + merit(graphs.types).numpy()[arch_of]
            + hard[classes].sum(1)[task_of]
            + noise * rng.standard_normal(len(task_of))
        )
        return MetaData(
            features=class_features,
            tasks=torch.from_numpy(classes),
            archs=graphs,
            arch_names=tuple(space.format(arch) for arch in listed),
            task_of=torch.from_numpy(task_of),
            arch_of=torch.from_numpy(arch_of),
            accuracy=torch.from_numpy(accuracy.astype(np.float32)),
            valid=torch.from_numpy(task_of < valid * tasks),
        )

    return make


@pytest.fixture
def learn() -> Callable[..., None]:
    """A few epochs of an objective: ``learn(objective, net, epochs=5)``."""

    def run(one: Any, net: nn.Module, *, epochs: int) -> None:
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for epoch in range(epochs):
            net.train()
            for batch in one.batches(epoch):
                optimizer.zero_grad()
                one.loss(net, batch)["loss"].backward()
                optimizer.step()
        net.eval()

    return run
