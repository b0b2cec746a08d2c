"""Scores from what different images do to a network at initialisation, without labels."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from metad2a.proxies.network import Batch, Inputs, NetworkProxy, relus

_JACOBIAN_K = 1e-5


def relu_codes(net: nn.Module, images: Float[Tensor, "B 3 s s"], *, reached: bool) -> list[Bool[Tensor, "B units"]]:
    """Return, for each rectifier, which of its units are on for each image.

    Args:
        net: the network, in training mode.
        images: its inputs.
        reached: leave out rectifiers that the gradient of the outputs does not reach: those on dead paths.
    """
    seen: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = inputs[0]

    hooks = [module.register_forward_hook(keep) for module in relus(net)]
    outputs = net(images)
    wanted = list(seen.values())
    if reached and wanted:
        found = torch.autograd.grad(outputs.sum(), wanted, allow_unused=True)
        wanted = [x for x, gradient in zip(wanted, found, strict=True) if gradient is not None and gradient.any()]
    for hook in hooks:
        hook.remove()
    return [(x.detach() > 0).flatten(1) for x in wanted]


class Naswot(NetworkProxy):
    """The logarithm of the determinant of the kernel of ReLU codes: how different images look to the network.

    Mellor et al., Neural Architecture Search without Training, ICML 2021: two images agree in as many units as have
    the same sign for both.
    """

    name = "naswot"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        return float(np.linalg.slogdet(self.kernel(net, batches[0].images))[1])

    def kernel(self, net: nn.Module, images: Float[Tensor, "B 3 s s"]) -> Float[np.ndarray, "B B"]:
        """Return the number of units that are alike for each pair of images."""
        total = np.zeros((len(images), len(images)))
        for codes in relu_codes(net, images.clone().requires_grad_(), reached=True):
            on = codes.float()  # products of zeros and ones are exact in single precision up to 2^24 units
            total += (on @ on.T + (1 - on) @ (1 - on).T).double().numpy()
        return total


class JacobCov(NetworkProxy):
    """How little the input gradients of different images are correlated.

    The first version of Mellor et al. (arXiv:2006.04647v1): minus the sum over the eigenvalues of the correlation
    matrix of ln(v + k) + 1 / (v + k), with k = 1e-5.
    """

    name = "jacob_cov"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        images = batches[0].images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(net(images).sum(), images)
        correlation = np.corrcoef(gradient.flatten(1).double().numpy())
        if not np.isfinite(correlation).all():
            return float("nan")
        values = np.linalg.eigvalsh(correlation).clip(0) + _JACOBIAN_K
        return -float((np.log(values) + 1 / values).sum())


class LinearRegions(NetworkProxy):
    """The number of linear regions that tiny images fall into, in a network of one channel and one cell a stage.

    Chen, Gong and Wang, TE-NAS, ICLR 2021: expressivity. 3,000 images of 3 x 3 pixels; the codes of all rectifiers
    together name a region. Here the network keeps its stem, so the images have three channels, and they are noise
    unless images are given.
    """

    name = "linear_regions"

    def __init__(self, inputs: Inputs | None = None) -> None:
        super().__init__(inputs or Inputs(batch_size=3000, resolution=3, scale={"channels": 1, "cells": 1}))

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        with torch.no_grad():
            codes = relu_codes(net, batches[0].images, reached=False)
        packed = np.packbits(torch.cat(codes, 1).numpy(), axis=1)
        return float(len(np.unique(packed, axis=0)))
