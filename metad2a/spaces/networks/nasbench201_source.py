"""A network of NAS-Bench-201 as Python code that a person can read and that needs torch alone."""

from collections.abc import Sequence

from metad2a.spaces.networks.nasbench201 import CELL_EDGES

_NODES = (0, 1, 2, 3)
_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
_POOL = "avg_pool_3x3"

_HEAD = '''\
from collections import OrderedDict

import torch
from torch import Tensor, nn


def relu_conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1
) -> nn.Sequential:
    """Return ReLU, convolution and batch normalisation."""
    padding = kernel // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.Sequential(
        OrderedDict(relu=nn.ReLU(), conv=conv, norm=nn.BatchNorm2d(outputs))
    )


class Cell(nn.Module):
    """The cell: each node is a sum; the first is the input, the last the output."""

    def __init__(self, channels: int) -> None:
        super().__init__()
'''

_TAIL = '''\


def stage(channels: int) -> nn.Sequential:
    """Return the cells of one stage."""
    return nn.Sequential(*(Cell(channels) for _ in range(@CELLS@)))


class Reduction(nn.Module):
    """A residual block that halves the resolution; an odd one is rounded up."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            relu_conv_norm(inputs, outputs, kernel=3, stride=2),
            relu_conv_norm(outputs, outputs, kernel=3),
        )
        pool = nn.AvgPool2d(2, stride=2, ceil_mode=True)
        conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shortcut = nn.Sequential(OrderedDict(pool=pool, conv=conv))

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of the body and the shortcut."""
        return self.body(x) + self.shortcut(x)


class Network(nn.Module):
    """The whole network: three stages of cells with reductions between them."""

    def __init__(self, num_classes: int = @CLASSES@) -> None:
        super().__init__()
        conv = nn.Conv2d(3, @FIRST@, 3, padding=1, bias=False)
        self.stem = nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(@FIRST@)))
        self.stage1 = stage(@FIRST@)
        self.reduction1 = Reduction(@FIRST@, @SECOND@)
        self.stage2 = stage(@SECOND@)
        self.reduction2 = Reduction(@SECOND@, @THIRD@)
        self.stage3 = stage(@THIRD@)
        self.head = nn.Sequential(
            OrderedDict(
                norm=nn.BatchNorm2d(@THIRD@),
                relu=nn.ReLU(),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
            )
        )
        self.classifier = nn.Linear(@THIRD@, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, num_classes) scores of (batch, 3, height, width) images."""
        x = self.stage1(self.stem(images))
        x = self.stage2(self.reduction1(x))
        x = self.stage3(self.reduction2(x))
        return self.classifier(self.head(x))
'''


def cell_network_source(operations: Sequence[str], num_classes: int, *, channels: int, cells: int) -> str:
    """Return code that defines ``Network``, equal to ``CellNetwork`` of the same arguments.

    The names of its parameters are the same. Edges that no output depends on are not computed, but have their
    weights; what is known to be zero is left out.
    """
    tail = _TAIL
    for name, number in {
        "CELLS": cells,
        "CLASSES": num_classes,
        "FIRST": channels,
        "SECOND": 2 * channels,
        "THIRD": 4 * channels,
    }.items():
        tail = tail.replace(f"@{name}@", str(number))
    return _HEAD + _CellText(operations).text() + tail


class _CellText:
    """What the code of one cell says."""

    def __init__(self, operations: Sequence[str]) -> None:
        self._operations = dict(zip(CELL_EDGES, operations, strict=True))
        self._zero: set[int] = set()
        self._terms: dict[int, dict[int, str]] = {}
        for node in _NODES[1:]:
            self._terms[node] = self._incoming(node)
            if not self._terms[node]:
                self._zero.add(node)
        self._live = self._live_nodes()

    def text(self) -> str:
        lines = [*self._members(), "", "    def forward(self, node0: Tensor) -> Tensor:"]
        lines += ['        """Return the last node."""', *self._body()]
        return "\n".join(lines) + "\n"

    def _incoming(self, node: int) -> dict[int, str]:
        """Return the operation of each edge into ``node`` that can add something: of zeros, convolutions alone."""
        return {
            source: name
            for (source, target), name in self._operations.items()
            if target == node and name != "none" and (source not in self._zero or name in _KERNELS)
        }

    def _live_nodes(self) -> set[int]:
        live = {_NODES[-1]}
        for node in reversed(_NODES[1:]):
            if node in live:
                live.update(self._terms[node])
        return live

    def _members(self) -> list[str]:
        lines = []
        for (source, target), name in self._operations.items():
            if name not in _KERNELS:
                continue
            if target not in self._live:
                lines.append("# No output depends on this edge; it is here for its weights' names.")
            lines.append(f'"{source}_to_{target}": relu_conv_norm(channels, channels, kernel={_KERNELS[name]}),')
        lines = [f"                {line}" for line in lines]
        if lines:
            lines = ["        self.edges = nn.ModuleDict(", "            {", *lines, "            }", "        )"]
        if any(_POOL in self._terms[node].values() for node in self._live - {0}):
            pool = "self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)"
            lines.append(f"        {pool}")
        return lines

    def _body(self) -> list[str]:
        lines = []
        if any(name in _KERNELS for node in self._live - {0} for name in self._terms[node].values()):
            lines.append("edge = self.edges")
        for node in sorted(self._live - {0}):
            terms = [self._term(source, node, name) for source, name in self._terms[node].items()]
            value = " + ".join(terms) or "torch.zeros_like(node0)"
            lines.append(f"node{node} = {value}")
        return [f"        {line}" for line in (*lines, f"return node{_NODES[-1]}")]

    def _term(self, source: int, target: int, name: str) -> str:
        if name in _KERNELS:
            return f'edge["{source}_to_{target}"](node{source})'
        return f"self.pool(node{source})" if name == _POOL else f"node{source}"
