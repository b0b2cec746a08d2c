"""What every search space must satisfy, as a pytest class."""

import itertools
import json
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import ArchBatch, Architecture, SearchSpace

START, END = 0, 1
LISTABLE = 100_000


class SearchSpaceContract:
    """The tests of a search space. Inherit from this class in a test module and give it the space.

    For example::

        class TestMySpace(SearchSpaceContract):
            @pytest.fixture
            def space(self):
                return MySpace()

    Attributes:
        scale: scale options of the networks that are built; small ones make the tests fast.
        resolution: pixels a side of the images that the networks see.
        num_classes: outputs of the networks.
    """

    scale: ClassVar[dict[str, int]] = {}
    resolution: int = 32
    num_classes: int = 3

    @pytest.fixture
    def space(self) -> SearchSpace:
        raise NotImplementedError("give the class a fixture `space` that returns the space to test")

    @pytest.fixture
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(0)

    @pytest.fixture
    def archs(self, space: SearchSpace, rng: np.random.Generator) -> list[Architecture]:
        return space.sample(32, rng)

    # --- names --------------------------------------------------------------------------------------------

    def test_has_a_name_and_sizes(self, space: SearchSpace) -> None:
        assert isinstance(space.name, str)
        assert space.name
        assert space.num_types > 2, "START and END are two of the types"
        assert space.num_nodes > 2, "START and END are two of the vertices"
        assert space.size >= 1

    def test_architectures_are_plain_values(self, space: SearchSpace, archs: list[Architecture]) -> None:
        assert {arch.space for arch in archs} == {space.name}
        for arch in archs:
            assert tuple(json.loads(json.dumps(arch.choices))) == arch.choices

    def test_parse_undoes_format(self, space: SearchSpace, archs: list[Architecture]) -> None:
        texts = [space.format(arch) for arch in archs]
        assert [space.parse(text) for text in texts] == archs
        assert len(set(texts)) == len(set(archs)), "two architectures have the same text"

    def test_parse_refuses_what_is_no_architecture(self, space: SearchSpace, archs: list[Architecture]) -> None:
        text = space.format(archs[0])
        for wrong in ("", "?", text + "?", "?" + text, text + text):
            with pytest.raises(ArchitectureError):
                space.parse(wrong)

    def test_canonical_depends_on_the_architecture_alone(
        self, space: SearchSpace, archs: list[Architecture]
    ) -> None:
        for arch in archs:
            assert space.canonical(space.parse(space.format(arch))) == space.canonical(arch)

    def test_refuses_architectures_of_other_spaces(
        self, space: SearchSpace, archs: list[Architecture], rng: np.random.Generator
    ) -> None:
        good = archs[0]
        uses: list[Callable[[Architecture], object]] = [
            space.format,
            space.canonical,
            space.neighbours,
            lambda wrong: space.encode([good, wrong]),
            lambda wrong: space.mutate(wrong, rng),
            lambda wrong: space.crossover(good, wrong, rng),
            lambda wrong: space.build(wrong, self.num_classes, **self.scale),
            lambda wrong: space.params([good, wrong], self.num_classes, **self.scale),
            lambda wrong: space.flops([good, wrong], self.num_classes, self.resolution, **self.scale),
        ]
        for wrong in (
            Architecture("another space", good.choices),
            Architecture(space.name, (*good.choices, 0)),
            Architecture(space.name, good.choices[:-1]),
            Architecture(space.name, (-1, *good.choices[1:])),
            Architecture(space.name, (10**6, *good.choices[1:])),
        ):
            for use in uses:
                with pytest.raises(ArchitectureError):
                    use(wrong)

    # --- graphs -------------------------------------------------------------------------------------------

    def test_graphs_are_padded_dags(self, space: SearchSpace, archs: list[Architecture]) -> None:
        graphs = space.encode(archs)
        assert graphs.types.shape == (len(archs), space.num_nodes)
        assert graphs.types.dtype == torch.int64
        present = graphs.mask
        assert bool((present[:, :-1] >= present[:, 1:]).all()), "a vertex stands behind a gap"
        assert bool((graphs.types[~present] == START).all()), "padding must have type START"
        assert bool(((graphs.types >= 0) & (graphs.types < space.num_types)).all())
        assert not bool(graphs.edges.tril().any()), "an edge does not go from an earlier to a later vertex"
        both = present[:, :, None] & present[:, None, :]
        assert not bool((graphs.edges & ~both).any()), "an edge touches padding"
        if space.topology is not None:
            assert torch.equal(graphs.edges, space.topology & both)

    def test_graphs_begin_with_start_and_finish_with_end(
        self, space: SearchSpace, archs: list[Architecture]
    ) -> None:
        graphs = space.encode(archs)
        last = graphs.mask.sum(dim=1, keepdim=True) - 1
        assert bool((graphs.types[:, 0] == START).all())
        assert bool((graphs.types.gather(1, last) == END).all())
        inner = graphs.mask.clone()
        inner[:, 0] = False
        inner.scatter_(1, last, False)
        assert bool((graphs.types[inner] > END).all()), "START or END stands in the middle"

    def test_decode_undoes_encode(self, space: SearchSpace, archs: list[Architecture]) -> None:
        assert space.decode(space.encode(archs)) == archs
        assert space.decode(space.encode([])) == []

    def test_decode_returns_none_for_what_is_no_architecture(
        self, space: SearchSpace, archs: list[Architecture]
    ) -> None:
        graphs = space.encode(archs[:2])
        no_types = ArchBatch(torch.zeros_like(graphs.types), graphs.edges, graphs.mask)
        no_vertices = ArchBatch(graphs.types, graphs.edges, torch.zeros_like(graphs.mask))
        assert space.decode(ArchBatch.cat([no_types, no_vertices, graphs])) == [None] * 4 + archs[:2]

    def test_allowed_types_admit_every_architecture(self, space: SearchSpace, archs: list[Architecture]) -> None:
        graphs = space.encode(archs)
        for position in range(space.num_nodes):
            allowed = space.allowed_types(graphs.types[:, :position])
            assert allowed.shape == (len(archs), space.num_types)
            taken = allowed.gather(1, graphs.types[:, position : position + 1])[:, 0]
            assert bool(taken[graphs.mask[:, position]].all()), f"vertex {position} has a forbidden type"

    def test_allowed_types_lead_to_architectures(self, space: SearchSpace) -> None:
        if space.topology is None:
            pytest.skip("the graphs of this space have edges of their own: types alone make no graph")
        generator = torch.Generator().manual_seed(0)
        types = torch.zeros(64, 0, dtype=torch.int64)
        mask = torch.ones(64, 0, dtype=torch.bool)
        for _ in range(space.num_nodes):
            open_ends = ~(types == END).any(dim=1)
            allowed = space.allowed_types(types)
            assert bool(allowed.any(dim=1)[open_ends].all()), "nothing is allowed before END"
            # Finished graphs are padded with START.
            weights = torch.where(open_ends[:, None], allowed, torch.arange(space.num_types) == START).float()
            chosen = weights.multinomial(1, generator=generator)
            types = torch.cat([types, chosen], dim=1)
            mask = torch.cat([mask, open_ends[:, None]], dim=1)
        edges = space.topology & mask[:, :, None] & mask[:, None, :]
        graphs = ArchBatch(types, edges, mask)
        decoded = [arch for arch in space.decode(graphs) if arch is not None]
        assert len(decoded) == len(graphs), "types that are allowed make no architecture"
        assert torch.equal(space.encode(decoded).types, types)

    # --- the set ------------------------------------------------------------------------------------------

    def test_the_same_stream_gives_the_same_architectures(self, space: SearchSpace) -> None:
        one, same, other = (space.sample(32, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert one == same
        assert one != other or space.size == 1
        assert space.sample(0, np.random.default_rng(1)) == []

    def test_mutants_are_neighbours(
        self, space: SearchSpace, archs: list[Architecture], rng: np.random.Generator
    ) -> None:
        for arch in archs:
            mutant = space.mutate(arch, rng)
            assert _distance(arch, mutant) == 1
            assert mutant in space.neighbours(arch)

    def test_neighbours_differ_in_one_decision(self, space: SearchSpace, archs: list[Architecture]) -> None:
        for arch in archs[:4]:
            neighbours = space.neighbours(arch)
            assert len(set(neighbours)) == len(neighbours)
            assert {_distance(arch, neighbour) for neighbour in neighbours} == {1}
            assert all(arch in space.neighbours(neighbour) for neighbour in neighbours)
            assert [space.parse(space.format(neighbour)) for neighbour in neighbours] == neighbours

    def test_children_take_every_decision_from_a_parent(
        self, space: SearchSpace, archs: list[Architecture], rng: np.random.Generator
    ) -> None:
        for a, b in itertools.pairwise(archs):
            child = space.crossover(a, b, rng)
            assert space.parse(space.format(child)) == child
            decisions = zip(child.choices, a.choices, b.choices, strict=True)
            assert all(own in (first, second) for own, first, second in decisions)

    def test_enumerate_yields_every_architecture_once(self, space: SearchSpace, archs: list[Architecture]) -> None:
        try:
            listed = list(itertools.islice(space.enumerate(), LISTABLE))
        except ArchitectureError:
            pytest.skip("the space cannot be listed")
        assert len(set(listed)) == min(space.size, LISTABLE)
        if space.size <= LISTABLE:
            assert set(archs) <= set(listed)
            assert list(space.enumerate()) == listed, "the order must be fixed"

    # --- networks -----------------------------------------------------------------------------------------

    def test_networks_learn_from_images(self, space: SearchSpace, archs: list[Architecture]) -> None:
        images = torch.randn(2, 3, self.resolution, self.resolution, generator=torch.Generator().manual_seed(0))
        for arch in archs[:2]:
            network = space.build(arch, self.num_classes, **self.scale)
            logits = network(images)
            assert logits.shape == (2, self.num_classes)
            torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
            gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
            assert gradients, "no parameter has a gradient"
            assert all(bool(gradient.isfinite().all()) for gradient in gradients)

    def test_the_source_is_the_same_network(self, space: SearchSpace, archs: list[Architecture]) -> None:
        images = torch.randn(2, 3, self.resolution, self.resolution, generator=torch.Generator().manual_seed(0))
        for arch in archs[:4]:
            try:
                source = space.source(arch, self.num_classes, **self.scale)
            except ArchitectureError:
                pytest.skip("the space cannot write its networks as Python code")
            names: dict[str, Any] = {}
            exec(compile(source, "network.py", "exec"), names)  # noqa: S102 - the space's own code
            built, written = space.build(arch, self.num_classes, **self.scale), names["Network"]()
            assert list(written.state_dict()) == list(built.state_dict())
            state = _filled(built)
            for training in (False, True):  # in training, normalisation sees the batch instead of its statistics
                for network in (built, written):
                    network.load_state_dict(state)
                torch.testing.assert_close(written.train(training)(images), built.train(training)(images))
            assert names["Network"](self.num_classes + 1)(images).shape == (2, self.num_classes + 1)

    def test_params_are_those_of_the_networks(self, space: SearchSpace, archs: list[Architecture]) -> None:
        some = archs[:4]
        networks = [space.build(arch, self.num_classes, **self.scale) for arch in some]
        built = [sum(p.numel() for p in net.parameters() if p.requires_grad) for net in networks]
        counted = space.params(some, self.num_classes, **self.scale)
        assert counted.dtype == np.int64
        assert counted.tolist() == built
        assert space.params([], self.num_classes, **self.scale).shape == (0,)

    def test_flops_are_those_of_the_networks(self, space: SearchSpace, archs: list[Architecture]) -> None:
        some = archs[:4]
        image = torch.zeros(1, 3, self.resolution, self.resolution)
        built = []
        for arch in some:
            network = space.build(arch, self.num_classes, **self.scale).eval()
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network(image)
            built.append(counter.get_total_flops() // 2)
        counted = space.flops(some, self.num_classes, self.resolution, **self.scale)
        assert counted.dtype == np.int64
        assert counted.tolist() == built
        assert space.flops([], self.num_classes, self.resolution, **self.scale).shape == (0,)

    def test_refuses_impossible_networks(self, space: SearchSpace, archs: list[Architecture]) -> None:
        arch = archs[0]
        for use in (
            lambda: space.build(arch, 0, **self.scale),
            lambda: space.params([arch], 0, **self.scale),
            lambda: space.flops([arch], 0, self.resolution, **self.scale),
            lambda: space.flops([arch], self.num_classes, 0, **self.scale),
            lambda: space.build(arch, self.num_classes, **self.scale, no_such_option=1),
            lambda: space.params([arch], self.num_classes, **self.scale, no_such_option=1),
            lambda: space.flops([arch], self.num_classes, self.resolution, **self.scale, no_such_option=1),
        ):
            with pytest.raises(ArchitectureError):
                use()


def _filled(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return weights and statistics in which no number is as layers begin, so that each of them matters."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: value + 0.1 * torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }


def _distance(a: Architecture, b: Architecture) -> int:
    """Return the number of decisions in which ``a`` and ``b`` differ."""
    return sum(own != other for own, other in zip(a.choices, b.choices, strict=True))
