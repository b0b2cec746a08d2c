"""Scores that need no data: a network of absolute weights, and an image of ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metad2a.proxies.network import Batch, NetworkProxy, weighted_layers


def _flow(net: nn.Module, resolution: int) -> list[tuple[Tensor, Tensor]]:
    """Return the absolute weights of each layer and the gradients of the sum of outputs, without normalisation.

    In double precision: the values of deep networks exceed single precision.
    """
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    net.double()
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.abs_()
    weights = [layer.weight for _, layer in weighted_layers(net)]
    outputs = net(torch.ones(1, 3, resolution, resolution, dtype=torch.float64))
    found = torch.autograd.grad(outputs.sum(), weights, allow_unused=True)
    pairs = zip(weights, found, strict=True)
    return [(weight.detach(), gradient.detach()) for weight, gradient in pairs if gradient is not None]


class Synflow(NetworkProxy):
    """The sum of |weight times gradient|: how much flows through the network (Tanaka et al., NeurIPS 2020)."""

    name = "synflow"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``; of the batches only the resolution counts."""
        return sum(float((w * g).abs().sum()) for w, g in _flow(net, batches[0].images.shape[-1]))


class LogSynflow(NetworkProxy):
    """The sum of weight times ln(1 + gradient): large gradients do not drown the others.

    Cavagnero et al., FreeREA, WACV 2023.
    """

    name = "logsynflow"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``; of the batches only the resolution counts."""
        return sum(float((w * g.log1p()).abs().sum()) for w, g in _flow(net, batches[0].images.shape[-1]))
