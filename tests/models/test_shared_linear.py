import torch
from torch import Tensor
from torch.nn import functional as F

from metad2a.models.shared_linear import SharedLinear


def walk(weight: Tensor, x: Tensor, *, shared: bool) -> Tensor:
    """Four dependent uses, of different numbers of rows, one of them without influence."""
    linear = SharedLinear(weight) if shared else lambda x: F.linear(x, weight)
    a = torch.tanh(linear(x))
    b = torch.tanh(linear(a[:2]) + a[1:])
    linear(b)
    return linear(torch.stack([a[0], b[1]])[None]).sum() + a.sum()


def gradients(*, shared: bool) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    x = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    out = walk(weight, x, shared=shared)
    first = torch.autograd.grad(out, (weight, x), retain_graph=True)
    again = torch.autograd.grad(out, (weight, x))  # nothing is left over from the first time
    return (out.detach(), *first, *again)


def test_values_and_gradients_are_those_of_plain_linear_maps() -> None:
    for ours, plain in zip(gradients(shared=True), gradients(shared=False), strict=True):
        torch.testing.assert_close(ours, plain)


def test_mixed_precision_and_frozen_weights_are_left_alone() -> None:
    weight, x = torch.ones(2, 2), torch.ones(1, 2, requires_grad=True)
    SharedLinear(weight)(x).sum().backward()
    assert x.grad is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert SharedLinear(weight.requires_grad_())(x).dtype is torch.bfloat16
