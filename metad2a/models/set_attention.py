"""Attention over sets: what the order of the elements is, makes no difference."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

_LONGEST_SMALL_SET = 64


class SetAttention(nn.Module):
    """Attend from every element of a set to all of them, then apply a row-wise residual layer.

    The multihead attention block of the Set Transformer (Lee et al., ICML 2019), without layer norm. Two
    details follow MetaD2A's published weights: the residual adds the *projected* query, and scores are scaled
    by ``dim ** -0.5``, not by the width of one head.

    Args:
        element_dim: width of an element.
        dim: width of the result, a multiple of ``num_heads``.
        num_heads: attention heads.
    """

    def __init__(self, element_dim: int, dim: int, *, num_heads: int = 4) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"dim={dim} is no multiple of num_heads={num_heads}.")
        self.num_heads = num_heads
        self.scale = dim**-0.5
        self.query = nn.Linear(element_dim, dim)
        self.key = nn.Linear(element_dim, dim)
        self.value = nn.Linear(element_dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, elements: Float[Tensor, "S L element_dim"], mask: Bool[Tensor, "S L"] | None = None
    ) -> Float[Tensor, "S L dim"]:
        """Return one vector an element; ``mask`` is True where one exists, at least once in every set."""
        projections = (self.query, self.key, self.value)
        # One product instead of three: the first layer's is the dearest of the whole model.
        projected = F.linear(
            elements,
            torch.cat([linear.weight for linear in projections]),
            torch.cat([linear.bias for linear in projections]),
        )
        return self.residual(attend(projected, mask, num_heads=self.num_heads, scale=self.scale))

    def residual(self, hidden: Float[Tensor, "*sets dim"]) -> Float[Tensor, "*sets dim"]:
        """Return what the row-wise layer makes of ``hidden``."""
        return hidden + F.relu(self.out(hidden))


def attend(
    projected: Float[Tensor, "S L three_dim"],
    mask: Bool[Tensor, "S L"] | None = None,
    *,
    num_heads: int,
    scale: float,
) -> Float[Tensor, "S L dim"]:
    """Return for every element its query plus its attention to all elements of its set.

    Args:
        projected: queries, keys and values side by side, each of width ``dim``.
        mask: True where an element exists.
        num_heads: attention heads.
        scale: of the scores.
    """
    small = projected.shape[1] <= _LONGEST_SMALL_SET and projected.device.type == "cpu"
    if small and not torch.is_autocast_enabled("cpu"):
        attended: Tensor = _SmallSetAttention.apply(projected, mask, num_heads, scale)
        return attended
    query, key, value = projected.unflatten(-1, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
    wanted = None if mask is None else mask[:, None, None, :]
    attended = F.scaled_dot_product_attention(query, key, value, wanted, scale=scale)
    return (query + attended).transpose(1, 2).flatten(-2)


class _SmallSetAttention(torch.autograd.Function):
    """``attend``, head by head on views: nothing is copied to be rearranged, and the attention weights are kept.

    The fused kernel computes the weights anew on the way back: on a CPU it takes twice as long for many sets of
    some twenty elements.
    """

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, mask: Tensor | None, num_heads: int, scale: float
    ) -> Float[Tensor, "S L dim"]:
        queries, keys, values = _by_head(projected, 3, num_heads)
        weights, attended = [], []
        for query, key, value in zip(queries, keys, values, strict=True):
            scores = torch.baddbmm(query.new_empty(1), query, key.transpose(1, 2), beta=0, alpha=scale)
            if mask is not None:
                scores.masked_fill_(~mask[:, None], -torch.inf)
            weights.append(scores.softmax(-1))
            attended.append(torch.bmm(weights[-1], value))
        ctx.save_for_backward(projected, *weights)
        ctx.scale = scale
        hidden = torch.cat(attended, dim=-1)
        return hidden.add_(projected[..., : hidden.shape[-1]])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Float[Tensor, "S L three_dim"], None, None, None]:
        projected, *weights = ctx.saved_tensors
        queries, keys, values = _by_head(projected, 3, len(weights))
        ignored = grad.new_empty(1)
        to_query, to_key, to_value = [], [], []
        for head, (weight, out) in enumerate(zip(weights, _by_head(grad, 1, len(weights))[0], strict=True)):
            to_weight = torch.bmm(out, values[head].transpose(1, 2))
            to_score = torch._softmax_backward_data(to_weight, weight, -1, weight.dtype)
            to_query.append(torch.baddbmm(ignored, to_score, keys[head], beta=0, alpha=ctx.scale))
            to_key.append(torch.baddbmm(ignored, to_score.mT, queries[head], beta=0, alpha=ctx.scale))
            to_value.append(torch.bmm(weight.mT, out))
        to_projected = torch.cat(to_query + to_key + to_value, dim=-1)
        to_projected[..., : grad.shape[-1]] += grad
        return to_projected, None, None, None


def _by_head(x: Float[Tensor, "S L width"], parts: int, num_heads: int) -> Float[Tensor, "parts heads S L head"]:
    """Return views of the parts of ``x`` that lie side by side, and of their heads."""
    return x.unflatten(-1, (parts, num_heads, -1)).permute(2, 3, 0, 1, 4)


class AttentionPool(nn.Module):
    """Summarise a set in one vector: attention from a learned seed (Set Transformer's PMA with one seed).

    The one query is the same for every set. So instead of projecting all elements to keys and values, the query
    is taken through the key projection, and the value projection is applied to the sums: much less work, the same
    result.
    """

    def __init__(self, dim: int, *, num_heads: int = 4) -> None:
        super().__init__()
        self.seed = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.xavier_uniform_(self.seed)
        self.attention = SetAttention(dim, dim, num_heads=num_heads)

    def forward(
        self, elements: Float[Tensor, "S L dim"], mask: Bool[Tensor, "S L"] | None = None
    ) -> Float[Tensor, "S dim"]:
        """Return the summary of each set."""
        block = self.attention
        heads = (block.num_heads, -1)
        query = block.query(self.seed).flatten()
        scaled = (query * block.scale).unflatten(0, heads)
        by_key = torch.einsum("hw,hwd->hd", scaled, block.key.weight.unflatten(0, heads))
        scores = F.linear(elements, by_key, (scaled * block.key.bias.unflatten(0, heads)).sum(-1))
        if mask is not None:
            scores = scores.masked_fill(~mask[..., None], -torch.inf)
        sums = torch.bmm(scores.softmax(1).transpose(1, 2), elements)
        attended = torch.einsum("shd,hwd->shw", sums, block.value.weight.unflatten(0, heads)).flatten(1)
        return block.residual(query + attended + block.value.bias)


class SetPool(nn.Module):
    """Two layers of self-attention in a set, then its summary, then a linear layer.

    Args:
        element_dim: width of an element.
        dim: width of the summary.
        num_heads: attention heads.
    """

    def __init__(self, element_dim: int, dim: int, *, num_heads: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(SetAttention(width, dim, num_heads=num_heads) for width in (element_dim, dim))
        self.pool = AttentionPool(dim, num_heads=num_heads)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, elements: Float[Tensor, "S L element_dim"], mask: Bool[Tensor, "S L"] | None = None
    ) -> Float[Tensor, "S dim"]:
        """Return one vector a set; of a set without elements a finite one that means nothing."""
        if mask is not None:
            # A softmax over nothing is NaN, in the gradient too: an empty set attends to its padding instead.
            mask = None if bool(mask.all()) else mask | ~mask.any(-1, keepdim=True)
        for layer in self.layers:
            elements = layer(elements, mask)
        return self.out(self.pool(elements, mask))
