"""Peak memory of one forward pass: weights, and the most results that are alive at one time."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from metad2a.runtime import progress
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.scale import NetworkScale


@dataclass(frozen=True)
class Memory:
    """Bytes of one forward pass.

    Attributes:
        weights: parameters and buffers.
        activations: the image and the most results of operations that are alive at one time. What a kernel needs
            inside (unfolded images, copies in another layout) is not counted: it depends on library and machine.
    """

    weights: int
    activations: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.weights + self.activations


def measure_memory(net: nn.Module, resolution: int) -> Memory:
    """Watch a forward pass of one RGB image of ``resolution`` pixels a side, as for inference, without gradients.

    The pass takes place where the network's weights are; on the device ``meta`` nothing is computed.
    """
    tensors = [*net.parameters(), *net.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    image = torch.zeros(1, 3, resolution, resolution, device=device)
    with torch.no_grad(), _Watch(image, known=tensors) as watch:
        net.eval()(image)
    weights = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return Memory(sum(weights.values()), watch.most)


def network_memory(
    space: SearchSpace, archs: Sequence[Architecture], num_classes: int, scale: NetworkScale | None = None
) -> Int64[np.ndarray, " A"]:
    """Return the bytes of one forward pass of one image of each network; without ``scale``, of the space's own.

    By the rule of the space where it has one, in no time; else each network is built and watched once, without
    computing anything where its operations allow that.
    """
    scale = scale or NetworkScale(space.resolution)
    by_rule = space.memory(archs, num_classes, scale.resolution, **scale.options)
    if by_rule is not None:
        return by_rule
    watched = progress(archs, label="memory")
    return np.array([_watched(space, arch, num_classes, scale) for arch in watched], dtype=np.int64)


@lru_cache(maxsize=100_000)
def _watched(space: SearchSpace, arch: Architecture, num_classes: int, scale: NetworkScale) -> int:
    try:
        with torch.device("meta"):
            net = space.build(arch, num_classes, **scale.options)
        return measure_memory(net, scale.resolution).total
    except RuntimeError:  # an operation that needs numbers
        return measure_memory(space.build(arch, num_classes, **scale.options), scale.resolution).total


class _Watch(TorchDispatchMode):
    """Count the bytes that are alive, at each operation."""

    def __init__(self, image: Tensor, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._alive = {tensor.untyped_storage()._cdata for tensor in known}
        self._bytes = self.most = 0
        self._count(image)

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._alive.add(key)
        self._bytes += size
        self.most = max(self.most, self._bytes)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._bytes -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it made."""
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return made
