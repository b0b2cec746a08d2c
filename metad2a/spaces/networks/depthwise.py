"""Depthwise convolutions that cost less to train on a CPU when images are small."""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Images = Float[Tensor, "B channels height width"]


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel for itself; a stride of 1 keeps the size.

    Args:
        channels: of the input and of the output.
        kernel: pixels a side, an odd number.
        stride: of the convolution.

    Attributes:
        lean: whether to leave out needless work, see ``metad2a.spaces.networks.lean``.
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            channels, channels, kernel, stride=stride, padding=kernel // 2, groups=channels, bias=False
        )
        self.lean = False

    def forward(self, x: Images) -> Float[Tensor, "B channels new_h new_w"]:
        """Return the convolved channels."""
        if self.lean and x.device.type == "cpu" and self._few_pairs(x.shape[2:].numel()):
            result: Tensor = _ByPairs.apply(x, self.weight, self.stride[0])
            return result
        return super().forward(x)

    def _few_pairs(self, pixels: int) -> bool:
        # As measured: where PyTorch's own gradient of the weights takes longer.
        return pixels <= 64 and (self.kernel_size[0] > 3 or pixels <= 4)


class _ByPairs(torch.autograd.Function):
    """The gradient of a weight is a sum over pairs of pixels: of the input and of the output that it connects.

    The products of all pairs of pixels are one matrix product for each channel.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Images, weight: Float[Tensor, "channels 1 k k"], stride: int
    ) -> Float[Tensor, "B channels new_h new_w"]:
        ctx.save_for_backward(x, weight)
        ctx.options = ([stride] * 2, [weight.shape[2] // 2] * 2, [1, 1], False, [0, 0], len(weight))
        return torch.convolution(x, weight, None, *ctx.options)

    @staticmethod
    def backward(
        ctx: Any, gradient: Float[Tensor, "B channels new_h new_w"]
    ) -> tuple[Images, Float[Tensor, "channels 1 k k"], None]:
        x, weight = ctx.saved_tensors
        only_input = [True, False, False]
        of_x = torch.ops.aten.convolution_backward(gradient, x, weight, None, *ctx.options, only_input)[0]
        products = _by_channel(x).mT @ _by_channel(gradient)
        pairs = _pairs(x.shape[2:], gradient.shape[2:], weight.shape[2], ctx.options[0][0])
        of_weight = products.flatten(1) @ pairs.to(products.dtype)
        return of_x, of_weight.view_as(weight), None


def _by_channel(x: Images) -> Float[Tensor, "channels B pixels"]:
    return x.contiguous().flatten(2).transpose(0, 1).contiguous()  # two copies: both are quick, one would not be


@cache
def _pairs(inputs: torch.Size, outputs: torch.Size, side: int, stride: int) -> Float[Tensor, "pairs weights"]:
    """Return for every pair of pixels, the input's first, which weight connects them: a one, or none."""
    down, right = (
        (torch.arange(before)[:, None] - stride * torch.arange(after) + side // 2)
        for before, after in zip(inputs, outputs, strict=True)
    )
    down, right = down[:, None, :, None], right[None, :, None, :]
    inside = (down >= 0) & (down < side) & (right >= 0) & (right < side)
    weights = F.one_hot((down * side + right).clamp(0, side**2 - 1), side**2) * inside[..., None]
    return weights.flatten(0, 3).float()
