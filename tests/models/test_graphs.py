"""Graph encoder, graph decoder, Generator, Predictor."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from metad2a.data.features import SetBatch
from metad2a.errors import ArchitectureError
from metad2a.models.generator import Generator
from metad2a.models.graph_decoder import END, DecodingRules, Draws, GraphDecoder
from metad2a.models.graph_encoder import GraphEncoder
from metad2a.models.predictor import Predictor
from metad2a.runtime import torch_rng
from metad2a.spaces.base import ArchBatch

NODES, TYPES, LATENT = 6, 5, 8
EDGES = [(0, 1), (0, 2), (1, 3), (2, 3), (2, 4), (3, 5), (4, 5)]


class Cells:
    """Graphs of six vertices with given edges: an input, four operations, an output; no two 2s in a row."""

    def __init__(self, edges: list[tuple[int, int]] | None = None) -> None:
        self._edges = edges

    @property
    def topology(self) -> Bool[Tensor, "N N"] | None:
        if self._edges is None:
            return None
        topology = torch.zeros(NODES, NODES, dtype=torch.bool)
        for u, v in self._edges:
            topology[u, v] = True
        return topology

    def allowed_types(self, prefix: Int[Tensor, "B V"]) -> Bool[Tensor, "B T"]:
        allowed = torch.zeros(len(prefix), TYPES, dtype=torch.bool)
        if prefix.shape[1] == NODES - 1:
            allowed[:, END] = True
        else:
            allowed[:, 2:] = True
            allowed[:, 2] = prefix[:, -1] != 2
        return allowed


def decoder(seed: int = 0, topology: list[tuple[int, int]] | None = None) -> GraphDecoder:
    torch.manual_seed(seed)
    return GraphDecoder(TYPES, NODES, 12, LATENT, topology=topology)


def latents(n: int, seed: int = 0, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(n, LATENT, generator=torch_rng("latents", seed))


def random_graphs(n: int, seed: int = 0) -> ArchBatch:
    """Graphs of 2 to 6 vertices: START, operations, END, random edges."""
    rng = torch_rng("graphs", seed)
    sizes = torch.randint(2, NODES + 1, (n,), generator=rng)
    mask = torch.arange(NODES) < sizes[:, None]
    types = torch.randint(2, TYPES, (n, NODES), generator=rng)
    types[:, 0] = 0
    types[torch.arange(n), sizes - 1] = END
    edges = torch.rand(n, NODES, NODES, generator=rng).triu(1) > 0.5
    return ArchBatch(types * mask, edges & mask[:, :, None] & mask[:, None], mask)


def random_sets(n: int, classes: int = 3, seed: int = 0) -> SetBatch:
    rng = torch_rng("sets", seed)
    features = torch.randn(n, classes, 4, 10, generator=rng) + torch.randn(n, 1, 1, 10, generator=rng)
    return SetBatch(features, torch.ones(n, classes, 4, dtype=torch.bool))


# --- encoder --------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_padding_of_short_graphs_has_no_influence(seed: int) -> None:
    torch.manual_seed(0)
    model, graphs = GraphEncoder(TYPES, NODES, 12).double(), random_graphs(4, seed)
    vectors = model(graphs)
    for b in range(4):
        n = int(graphs.mask[b].sum())
        cropped = ArchBatch(graphs.types[[b], :n], graphs.edges[[b], :n, :n], graphs.mask[[b], :n])
        torch.testing.assert_close(vectors[[b]], model(cropped))


def test_every_edge_and_type_counts() -> None:
    torch.manual_seed(0)
    model, graphs = GraphEncoder(TYPES, NODES, 12).double(), random_graphs(1, seed=3)
    assert graphs.mask.all()
    before = model(graphs)
    for u in range(NODES):
        for v in range(u + 1, NODES):
            edges = graphs.edges.clone()
            edges[0, u, v] ^= True
            assert not torch.allclose(model(ArchBatch(graphs.types, edges, graphs.mask)), before), (u, v)


# --- decoder --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False], ids=["own topology", "rules' topology"])
@pytest.mark.parametrize("stochastic", [True, False])
def test_constrained_decoding_is_always_valid(own: bool, stochastic: bool) -> None:
    rules = Cells(EDGES)
    assert isinstance(rules, DecodingRules)
    for seed in range(3):
        model = decoder(seed, EDGES if own else None)
        graphs = model.sample(
            latents(200, seed, scale=30.0), rules=rules, generator=torch_rng(seed), stochastic=stochastic
        )
        assert graphs.mask.all()
        assert (graphs.types[:, 0] == 0).all()
        assert (graphs.types[:, -1] == END).all()
        inner = graphs.types[:, 1:-1]
        assert (inner >= 2).all()
        assert not ((inner[:, 1:] == 2) & (inner[:, :-1] == 2)).any()
        assert torch.equal(graphs.edges, rules.topology.expand_as(graphs.edges))


def test_free_decoding_makes_graphs_that_end() -> None:
    graphs = decoder().sample(latents(300), generator=torch_rng(0))
    sizes = graphs.mask.sum(1)
    assert sizes.min() < NODES
    assert torch.equal(graphs.mask, torch.arange(NODES) < sizes[:, None])
    assert ((graphs.types == END).sum(1) == 1).all()
    last = graphs.types[torch.arange(300), sizes - 1]
    assert (last == END).all()
    assert not graphs.edges.tril().any()
    assert not (graphs.edges & ~(graphs.mask[:, :, None] & graphs.mask[:, None])).any()
    loose = ~graphs.edges.any(2) & graphs.mask
    assert (loose.sum(1) == 1).all(), "only END has no successor"


def test_types_follow_the_probabilities_that_the_rules_leave() -> None:
    model, rules = decoder(seed=1, topology=EDGES).double(), Cells(EDGES)
    z = latents(1).double()
    logits = model.teacher_force(z, random_graphs(1)).type_logits[0, 0]
    graphs = model.sample(z.expand(20_000, -1), rules=rules, generator=torch_rng(0))
    observed = torch.bincount(graphs.types[:, 1], minlength=TYPES) / 20_000
    logits[:2] = -torch.inf
    torch.testing.assert_close(observed.double(), logits.softmax(-1), rtol=0, atol=0.015)
    flat = model.sample(z.expand(20_000, -1), rules=rules, generator=torch_rng(0), temperature=1e6)
    assert torch.bincount(flat.types[:, 1])[2:].float().std() < 200


@pytest.mark.parametrize("edges", [None, [(0, 1), (0, 2), (1, 3), (2, 3)]], ids=["free", "given edges"])
def test_likelihood_is_that_of_sampling(edges: list[tuple[int, int]] | None) -> None:
    """The frequency of a graph among samples is the exponential of its log-likelihood."""
    torch.manual_seed(0)
    model, n = GraphDecoder(4, 4, 12, LATENT, topology=edges).double(), 40_000
    z = latents(1).double()
    graphs = model.sample(z.expand(n, -1), generator=torch_rng(0))
    graphs = graphs[graphs.mask.all(1)]
    code = torch.cat([graphs.types, graphs.edges.flatten(1).long()], dim=1)
    _, which, counts = code.unique(dim=0, return_inverse=True, return_counts=True)
    common = (counts > 200).nonzero().squeeze(1)
    assert len(common) >= 5
    graphs = graphs[torch.stack([(which == index).nonzero()[0, 0] for index in common])]
    z = z.expand(len(common), -1)
    forced = model.teacher_force(z, graphs)
    log_types, log_edges = model.log_likelihood(z, graphs)
    # What is forced is no choice: END at the last place, and the edges into it.
    odds = log_types - forced.type_logits[:, -1].log_softmax(-1)[:, END]
    if forced.edge_logits is not None:
        truth = graphs.edges[:, :-1, -1].double()
        into_end = -F.binary_cross_entropy_with_logits(forced.edge_logits[:, -3:], truth, reduction="none")
        odds = odds + log_edges - into_end.sum(1)
    torch.testing.assert_close(counts[common] / n, odds.exp(), rtol=0.25, atol=0, check_dtype=False)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_likelihood_of_a_batch_is_that_of_singles(seed: int) -> None:
    model, graphs, z = decoder().double(), random_graphs(3, seed), latents(3, seed).double()
    for batch, *singles in zip(
        model.log_likelihood(z, graphs),
        *(model.log_likelihood(z[[b]], graphs[[b]]) for b in range(3)),
        strict=True,
    ):
        torch.testing.assert_close(batch, torch.cat(singles))


@pytest.mark.parametrize("rules", [None, Cells(EDGES)], ids=["free", "constrained"])
def test_sampling_needs_nothing_but_the_draws(rules: DecodingRules | None) -> None:
    model, z = decoder(), latents(50)
    first = model.sample(z, rules=rules, generator=torch_rng(1))
    second = model.sample(z, rules=rules, generator=torch_rng(1))
    draws = Draws.random(50, NODES, edges=rules is None, generator=torch_rng(1))
    third = model.sample(z, rules=rules, draws=draws)
    other = model.sample(z, rules=rules, generator=torch_rng(2))
    for graphs in (second, third):
        assert torch.equal(first.types, graphs.types)
        assert torch.equal(first.edges, graphs.edges)
    assert not torch.equal(first.types, other.types)
    half = Draws(draws.types[:7], None if draws.edges is None else draws.edges[:7])
    assert torch.equal(model.sample(z[:7], rules=rules, draws=half).types, first.types[:7])


def test_rules_may_leave_edges_to_the_decoder() -> None:
    graphs = decoder().sample(latents(100), rules=Cells(None), generator=torch_rng(0))
    assert graphs.mask.all()
    assert (graphs.types[:, 1:-1] >= 2).all()
    assert len(graphs.edges.unique(dim=0)) > 10


def test_faulty_rules_are_told() -> None:
    class Stuck(Cells):
        def allowed_types(self, prefix: Int[Tensor, "B V"]) -> Bool[Tensor, "B T"]:
            return super().allowed_types(prefix) & (prefix.shape[1] < 3)

    with pytest.raises(ArchitectureError, match="no type for vertex 3 after"):
        decoder().sample(latents(2), rules=Stuck(EDGES), generator=torch_rng(0))
    with pytest.raises(ArchitectureError, match="other edges"):
        decoder(topology=EDGES).sample(latents(2), rules=Cells(EDGES[1:]), generator=torch_rng(0))
    with pytest.raises(ValueError, match="generator or draws"):
        decoder().sample(latents(2))
    with pytest.raises(ValueError, match="decide no edges"):
        decoder().sample(latents(2), draws=Draws(torch.rand(2, NODES), None))


def test_decoding_is_fast() -> None:
    """The official code takes 6.8 ms a graph of 8 vertices; a twentieth of it is the limit."""
    chain = [(v, v + 1) for v in range(7)]
    torch.manual_seed(0)
    model = GraphDecoder(7, 8, 56, 56, topology=chain)
    z = torch.randn(1000, 56, generator=torch_rng(0))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        model.sample(z, generator=torch_rng(0))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 6.8 / 20


# --- the two models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", [None, EDGES], ids=["learned edges", "given edges"])
def test_generator_learns_to_tell_the_architecture_from_the_data_set(
    topology: list[tuple[int, int]] | None,
) -> None:
    torch.manual_seed(0)
    model = Generator(feature_dim=10, num_types=TYPES, num_nodes=NODES, hidden=32, latent=16, topology=topology)
    sets = random_sets(6)
    graphs = random_graphs(200, seed=5)
    graphs = graphs[graphs.mask.all(1).nonzero()[:6, 0]]
    # A chain: vertices that the first does not reach know nothing of the latent. END takes the one loose end.
    graphs.edges[:, torch.arange(NODES - 1), torch.arange(1, NODES)] = True
    graphs.edges[:, :-2, -1] = False
    if topology is not None:
        graphs.edges[:] = Cells(EDGES).topology
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    noise = torch.randn(100, 6, 16, generator=torch_rng("noise"))
    for step in noise:
        loss = model(sets, graphs, noise=step).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made = model.sample(model.encode(sets)[0], stochastic=False)
    assert torch.equal(made.types, graphs.types)
    assert torch.equal(made.edges, graphs.edges)


def test_predictor_learns_and_scores_all_pairs() -> None:
    torch.manual_seed(0)
    model = Predictor(feature_dim=10, num_types=TYPES, num_nodes=NODES, hidden=24, latent=16)
    sets, graphs = random_sets(8), random_graphs(8)
    target = torch.randn(8, generator=torch_rng("target"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(70):
        loss = (model(sets, graphs) - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    many = ArchBatch.cat([graphs] * 150)
    scores = model.score(model.encode_sets(sets), model.encode_archs(many))
    assert scores.shape == (8, 1200)
    torch.testing.assert_close(scores[:, -8:].diagonal(), model(sets, graphs))
    d, g = torch.cartesian_prod(torch.arange(8), torch.arange(8)).T
    pairs = model(SetBatch(sets.features[d], sets.mask[d]), graphs[g])
    torch.testing.assert_close(scores[:, :8].flatten(), pairs)


def test_models_are_rebuilt_from_their_config() -> None:
    generator = Generator(
        feature_dim=10, num_types=TYPES, num_nodes=NODES, latent=16, normalize=True, topology=EDGES
    )
    predictor = Predictor(feature_dim=10, num_types=TYPES, num_nodes=NODES, hidden=24, latent=16)
    again = Generator(**generator.config), Predictor(**predictor.config)
    for model, rebuilt in zip((generator, predictor), again, strict=True):
        rebuilt.load_state_dict(model.state_dict())
        assert rebuilt.config == model.config
        assert repr(rebuilt) == repr(model)
        assert repr(model).startswith(f"{type(model).__name__}(feature_dim=10, num_types=5")
    assert not any("edge_net" in key for key in generator.state_dict())
    sets = random_sets(3)
    torch.testing.assert_close(again[0].encode(sets)[0], generator.encode(sets)[0])
