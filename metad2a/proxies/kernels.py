"""Scores of trainability and of the response to noise."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from metad2a.proxies.network import Batch, NetworkProxy, weighted_layers

_NOISE = 0.01
_WORST_CONDITION = 1e5


class NtkCondition(NetworkProxy):
    """Minus the condition number of the neural tangent kernel: how evenly the images can be learned.

    Chen, Gong and Wang, TE-NAS, ICLR 2021: gradients of the sum of each image's logits by all parameters called
    weight; normal initialisation of He et al.; normalisation over the batch.
    """

    name = "ntk"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        for _, layer in weighted_layers(net):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        parameters = [parameter for name, parameter in net.named_parameters() if "weight" in name]
        rows = []
        for logits in net(batches[0].images).sum(1):
            found = torch.autograd.grad(logits, parameters, retain_graph=True, allow_unused=True)
            rows.append(torch.cat([g.flatten() for g in found if g is not None]))
        gradients = torch.stack(rows).double()
        values = torch.linalg.eigvalsh(gradients @ gradients.T).numpy()
        smallest, largest = float(values[0]), float(values[-1])
        if smallest <= 0 or not np.isfinite(largest):
            return -_WORST_CONDITION
        return -largest / smallest


class Zen(NetworkProxy):
    """How much features move with a little noise on the input, not counting what normalisation takes away.

    Lin et al., Zen-NAS, ICCV 2021: Gaussian weights and images; ln of the mean, over the images, of the
    summed change of the features before pooling, plus the logarithms of the deviations that batch normalisation
    divided by. The original removes residual links; here they stay.
    """

    name = "zen"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        for _, layer in weighted_layers(net):
            nn.init.normal_(layer.weight)
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        features: list[Tensor] = []
        pool = next(module for module in net.modules() if isinstance(module, nn.AdaptiveAvgPool2d))
        pool.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
        with torch.no_grad():
            first = torch.randn(batches[0].images.shape)
            net(first)
            net(first + _NOISE * torch.randn(first.shape))
            change = (features[0] - features[1]).abs().flatten(1).sum(1).mean()
            deviations = [norm.running_var.mean().sqrt() for norm in norms]  # type: ignore[union-attr]
        return float(change.log()) + sum(float(deviation.log()) for deviation in deviations)
