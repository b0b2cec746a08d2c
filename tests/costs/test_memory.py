from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from metad2a.costs.memory import measure_memory, network_memory
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NAMES, NASBench201

TOLERANCE = 0.005  # of the whole: the rules leave out a few empty results of normalisations


class Steps(nn.Module):
    """Holds two results of 1,200 bytes at a time, beside the image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))
        self.shared = self.weight
        self.register_buffer("statistics", torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        for _ in range(4):
            y = y + 1
        y += 1
        return y.view(-1)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_counts_what_is_alive_at_one_time(device: str) -> None:
    with torch.device(device):
        net = Steps()
    memory = measure_memory(net, 10)
    assert memory.weights == 10 * 4 + 3 * 8
    assert memory.activations == 3 * 1200
    assert memory.total == memory.weights + memory.activations


CASES: list[tuple[SearchSpace, int, dict[str, int]]] = [
    (NASBench201(), 32, {}),
    (NASBench201(), 17, {"cells": 1}),
    (NASBench201(), 8, {"channels": 5, "cells": 2}),
    (MobileNetV3(), 224, {}),
    (MobileNetV3(), 51, {"width": 120}),
    (MobileNetV3(), 16, {"width": 35, "downsampling": 8}),
]


@pytest.mark.parametrize(("space", "resolution", "scale"), CASES)
def test_the_rules_are_what_a_watched_pass_holds(
    space: SearchSpace, resolution: int, scale: dict[str, int]
) -> None:
    archs = space.sample(4, np.random.default_rng(resolution))
    if isinstance(space, NASBench201):
        archs += [Architecture(space.name, (choice,) * 6) for choice in range(len(NAMES))]
    by_rule = space.memory(archs, 7, resolution, **scale)
    assert by_rule is not None
    for arch, expected in zip(archs, by_rule.tolist(), strict=True):
        with torch.device("meta"):
            net = space.build(arch, 7, **scale)
        assert measure_memory(net, resolution).total == pytest.approx(expected, rel=TOLERANCE)


def allocated(net: nn.Module, resolution: int) -> int:
    """Return the most bytes that torch's allocator had handed out at one time, as its profiler saw it."""
    image = torch.zeros(1, 3, resolution, resolution)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        net.eval()(image)
    events: list[Any] = record.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns()) if e.name() == "[memory]"]
    return int(max(np.cumsum(changes))) + image.nbytes


def test_torchs_own_allocator_agrees() -> None:
    # Cells without 3x3 convolutions: how those unfold their images is the kernel's business.
    space = NASBench201()
    for choices in [(4, 2, 0, 1, 2, 4), (2, 2, 2, 2, 2, 2), (1, 4, 1, 4, 2, 0)]:
        net = space.build(Architecture(space.name, choices), 10)
        assert allocated(net, 32) == pytest.approx(measure_memory(net, 32).activations, rel=0.01)


def test_a_list_by_rule_and_by_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    space = NASBench201()
    archs = space.sample(3, np.random.default_rng(0))
    by_rule = network_memory(space, archs, 10)
    monkeypatch.setattr(NASBench201, "memory", lambda *_, **__: None)
    np.testing.assert_allclose(network_memory(space, archs, 10), by_rule, rtol=TOLERANCE)
    assert network_memory(space, [], 10).shape == (0,)


def test_a_network_that_needs_numbers_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            total = x + x.sum().item()
            return self.classifier(total.mean((2, 3)))

    space = NASBench201()
    monkeypatch.setattr(NASBench201, "memory", lambda *_, **__: None)
    monkeypatch.setattr(NASBench201, "build", lambda *_, **__: Counting())
    image = 4 * 3 * 32**2
    [found] = network_memory(space, [Architecture(space.name, (0,) * 6)], 2)
    assert found == pytest.approx(2 * image + 4 * 8, abs=40)
