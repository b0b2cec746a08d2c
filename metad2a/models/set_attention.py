"""Attention over sets: what the order of the elements is, makes no difference."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


class SetAttention(nn.Module):
    """Attend from queries to the elements of a set, then apply a row-wise residual layer.

    The multihead attention block of the Set Transformer (Lee et al., ICML 2019), without layer norm. Two
    details follow MetaD2A's published weights: the residual adds the *projected* query, and scores are scaled
    by ``dim ** -0.5``, not by the width of one head.

    Args:
        query_dim: width of a query.
        element_dim: width of an element.
        dim: width of the result, a multiple of ``num_heads``.
        num_heads: attention heads.
    """

    def __init__(self, query_dim: int, element_dim: int, dim: int, *, num_heads: int = 4) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"dim={dim} is no multiple of num_heads={num_heads}.")
        self.num_heads = num_heads
        self.scale = dim**-0.5
        self.query = nn.Linear(query_dim, dim)
        self.key = nn.Linear(element_dim, dim)
        self.value = nn.Linear(element_dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        queries: Float[Tensor, "S Q query_dim"],
        elements: Float[Tensor, "S L element_dim"],
        mask: Bool[Tensor, "S L"] | None = None,
    ) -> Float[Tensor, "S Q dim"]:
        """Return one vector a query; ``mask`` is True where an element exists, at least once in every set."""
        query = self.query(queries)
        attended = F.scaled_dot_product_attention(
            self._split(query),
            self._split(self.key(elements)),
            self._split(self.value(elements)),
            attn_mask=None if mask is None else mask[:, None, None, :],
            scale=self.scale,
        )
        hidden = query + attended.transpose(1, 2).flatten(-2)
        return hidden + F.relu(self.out(hidden))

    def _split(self, x: Float[Tensor, "S L dim"]) -> Float[Tensor, "S heads L width"]:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class AttentionPool(nn.Module):
    """Summarise a set in one vector: attention from a learned seed (Set Transformer's PMA with one seed)."""

    def __init__(self, dim: int, *, num_heads: int = 4) -> None:
        super().__init__()
        self.seed = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.xavier_uniform_(self.seed)
        self.attention = SetAttention(dim, dim, dim, num_heads=num_heads)

    def forward(
        self, elements: Float[Tensor, "S L dim"], mask: Bool[Tensor, "S L"] | None = None
    ) -> Float[Tensor, "S dim"]:
        """Return the summary of each set."""
        return self.attention(self.seed.expand(len(elements), -1, -1), elements, mask).squeeze(1)


class SetPool(nn.Module):
    """Two layers of self-attention in a set, then its summary, then a linear layer.

    Args:
        element_dim: width of an element.
        dim: width of the summary.
        num_heads: attention heads.
    """

    def __init__(self, element_dim: int, dim: int, *, num_heads: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            SetAttention(width, width, dim, num_heads=num_heads) for width in (element_dim, dim)
        )
        self.pool = AttentionPool(dim, num_heads=num_heads)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, elements: Float[Tensor, "S L element_dim"], mask: Bool[Tensor, "S L"] | None = None
    ) -> Float[Tensor, "S dim"]:
        """Return one vector a set; of a set without elements a finite one that means nothing."""
        if mask is not None:
            # A softmax over nothing is NaN, in the gradient too: an empty set attends to its padding instead.
            mask = mask | ~mask.any(-1, keepdim=True)
        for layer in self.layers:
            elements = layer(elements, elements, mask)
        return self.out(self.pool(elements, mask))
