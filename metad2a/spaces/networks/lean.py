"""Less work for the same network: what makes training it cheap on a CPU."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, reduce
from operator import add
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Images = Float[Tensor, "B channels height width"]
Edge = tuple[int, int]


@contextmanager
def lean(net: nn.Module) -> Iterator[None]:
    """Let the modules of ``net`` that can (those with an attribute ``lean``) leave out needless work.

    They compute the same function, to float tolerance. What no output depends on is not computed: its parameters
    get no gradient, and hooks on its modules do not run.
    """
    able = [module for module in net.modules() if hasattr(module, "lean")]
    before = [module.lean for module in able]
    try:
        for module in able:
            module.lean = True  # type: ignore[assignment]
        yield
    finally:
        for module, value in zip(able, before, strict=True):
            module.lean = value


def lean_cell(operations: Mapping[Edge, str], edges: Mapping[Edge, nn.Module], x: Images) -> Images:
    """Return the last node of a cell.

    Edges that lead nowhere are left out, what is known to be zero is not computed with, and the edges that leave
    one node share its rectified and its pooled values.

    Args:
        operations: name of each edge's operation, ordered by target node.
        edges: the module of each edge; those of convolutions have ``conv`` and ``norm``.
        x: the first node.
    """
    last = max(target for _, target in operations)
    nodes = {0: _Node(x)}
    for target in sorted(_useful(operations, last)):
        terms = [
            term
            for (source, end), name in operations.items()
            if end == target and (term := _term(name, edges[source, end], nodes.get(source), x)) is not None
        ]
        if terms:
            nodes[target] = _Node(reduce(add, terms))
    return nodes[last].value if last in nodes else torch.zeros_like(x)


class _Node:
    """The values of a node, and what several of its edges need of them."""

    def __init__(self, value: Images) -> None:
        self.value = value

    @cached_property
    def rectified(self) -> Images:
        return F.relu(self.value)

    @cached_property
    def pooled(self) -> Images:
        pooled: Images = _AveragePool3x3.apply(self.value)
        return pooled


def _useful(operations: Mapping[Edge, str], last: int) -> set[int]:
    """Return the nodes but the first that ``last`` depends on."""
    useful = {last}
    for (source, target), name in reversed(list(operations.items())):
        if target in useful and name != "none":
            useful.add(source)
    return useful - {0}


def _term(name: str, module: Any, source: _Node | None, x: Images) -> Images | None:
    """Return what an edge adds to its target, None for zeros; a ``source`` of None is all zeros."""
    if name.startswith("nor_conv"):
        if source is None:  # the mean of zeros is zero, so normalisation leaves its shift
            return module.norm.bias.view(1, -1, 1, 1).expand_as(x).contiguous(memory_format=torch.channels_last)
        return module.norm(module.conv(source.rectified))
    if source is None or name == "none":
        return None
    return source.pooled if name == "avg_pool_3x3" else source.value


class _AveragePool3x3(torch.autograd.Function):
    """``AvgPool2d(3, 1, 1, count_include_pad=False)`` as sums of shifted copies: a quarter of its time."""

    @staticmethod
    def forward(ctx: Any, x: Images) -> Images:
        pixels = x.permute(0, 2, 3, 1)
        ctx.shares = _shares(pixels)
        return _sum_3x3(pixels).mul_(ctx.shares).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Images) -> Images:
        return _sum_3x3(gradient.permute(0, 2, 3, 1) * ctx.shares).permute(0, 3, 1, 2)


def _sum_3x3(x: Float[Tensor, "B height width channels"]) -> Float[Tensor, "B height width channels"]:
    for dim in (1, 2):
        total = x.clone()
        size = x.shape[dim] - 1
        total.narrow(dim, 1, size).add_(x.narrow(dim, 0, size))
        total.narrow(dim, 0, size).add_(x.narrow(dim, 1, size))
        x = total
    return x


def _shares(x: Float[Tensor, "B height width channels"]) -> Float[Tensor, "height width channels"]:
    """Return one over the number of pixels around each pixel, itself included."""
    _, height, width, channels = x.shape
    rows, columns = (1 / _sum_3x3(x.new_ones(1, *shape)) for shape in ((height, 1, 1), (1, width, 1)))
    return (rows * columns)[0].expand(height, width, channels).contiguous()
