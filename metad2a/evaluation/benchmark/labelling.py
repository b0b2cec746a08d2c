"""The benchmark's cases of labelling: the training steps of which a database is made."""

import torch
from torch import nn
from torch.nn import functional as F

from metad2a.evaluation.benchmark.measure import Work
from metad2a.fitting.network import seeded
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.spaces.networks.lean import lean
from metad2a.spaces.registry import get_space

CELLS, BATCH = 12, 64
CLASSES, CHANNELS, RESOLUTION = 20, 8, 16  # as in conf/recipe/rank60k.yaml


def label_steps(*, plain: bool = False, lean_cells: bool = False) -> Work:
    """Return the work of one step of each of some random cells' networks.

    Args:
        plain: as a textbook has it: images as torch lays them out, an optimizer that is not fused.
        lean_cells: leave out needless work, as ``fit_network`` does.
    """
    space = get_space("nasbench201")
    layout = torch.contiguous_format if plain else torch.channels_last
    rng = torch_rng("benchmark", "labelling")
    images = torch.randn(BATCH, 3, RESOLUTION, RESOLUTION, generator=rng).contiguous(memory_format=layout)
    labels = torch.randint(CLASSES, (BATCH,), generator=rng)
    with seeded(0):
        nets = [
            space.build(arch, CLASSES, channels=CHANNELS, cells=1).to(memory_format=layout)
            for arch in space.sample(CELLS, numpy_rng("benchmark", "labelling"))
        ]
    optimizers = [
        torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=not plain)
        for net in nets
    ]

    def steps() -> None:
        for net, optimizer in zip(nets, optimizers, strict=True):
            if lean_cells:
                with lean(net):
                    _step(net, optimizer, images, labels)
            else:
                _step(net, optimizer, images, labels)

    return steps


def _step(net: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(net(images), labels).backward()
    optimizer.step()
