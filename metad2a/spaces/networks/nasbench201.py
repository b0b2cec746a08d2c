"""The networks of NAS-Bench-201, and what they cost."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor, nn

from metad2a.spaces.networks.lean import lean_cell

CELL_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""The edges ``(source, target)`` between the four nodes of a cell, in the order of its text."""


class Zero(nn.Module):
    """The operation ``none``: zeros that stay connected, so that gradients are zero rather than missing."""

    def forward(self, x: Float[Tensor, "B channels height width"]) -> Float[Tensor, "B channels height width"]:
        """Return zeros of the shape of ``x``."""
        return x * 0


def _relu_conv_norm(inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=conv, norm=nn.BatchNorm2d(outputs)))


OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: Zero(),
    "skip_connect": lambda channels: nn.Identity(),
    "nor_conv_1x1": lambda channels: _relu_conv_norm(channels, channels, kernel=1),
    "nor_conv_3x3": lambda channels: _relu_conv_norm(channels, channels, kernel=3),
    "avg_pool_3x3": lambda channels: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
}
"""The operations in the order of their numbers, each as a function from a width to a module."""


class Cell(nn.Module):
    """A cell: each node is the sum of its incoming edges, the last node is the output.

    Args:
        operations: one name per edge, in the order of ``CELL_EDGES``.
        channels: width of the input and of the output.

    Attributes:
        lean: whether to leave out needless work, see ``metad2a.spaces.networks.lean``.
    """

    def __init__(self, operations: Sequence[str], channels: int) -> None:
        super().__init__()
        self._operations = dict(zip(CELL_EDGES, operations, strict=True))
        named = self._operations.items()
        self.edges = nn.ModuleDict({f"{u}_to_{v}": OPERATIONS[name](channels) for (u, v), name in named})
        self.lean = False

    def forward(self, x: Float[Tensor, "B channels height width"]) -> Float[Tensor, "B channels height width"]:
        """Return the output node."""
        if self.lean:
            modules = dict(zip(CELL_EDGES, self.edges.values(), strict=True))
            return lean_cell(self._operations, modules, x)
        nodes = [x]
        for target in (1, 2, 3):
            incoming = [self.edges[f"{source}_to_{target}"](node) for source, node in enumerate(nodes)]
            nodes.append(reduce(add, incoming))
        return nodes[-1]


class Reduction(nn.Module):
    """A residual block that halves the resolution; an odd one is rounded up."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _relu_conv_norm(inputs, outputs, kernel=3, stride=2), _relu_conv_norm(outputs, outputs, kernel=3)
        )
        # The strided convolution rounds odd sides up, so the pooling must as well.
        pool = nn.AvgPool2d(2, stride=2, ceil_mode=True)
        self.shortcut = nn.Sequential(OrderedDict(pool=pool, conv=nn.Conv2d(inputs, outputs, 1, bias=False)))

    def forward(self, x: Float[Tensor, "B inputs height width"]) -> Float[Tensor, "B outputs half_h half_w"]:
        """Return the sum of the body and the shortcut."""
        return self.body(x) + self.shortcut(x)


class CellNetwork(nn.Module):
    """The network of NAS-Bench-201: a stem, three stages of equal cells with a reduction between, a classifier.

    Dong and Yang, ICLR 2020, figure 1. Weights start as torch initialises them, as in the benchmark.

    Args:
        operations: the cell: one name per edge, in the order of ``CELL_EDGES``.
        num_classes: outputs.
        channels: width of the first stage; the others have twice and four times as much.
        cells: cells in a stage.
    """

    def __init__(self, operations: Sequence[str], num_classes: int, *, channels: int, cells: int) -> None:
        super().__init__()
        first, second, third = _widths(channels)

        def stage(width: int) -> nn.Sequential:
            return nn.Sequential(*(Cell(operations, width) for _ in range(cells)))

        self.stem = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(3, first, 3, padding=1, bias=False), norm=nn.BatchNorm2d(first))
        )
        self.stage1 = stage(first)
        self.reduction1 = Reduction(first, second)
        self.stage2 = stage(second)
        self.reduction2 = Reduction(second, third)
        self.stage3 = stage(third)
        self.head = nn.Sequential(
            OrderedDict(
                norm=nn.BatchNorm2d(third), relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()
            )
        )
        self.classifier = nn.Linear(third, num_classes)

    def forward(self, images: Float[Tensor, "B 3 height width"]) -> Float[Tensor, "B classes"]:
        """Return the logits of ``images``."""
        x = self.stage1(self.stem(images))
        x = self.stage2(self.reduction1(x))
        x = self.stage3(self.reduction2(x))
        return self.classifier(self.head(x))


def _widths(channels: int) -> tuple[int, int, int]:
    return channels, 2 * channels, 4 * channels


# --- costs, from the numbers of the operations alone ----------------------------------------------------------

_KERNEL_AREA = np.array([0, 0, 1, 9, 0])
"""Weights of each operation, per input channel and output channel."""


def _conv_weights(operations: Int64[np.ndarray, "B 6"], channels: int, cells: int) -> Int64[np.ndarray, "B 3"]:
    """Return the weights of all convolutions that give an output of each of the three resolutions."""
    first, second, third = _widths(channels)
    # A reduction: 3x3 and the shortcut's 1x1 from the narrow to the wide stage, then 3x3 within the wide one.
    outside = [9 * 3 * first, *((9 + 1) * a * b + 9 * b * b for a, b in ((first, second), (second, third)))]
    inside = cells * _KERNEL_AREA[operations].sum(axis=1, keepdims=True) * np.array([first, second, third]) ** 2
    return np.array(outside) + inside


def count_params(
    operations: Int64[np.ndarray, "B 6"], num_classes: int, *, channels: int, cells: int
) -> Int64[np.ndarray, " B"]:
    """Return the number of trainable parameters of each cell's network."""
    first, second, third = _widths(channels)
    convolutions = (_KERNEL_AREA[operations] > 0).sum(axis=1)
    normalised = (first + 2 * second + 2 * third + third) + cells * convolutions * (first + second + third)
    classifier = third * num_classes + num_classes
    return _conv_weights(operations, channels, cells).sum(axis=1) + 2 * normalised + classifier


def count_flops(
    operations: Int64[np.ndarray, "B 6"], num_classes: int, resolution: int, *, channels: int, cells: int
) -> Int64[np.ndarray, " B"]:
    """Return the multiply-adds of convolutions and classifier of each cell's network, for one image."""
    sides = np.array([resolution, -(-resolution // 2), -(-resolution // 4)])
    return _conv_weights(operations, channels, cells) @ sides**2 + 4 * channels * num_classes
