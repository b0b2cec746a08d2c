"""From architecture graphs to vectors by message passing, beside the recurrent encoder of the paper."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metad2a.spaces.base import ArchBatch

_ROUNDS = 4  # from input to output of a NAS-Bench-201 cell


class GraphIsomorphismEncoder(nn.Module):
    """A graph isomorphism network that reads along the edges and against them (Xu et al., ICLR 2019).

    A vertex begins as its type and its place in the order; each round adds what its predecessors and what its
    successors are, and the vector of a graph is read from the sum of its vertices over all rounds.

    Args:
        num_types: ``T``.
        num_nodes: most vertices of a graph.
        hidden: ``H``.
    """

    def __init__(self, num_types: int, num_nodes: int, hidden: int) -> None:
        super().__init__()
        self.types = nn.Embedding(num_types, hidden)
        self.places = nn.Embedding(num_nodes, hidden)
        self.ahead = _rounds(hidden)
        self.back = _rounds(hidden)
        self.unify = nn.Linear((_ROUNDS + 1) * hidden, hidden)

    def forward(self, archs: ArchBatch) -> Float[Tensor, "B H"]:
        """Return one vector a graph. Padding has no edges and is not summed, so it has no influence."""
        state = self.types(archs.types) + self.places.weight[: archs.types.shape[1]]
        heard = archs.edges.transpose(1, 2).to(state.dtype)  # [b, v, u]: v hears u
        states = [state]
        for ahead, back in zip(self.ahead, self.back, strict=True):
            state = state + ahead(state, heard) + back(state, heard.transpose(1, 2))
            states.append(state)
        summed = torch.cat(states, dim=-1).masked_fill(~archs.mask[..., None], 0.0).sum(1)
        return cast("Tensor", self.unify(summed / self.places.num_embeddings))


def _rounds(hidden: int) -> nn.ModuleList:
    from torch_geometric.nn import DenseGINConv

    def perceptron() -> nn.Sequential:
        return nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden))

    return nn.ModuleList(DenseGINConv(perceptron(), train_eps=True) for _ in range(_ROUNDS))
