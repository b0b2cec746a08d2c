"""From architecture graphs to vectors."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from metad2a.spaces.base import ArchBatch


class GatedCell(nn.Module):
    """The recurrent unit of D-VAE (Zhang et al., NeurIPS 2019): a GRU cell that walks a graph.

    The state of a vertex is computed from its type and from the sum of the gated messages of its predecessors.
    A message depends only on its sender, so each is computed once.

    Args:
        num_types: ``T``.
        num_nodes: most vertices of a graph; a message tells which vertex sends it.
        hidden: ``H``.
    """

    def __init__(self, num_types: int, num_nodes: int, hidden: int) -> None:
        super().__init__()
        self.num_types, self.num_nodes = num_types, num_nodes
        self.cell = nn.GRUCell(num_types, hidden)
        self.gate = nn.Linear(hidden + num_nodes, hidden)
        self.map = nn.Linear(hidden + num_nodes, hidden, bias=False)

    def message(self, state: Float[Tensor, "B H"], vertex: int) -> Float[Tensor, "B H"]:
        """Return what ``vertex`` tells its successors."""
        sender = state.new_zeros(len(state), self.num_nodes)
        sender[:, vertex] = 1
        tagged = torch.cat([state, sender], dim=-1)
        return torch.sigmoid(self.gate(tagged)) * self.map(tagged)

    def forward(
        self, types: Int[Tensor, "*vertices"], incoming: Float[Tensor, "*vertices H"]
    ) -> Float[Tensor, "*vertices H"]:
        """Return the states of vertices of ``types`` that hear ``incoming``, the sum of their messages."""
        onehot = F.one_hot(types, self.num_types).to(incoming)
        return self.cell(onehot.flatten(0, -2), incoming.flatten(0, -2)).view_as(incoming)


class GraphEncoder(nn.Module):
    """Read each graph along its edges and against them, and join the two last states (D-VAE).

    Args:
        num_types: ``T``.
        num_nodes: most vertices of a graph.
        hidden: ``H``.
    """

    def __init__(self, num_types: int, num_nodes: int, hidden: int) -> None:
        super().__init__()
        self.ahead = GatedCell(num_types, num_nodes, hidden)
        self.back = GatedCell(num_types, num_nodes, hidden)
        self.unify = nn.Linear(2 * hidden, hidden)

    def states(self, archs: ArchBatch) -> tuple[Float[Tensor, "B N H"], Float[Tensor, "B N H"]]:
        """Return the state of every vertex when reading along the edges, and when reading against them."""
        vertices = range(archs.types.shape[1])
        ahead = _walk(self.ahead, archs, vertices)
        flipped = ArchBatch(archs.types.flip(1), archs.edges.transpose(1, 2).flip(1, 2), archs.mask.flip(1))
        return ahead, _walk(self.back, flipped, vertices[::-1]).flip(1)

    def forward(self, archs: ArchBatch) -> Float[Tensor, "B H"]:
        """Return one vector a graph. Padding has no edges, so it has no influence."""
        ahead, back = self.states(archs)
        last = archs.mask.sum(1) - 1
        rows = torch.arange(len(archs), device=last.device)
        return self.unify(torch.cat([ahead[rows, last], back[:, 0]], dim=-1))


def _walk(cell: GatedCell, archs: ArchBatch, names: Sequence[int]) -> Float[Tensor, "B N H"]:
    """Return the states of vertices visited in order; ``names`` are their numbers in the messages."""
    weight = cell.gate.weight
    edges = archs.edges.to(weight.dtype)
    states: list[Tensor] = []
    messages: list[Tensor] = []
    incoming = weight.new_zeros(len(archs), weight.shape[0])
    for v in range(len(names)):
        if v:
            messages.append(cell.message(states[-1], names[v - 1]))
            incoming = torch.einsum("bu,buh->bh", edges[:, :v, v], torch.stack(messages, dim=1))
        states.append(cell(archs.types[:, v], incoming))
    return torch.stack(states, dim=1)
