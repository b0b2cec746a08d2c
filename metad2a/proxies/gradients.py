"""Scores from the gradients of one batch at initialisation.

As in Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021: the weights of convolutions and linear
layers, cross-entropy, sums over all layers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metad2a.proxies.network import Batch, NetworkProxy, weight_gradients, weighted_layers


class GradNorm(NetworkProxy):
    """The sum over the layers of the Euclidean norms of their weights' gradients."""

    name = "grad_norm"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        return sum(float(gradient.norm()) for _, gradient in weight_gradients(net, batches[0]))


class Snip(NetworkProxy):
    """What the loss would lose, to first order and in absolute values, without each weight.

    Lee, Ajanthan and Torr, SNIP, ICLR 2019.
    """

    name = "snip"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        return sum(float((w * g).abs().sum()) for w, g in weight_gradients(net, batches[0]))


class Plain(NetworkProxy):
    """The sum of weight times gradient, with its sign."""

    name = "plain"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        return sum(float((w * g).sum()) for w, g in weight_gradients(net, batches[0]))


class Grasp(NetworkProxy):
    """Minus the sum of weight times (Hessian times gradient): what pruning does to the flow of gradients.

    Wang, Zhang and Grosse, GraSP, ICLR 2020; the sign is that of Abdelfattah et al.
    """

    name = "grasp"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        weights = [layer.weight for _, layer in weighted_layers(net)]

        def gradients(*, graph: bool) -> list[Tensor]:
            loss = F.cross_entropy(net(batches[0].images), batches[0].labels)
            found = torch.autograd.grad(loss, weights, create_graph=graph, allow_unused=True)
            return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]

        fixed = [gradient.detach() for gradient in gradients(graph=False)]
        product = sum((g * f).sum() for g, f in zip(gradients(graph=True), fixed, strict=True))
        hessian_times_gradient = torch.autograd.grad(product, weights, allow_unused=True)  # type: ignore[arg-type]
        pairs = zip(weights, hessian_times_gradient, strict=True)
        return -sum(float((w * h).detach().sum()) for w, h in pairs if h is not None)


class Fisher(NetworkProxy):
    """The Fisher information of each output channel, counted once for each of its weights.

    Turner et al., BlockSwap, ICLR 2020. With ``a`` an output of a layer and ``d`` its gradient, a channel has half
    the mean over the images of the square of the sum of ``a * d`` over all places.
    """

    name = "fisher"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        outputs: list[tuple[Tensor, int]] = []

        def keep(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            outputs.append((output, layer.weight[0].numel()))  # type: ignore[index]

        for _, layer in weighted_layers(net):
            layer.register_forward_hook(keep)
        loss = F.cross_entropy(net(batches[0].images), batches[0].labels)
        gradients = torch.autograd.grad(loss, [output for output, _ in outputs], allow_unused=True)
        total = 0.0
        for (output, weights_a_channel), gradient in zip(outputs, gradients, strict=True):
            if gradient is not None:
                by_channel = (
                    (output.detach() * gradient).flatten(2).sum(2)
                    if output.dim() == 4
                    else (output.detach() * gradient)
                )
                total += weights_a_channel * float(0.5 * by_channel.square().mean(0).sum())
        return total


class GradSign(NetworkProxy):
    """How much the gradients of single images agree in sign: the sum over weights of |sum over images of sign|.

    Zhang and Jia, GradSign, ICLR 2022. Each image is a batch of its own, batch normalisation included.
    """

    name = "gradsign"

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        signs = [torch.zeros_like(parameter) for parameter in parameters]
        batch = batches[0]
        for place in range(len(batch)):
            one = batch[place : place + 1]
            found = torch.autograd.grad(F.cross_entropy(net(one.images), one.labels), parameters, allow_unused=True)
            for sign, gradient in zip(signs, found, strict=True):
                if gradient is not None:
                    sign += gradient.sign()
        return sum(float(sign.abs().sum()) for sign in signs)


class ZiCo(NetworkProxy):
    """The sum over the layers of ln(sum over weights of mean |gradient| / deviation of gradient), two batches.

    Li et al., ZiCo, ICLR 2023. The deviation is that of the signed gradient, as in the authors' code; equation 15
    of the paper has that of its absolute value.
    """

    name = "zico"
    batch_count = 2

    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """See ``NetworkProxy.measure``."""
        each = [[gradient.double() for _, gradient in weight_gradients(net, batch)] for batch in batches]
        total = 0.0
        for layer in zip(*each, strict=True):
            gradients = torch.stack(layer)
            deviation = gradients.std(0, correction=0)
            varies = deviation > 0
            ratio = float((gradients.abs().mean(0)[varies] / deviation[varies]).sum())
            if ratio > 0:
                total += float(torch.tensor(ratio, dtype=torch.float64).log())
        return total
