"""From architecture graphs to vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from metad2a.models.shared_linear import SharedLinear
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
        self.cell = nn.GRUCell(num_types, hidden)
        self.gate = nn.Linear(hidden + num_nodes, hidden)
        self.map = nn.Linear(hidden + num_nodes, hidden, bias=False)

    def prepare(self) -> "Recurrence":
        """Return the weights as a walk over a batch of graphs needs them; do it once a walk."""
        hidden = self.cell.hidden_size
        gate, to_gate = self.gate.weight.split([hidden, self.gate.in_features - hidden], dim=1)
        mapped, to_map = self.map.weight.split([hidden, self.map.in_features - hidden], dim=1)
        return Recurrence(
            # One-hot vectors times a matrix are rows of it.
            by_type=self.cell.weight_ih.T + self.cell.bias_ih,
            by_state=SharedLinear(self.cell.weight_hh),
            bias=self.cell.bias_hh,
            speak=SharedLinear(torch.cat([mapped, gate])),
            by_sender=torch.cat([to_map, to_gate + self.gate.bias[:, None]]).T,
        )


@dataclass(frozen=True)
class Recurrence:
    """The two steps of a walk: from what a vertex hears to its state, and from its state to what it says.

    Attributes:
        by_type: what a vertex type adds to the three gates of the GRU cell.
        by_state: from what is heard to the same gates.
        bias: of the same gates.
        speak: from a state to the message and, behind it, its gate.
        by_sender: what the sender's number adds to them.
    """

    by_type: Float[Tensor, "T three_H"]
    by_state: SharedLinear
    bias: Float[Tensor, " three_H"]
    speak: SharedLinear
    by_sender: Float[Tensor, "N two_H"]

    def states(
        self, types: Int[Tensor, "*vertices"], incoming: Float[Tensor, "*vertices H"] | None
    ) -> Float[Tensor, "*vertices H"]:
        """Return the states of vertices of ``types`` that hear ``incoming``, the sum of their messages, if any."""
        width = len(self.bias) // 3
        given = F.embedding(types, self.by_type)
        heard = self.bias if incoming is None else self.by_state(incoming) + self.bias
        reset, keep = torch.sigmoid(given[..., : 2 * width] + heard[..., : 2 * width]).chunk(2, dim=-1)
        new = torch.tanh(given[..., 2 * width :] + reset * heard[..., 2 * width :])
        return (1 - keep) * new if incoming is None else new + keep * (incoming - new)

    def message(self, state: Float[Tensor, "*vertices H"], vertex: int) -> Float[Tensor, "*vertices H"]:
        """Return what ``vertex`` tells its successors."""
        return F.glu(self.speak(state) + self.by_sender[vertex], dim=-1)


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
        flipped = ArchBatch(archs.types.flip(1), archs.edges.transpose(1, 2).flip(1, 2), archs.mask.flip(1))
        ahead = _walk(self.ahead.prepare(), archs, vertices)
        back = _walk(self.back.prepare(), flipped, vertices[::-1])
        return torch.stack(ahead, dim=1), torch.stack(back[::-1], dim=1)

    def forward(self, archs: ArchBatch) -> Float[Tensor, "B H"]:
        """Return one vector a graph. Padding has no edges, so it has no influence."""
        ahead, back = self.states(archs)
        last = archs.mask.sum(1) - 1
        rows = torch.arange(len(archs), device=last.device)
        return self.unify(torch.cat([ahead[rows, last], back[:, 0]], dim=-1))


def _walk(step: Recurrence, archs: ArchBatch, names: Sequence[int]) -> list[Float[Tensor, "B H"]]:
    """Return the states of vertices visited in order; ``names`` are their numbers in the messages.

    A state depends on what lies before its vertex alone: graphs with the same beginning share the work.
    """
    some, every = archs.edges.any(0).tolist(), archs.edges.all(0).tolist()
    order = torch.arange(len(archs), device=archs.types.device)
    beginning = torch.zeros_like(order)
    states: list[Tensor] = []
    messages: dict[int, Tensor] = {}
    for v in range(len(names)):
        senders = [u for u in range(v) if some[u][v]]
        beginning = _distinct(beginning, archs.types[:, v])
        for u in senders:
            if not every[u][v]:
                beginning = _distinct(beginning, archs.edges[:, u, v].long())
        example = torch.empty_like(order[: int(beginning.max()) + 1]).scatter_(0, beginning, order)
        incoming = None
        for u in senders:
            heard = messages[u].index_select(0, example)
            heard = heard if every[u][v] else heard * archs.edges[example, u, v, None]
            incoming = heard if incoming is None else incoming + heard
        state = step.states(archs.types[example, v], incoming)
        states.append(state.index_select(0, beginning))
        if any(some[v]):
            messages[v] = step.message(state, names[v]).index_select(0, beginning)
    return states


def _distinct(beginning: Int[Tensor, " B"], detail: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Return numbers from 0 that are equal for graphs with equal ``beginning`` and equal ``detail``."""
    numbers: Tensor = torch.unique(beginning * (detail.max() + 1) + detail, return_inverse=True)[1]
    return numbers
