"""From latents to architecture graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from metad2a.errors import ArchitectureError
from metad2a.models.graph_encoder import GatedCell, Recurrence
from metad2a.spaces.base import ArchBatch

END = 1


@runtime_checkable
class DecodingRules(Protocol):
    """What a decoder may make; every ``SearchSpace`` is one."""

    @property
    def topology(self) -> Bool[Tensor, "N N"] | None:
        """The edges that every graph has, or None where they are to be decided."""

    def allowed_types(self, prefix: Int[Tensor, "B V"]) -> Bool[Tensor, "B T"]:
        """Return which types the next vertex may have, given those of the ``V`` vertices before it."""


@dataclass(frozen=True)
class FreeDecoding:
    """The official rules: any type at any place, END at the last one; edges are decided."""

    num_types: int
    num_nodes: int
    topology: None = None

    def allowed_types(self, prefix: Int[Tensor, "B V"]) -> Bool[Tensor, "B T"]:
        """See ``DecodingRules.allowed_types``."""
        is_last = prefix.shape[1] == self.num_nodes - 1
        allowed = torch.full((len(prefix), self.num_types), not is_last)
        allowed[:, END] = True
        return allowed


@dataclass(frozen=True)
class Draws:
    """Uniform numbers in [0, 1), on the CPU, that decide a decoding.

    Attributes:
        types: number ``[b, v]`` picks the type of vertex ``v`` (the inverse of the cumulated probabilities).
        edges: there is an edge ``u -> v`` if number ``[b, u, v]`` is below its probability. None where edges
            are given.
    """

    types: Float[Tensor, "B N"]
    edges: Float[Tensor, "B N N"] | None

    @staticmethod
    def random(n: int, num_nodes: int, *, edges: bool, generator: torch.Generator) -> "Draws":
        """Draw for ``n`` graphs, on the CPU, so that a seed gives the same graphs on every device."""

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, dtype=torch.float64)

        return Draws(uniform(n, num_nodes), uniform(n, num_nodes, num_nodes) if edges else None)


class Forced(NamedTuple):
    """What the decoder says when it is led along given graphs.

    Attributes:
        type_logits: ``[:, v - 1]`` for vertex ``v``.
        edge_logits: for the pairs ``u -> v`` in the order 0>1, 0>2, 1>2, 0>3 ...; None where edges are given.
        states: of each vertex, once all its edges are known; 0 where there is no vertex.
    """

    type_logits: Float[Tensor, "B N-1 T"]
    edge_logits: Float[Tensor, "B P"] | None
    states: Float[Tensor, "B N H"]


class GraphDecoder(nn.Module):
    """Grow a graph vertex by vertex, and each vertex edge by edge (D-VAE; MetaD2A section 3.2).

    Args:
        num_types: ``T``; 0 is START, 1 is END.
        num_nodes: most vertices of a graph.
        hidden: ``H``.
        latent: ``Z``.
        topology: the edges of every graph, as ``(u, v)``. None: they are decided, by a network of their own.
    """

    topology: Tensor | None

    def __init__(
        self,
        num_types: int,
        num_nodes: int,
        hidden: int,
        latent: int,
        *,
        topology: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.num_types, self.num_nodes = num_types, num_nodes
        self.start = nn.Linear(latent, hidden)
        self.cell = GatedCell(num_types, num_nodes, hidden)
        self.type_net = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.ReLU(), nn.Linear(2 * hidden, num_types))
        self.edge_net = nn.Sequential()
        self.topology = None
        if topology is None:
            self.edge_net.extend([nn.Linear(2 * hidden, 4 * hidden), nn.ReLU(), nn.Linear(4 * hidden, 1)])
        else:
            # No buffer: it stays on the CPU, where decisions are taken.
            self.topology = torch.zeros(num_nodes, num_nodes, dtype=torch.bool, device="cpu")
            u, v = torch.tensor(topology, dtype=torch.long, device="cpu").reshape(-1, 2).T
            self.topology[u, v] = True

    def initial_state(self, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B H"]:
        """Return the state that the first vertex starts from."""
        return torch.tanh(self.start(z))

    # --- likelihood -------------------------------------------------------------------------------------------

    def teacher_force(self, z: Float[Tensor, "B Z"], archs: ArchBatch) -> Forced:
        """Return the decoder's opinion on each step of growing ``archs`` from ``z``.

        An edge ``u -> v`` is judged when the edges from the vertices between ``u`` and ``v`` are already there.
        """
        step = self.cell.prepare()
        size, full = archs.types.shape[1], bool(archs.mask.all())
        states = [step.states(archs.types[:, 0], self.initial_state(z))]
        latest, growing, messages = states[:], [], []
        edges = archs.edges.to(z.dtype)
        for v in range(1, size):
            messages.append(step.message(states[-1], v - 1))
            heard = edges[:, :v, v, None] * torch.stack(messages, dim=1)
            if self.topology is not None:
                state = step.states(archs.types[:, v], heard.sum(1))
            else:
                # Row u has heard u and all later vertices; row v, after them, has heard nothing.
                partial = F.pad(heard.flip(1).cumsum(1).flip(1), (0, 0, 0, 1))
                grown = step.states(archs.types[:, v, None].expand(-1, v + 1), partial)
                growing.append(grown[:, 1:])
                state = grown[:, 0]
            exists = archs.mask[:, v, None]
            states.append(state if full else state * exists)
            latest.append(state if full else torch.where(exists, state, latest[-1]))
        every_state = torch.stack(states, dim=1)
        edge_logits = None
        if growing:
            v, u = torch.tril_indices(size, size, offset=-1, device=z.device)
            grown = torch.cat(growing, dim=1)
            grown = grown if full else grown * archs.mask[:, v, None]
            edge_logits = self._edge_logits(self._from_source(every_state)[:, u], grown)
        return Forced(self.type_net(torch.stack(latest[:-1], dim=1)), edge_logits, every_state)

    def _from_source(self, states: Float[Tensor, "*vertices H"]) -> Float[Tensor, "*vertices four_H"]:
        """Return what vertices add, as sources of edges, to the hidden layer of the edge network."""
        first = cast("nn.Linear", self.edge_net[0])
        return F.linear(states, first.weight[:, : states.shape[-1]], first.bias)

    def _edge_logits(
        self, from_source: Float[Tensor, "*pairs four_H"], target: Float[Tensor, "*pairs H"]
    ) -> Float[Tensor, "*pairs"]:
        """Return the logits of edges, given ``_from_source`` of their sources and the states of their targets."""
        first = cast("nn.Linear", self.edge_net[0])
        hidden = from_source + F.linear(target, first.weight[:, target.shape[-1] :])
        return self.edge_net[2](F.relu(hidden)).squeeze(-1)

    def log_likelihood(
        self, z: Float[Tensor, "B Z"], archs: ArchBatch
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """Return the log-likelihood of the types and that of the edges of each graph.

        As in the official code the padding of short graphs counts: its vertices have to be predicted as START,
        without edges. Where edges are given, their term is 0.
        """
        forced = self.teacher_force(z, archs)
        types = -F.cross_entropy(forced.type_logits.mT, archs.types[:, 1:], reduction="none").sum(1)
        if forced.edge_logits is None:
            return types, torch.zeros_like(types)
        size = archs.types.shape[1]
        v, u = torch.tril_indices(size, size, offset=-1, device=archs.edges.device)
        truth = archs.edges[:, u, v].to(z.dtype)
        edges = -F.binary_cross_entropy_with_logits(forced.edge_logits, truth, reduction="none").sum(1)
        return types, edges

    # --- sampling ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        z: Float[Tensor, "B Z"],
        *,
        rules: DecodingRules | None = None,
        generator: torch.Generator | None = None,
        draws: Draws | None = None,
        stochastic: bool = True,
        temperature: float = 1.0,
        penalty: Float[Tensor, "N T"] | None = None,
    ) -> ArchBatch:
        """Grow one graph from each latent.

        Args:
            z: latents.
            rules: types they forbid have probability 0 and edges they give are taken as they are, so that every
                graph obeys them. None: the official free decoding, whose graphs may be no architecture.
            generator: source of randomness, on the CPU.
            draws: the random numbers themselves, instead of a generator.
            stochastic: False takes the most probable type and the edges of probability above 0.5.
            temperature: divides the logits; above 1 the graphs vary more.
            penalty: is subtracted from the logits of each type at each vertex.

        Raises:
            ArchitectureError: the rules leave no type for a vertex, or give other edges than the decoder's own.
        """
        rules = rules or FreeDecoding(self.num_types, self.num_nodes)
        topology = self._given_edges(rules)
        if not stochastic:
            draws = None
        elif draws is None:
            if generator is None:
                raise ValueError("a stochastic decoding needs a generator or draws.")
            draws = Draws.random(len(z), self.num_nodes, edges=topology is None, generator=generator)
        grown = _Growth.start(len(z), self.num_nodes, draws, temperature)
        step = self.cell.prepare()
        state = step.states(grown.types_of(0, z.device), self.initial_state(z))
        for v in range(1, self.num_nodes):
            logits = self.type_net(state)
            if penalty is not None:
                logits = logits.double() - penalty[v].to(logits.device, torch.double)
            grown.add_vertex(v, logits, rules.allowed_types(grown.graphs.types[:, :v]))
            grown.messages.append(step.message(state, v - 1))
            if topology is None:
                grown.sources.append(self._from_source(state))
                state = self._decide_edges(step, grown, v)
            else:
                state = self._take_edges(step, grown, v, topology)
        return grown.graphs.to(z.device)

    def _given_edges(self, rules: DecodingRules) -> Bool[Tensor, "N N"] | None:
        given = None if rules.topology is None else rules.topology.cpu()
        if self.topology is None or given is None:
            return self.topology if given is None else given
        if not torch.equal(self.topology, given):
            raise ArchitectureError(
                "the rules give other edges than those the generator was trained with. "
                "Use the search space of its training."
            )
        return given

    def _take_edges(
        self, step: Recurrence, grown: "_Growth", v: int, topology: Bool[Tensor, "N N"]
    ) -> Float[Tensor, "B H"]:
        """Add the given edges into vertex ``v`` and return its state."""
        into = topology[:v, v]
        grown.graphs.edges[:, :v, v] = into & grown.graphs.mask[:, v, None]
        incoming = torch.zeros_like(grown.messages[0])
        for u in into.nonzero().flatten().tolist():
            incoming += grown.messages[u]
        return step.states(grown.types_of(v, incoming.device), incoming)

    def _decide_edges(self, step: Recurrence, grown: "_Growth", v: int) -> Float[Tensor, "B H"]:
        """Decide the edges into vertex ``v``, the nearest first, and return its state."""
        incoming = torch.zeros_like(grown.messages[0])
        types = grown.types_of(v, incoming.device)
        state = step.states(types, incoming)
        for u in range(v - 1, -1, -1):
            taken = grown.add_edges(u, v, self._edge_logits(grown.sources[u], state))
            incoming = incoming + taken[:, None].to(incoming) * grown.messages[u]
            state = step.states(types, incoming)
        grown.close(v)
        return state


@dataclass(frozen=True)
class _Growth:
    """Graphs while they are sampled. Decisions are taken on the CPU in float64, states stay on their device.

    So the same draws give the same graphs on every device, and a space's rules need no device.
    """

    graphs: ArchBatch
    draws: Draws | None
    temperature: float
    messages: list[Tensor]
    sources: list[Tensor]

    @staticmethod
    def start(n: int, num_nodes: int, draws: Draws | None, temperature: float) -> "_Growth":
        """Return ``n`` graphs of one vertex."""
        graphs = ArchBatch(
            torch.zeros(n, num_nodes, dtype=torch.long),
            torch.zeros(n, num_nodes, num_nodes, dtype=torch.bool),
            torch.zeros(n, num_nodes, dtype=torch.bool),
        )
        graphs.mask[:, 0] = True
        return _Growth(graphs, draws, temperature, [], [])

    def types_of(self, v: int, device: torch.device) -> Int[Tensor, " B"]:
        """Return the types of vertex ``v``."""
        return self.graphs.types[:, v].to(device)

    def add_vertex(self, v: int, logits: Float[Tensor, "B T"], allowed: Bool[Tensor, "B T"]) -> None:
        """Choose the types of vertex ``v``; a graph that has its END gets no vertex."""
        prefix = self.graphs.types[:, :v]
        finished = (prefix == END).any(1)
        allowed = allowed.cpu() | finished[:, None]
        stuck = ~allowed.any(1)
        if bool(stuck.any()):
            raise ArchitectureError(
                f"the rules allow no type for vertex {v} after {prefix[stuck][0].tolist()}. "
                "Mend their allowed_types."
            )
        scores = (logits.cpu().double() / self.temperature).masked_fill(~allowed, -torch.inf)
        if self.draws is None:
            types = scores.argmax(-1)
        else:
            total = scores.softmax(-1).cumsum(-1)
            number = self.draws.types[:, v, None].double().contiguous()
            types = torch.searchsorted(total / total[:, -1:], number, right=True).squeeze(1)
        self.graphs.types[:, v] = types.masked_fill(finished, 0)
        self.graphs.mask[:, v] = ~finished

    def add_edges(self, u: int, v: int, logits: Float[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Decide the edges ``u -> v``, except into END, and return where there is one."""
        odds = torch.sigmoid(logits.cpu().double() / self.temperature)
        if self.draws is None:
            wanted = odds > 0.5
        elif self.draws.edges is None:
            raise ValueError("these draws decide no edges, but the rules give none.")
        else:
            wanted = self.draws.edges[:, u, v] < odds
        taken = wanted & self.graphs.mask[:, v] & (self.graphs.types[:, v] != END)
        self.graphs.edges[:, u, v] = taken
        return taken

    def close(self, v: int) -> None:
        """Connect all loose ends to vertex ``v`` where that is END."""
        loose = ~self.graphs.edges[:, :v].any(-1)
        self.graphs.edges[:, :v, v] |= loose & (self.graphs.types[:, v, None] == END)
