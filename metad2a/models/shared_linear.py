"""A linear map that is used many times in one pass."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_Uses = list[tuple[Tensor, Tensor]]  # inputs, and the gradients of what came out


class SharedLinear:
    """``x @ weight.T`` for every step of a walk, where the gradient of ``weight`` is one product for all steps.

    Left to itself, autograd makes a gradient of the weight's full size at each step and adds them up: with small
    batches and wide layers that is most of a training step.

    Args:
        weight: the same in all steps.
    """

    def __init__(self, weight: Float[Tensor, "out in_"]) -> None:
        self._uses: _Uses = []
        # Mixed precision decides for each product what type it has: leave those alone.
        self._plain = torch.is_autocast_enabled(weight.device.type) or not weight.requires_grad
        self._weight: Tensor = weight if self._plain else _Weight.apply(weight, self._uses)

    def __call__(self, x: Float[Tensor, "*rows in_"]) -> Float[Tensor, "*rows out"]:
        """Return the product for each row."""
        if self._plain:
            return F.linear(x, self._weight)
        product: Tensor = _Product.apply(x, self._weight, self._uses)
        return product


class _Weight(torch.autograd.Function):
    """Hands the weight out, and is the last to be asked on the way back: every product comes before it."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, uses: _Uses) -> Tensor:
        ctx.uses = uses
        ctx.set_materialize_grads(False)
        return weight.view_as(weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _: Tensor | None) -> tuple[Tensor, None]:
        inputs, gradients = zip(*ctx.uses, strict=True)
        ctx.uses.clear()
        return torch.cat(gradients).T @ torch.cat(inputs), None


class _Product(torch.autograd.Function):
    """One use: notes what the weight's gradient needs instead of computing it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, uses: _Uses) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.uses = uses
        return F.linear(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, weight = ctx.saved_tensors
        ctx.uses.append((x.flatten(0, -2), grad.flatten(0, -2)))
        return grad @ weight, None, None
