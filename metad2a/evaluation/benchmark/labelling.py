"""The benchmark's cases of labelling: the training steps of which a database is made."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from metad2a.evaluation.benchmark.measure import Work
from metad2a.fitting.network import seeded
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.spaces.networks.lean import lean
from metad2a.spaces.registry import get_space

NETWORKS = 12
RESOLUTION = 16


@dataclass(frozen=True)
class Labels:
    """The networks of which a step is measured.

    Attributes:
        space: their name.
        scale: the space's size options for them.
        classes: that they tell apart.
        batch: images a step.
    """

    space: str
    scale: dict[str, int]
    classes: int
    batch: int


RANK60K = Labels("nasbench201", {"channels": 8, "cells": 1}, classes=20, batch=64)  # of conf/recipe
SUPERNET16 = Labels("mobilenetv3", {"width": 35, "downsampling": 8}, classes=200, batch=128)


def label_steps(of: Labels, *, plain: bool = False, leave_out: bool = False) -> Work:
    """Return the work of one step of each of some random networks.

    Args:
        of: which networks.
        plain: as a textbook has it: images as torch lays them out, an optimizer that is not fused.
        leave_out: leave out needless work, as ``fit_network`` does.
    """
    space = get_space(of.space)
    layout = torch.contiguous_format if plain else torch.channels_last
    rng = torch_rng("benchmark", "labelling")
    images = torch.randn(of.batch, 3, RESOLUTION, RESOLUTION, generator=rng).contiguous(memory_format=layout)
    labels = torch.randint(of.classes, (of.batch,), generator=rng)
    with seeded(0):
        nets = [
            space.build(arch, of.classes, **of.scale).to(memory_format=layout)
            for arch in space.sample(NETWORKS, numpy_rng("benchmark", "labelling"))
        ]
    optimizers = [
        torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=not plain)
        for net in nets
    ]

    def steps() -> None:
        for net, optimizer in zip(nets, optimizers, strict=True):
            if leave_out:
                with lean(net):
                    _step(net, optimizer, images, labels)
            else:
                _step(net, optimizer, images, labels)

    return steps


def _step(net: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(net(images), labels).backward()
    optimizer.step()
