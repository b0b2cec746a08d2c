"""Networks that are equal have equal graphs, without the layers that are not used."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metad2a.models.generator import Generator
from metad2a.runtime import torch_rng
from metad2a.spaces.base import ArchBatch, Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3, to_official
from metad2a.spaces.mobilenetv3_compact import CompactMobileNetV3

SPACE = CompactMobileNetV3()
FIRST = (
    "d2:k3e3-k5e4-~k7e6-~k3e4+d3:k3e6-k7e3-k5e3-~k5e6+d4:k7e4-k3e4-k5e6-k7e6"
    "+d2:k3e3-k3e6-~k3e3-~k5e3+d4:k7e6-k5e3-k7e6-k7e3"
)
TYPES = [
    0,
    2,
    6,
    13,
    17,
    14,
    27,
    21,
    25,
    28,
    2,
    4,
    28,
    23,
    28,
    26,
    1,
]  # those of the official code, less the unused
choices = st.tuples(*[st.integers(0, 2)] * 45)


def test_graphs_have_the_layers_in_use() -> None:
    graphs = SPACE.encode([SPACE.parse(FIRST)])
    assert graphs.types.tolist() == [TYPES + [0] * 5]
    assert graphs.mask.sum().item() == len(TYPES)
    assert graphs.edges[0].nonzero().tolist() == [[vertex, vertex + 1] for vertex in range(len(TYPES) - 1)]
    assert bool(graphs.connected().all())


@settings(max_examples=50)
@given(choices, choices)
def test_graphs_are_equal_where_networks_are(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    archs = [Architecture(SPACE.name, drawn) for drawn in (one, other)]
    # The second one once more, with what the first one has where it does not matter.
    archs.append(
        Architecture(
            SPACE.name,
            tuple(a if _unused(other, place) else b for place, (a, b) in enumerate(zip(one, other, strict=True))),
        )
    )
    graphs = SPACE.encode(archs)
    assert torch.equal(graphs.types[1], graphs.types[2])
    same = SPACE.canonical(archs[0]) == SPACE.canonical(archs[1])
    assert torch.equal(graphs.types[0], graphs.types[1]) == same
    decoded = SPACE.decode(graphs)
    assert [SPACE.canonical(arch) for arch in decoded if arch] == [SPACE.canonical(arch) for arch in archs]


def _unused(drawn: tuple[int, ...], place: int) -> bool:
    stage, within = divmod(place, 9)
    return within > 0 and (within - 1) // 2 >= drawn[9 * stage] + 2


def test_what_is_no_chain_of_five_stages_is_refused() -> None:
    good = SPACE.encode([SPACE.parse(FIRST)])
    changes = {3: 2, 16: 2, 15: 1, 10: 1, 0: 2}  # another depth, a sixth stage, an end too early, a layer for START
    types = good.types.repeat(len(changes), 1)
    for row, (vertex, value) in enumerate(changes.items()):
        types[row, vertex] = value
    wrong = ArchBatch(types, good.edges.repeat(len(types), 1, 1), good.mask.repeat(len(types), 1))
    assert SPACE.decode(wrong) == [None] * len(types)
    for cut in (1, 16):  # vertices are missing
        assert SPACE.decode(ArchBatch(good.types, good.edges, good.mask & (torch.arange(22) < cut))) == [None]
    assert SPACE.decode(ArchBatch(good.types[:, :12], good.edges[:, :12, :12], good.mask[:, :12])) == [None]


def test_the_graphs_of_the_deepest_networks_are_the_official_ones() -> None:
    deepest = [
        Architecture(
            arch.space, tuple(2 if place % 9 == 0 else choice for place, choice in enumerate(arch.choices))
        )
        for arch in SPACE.sample(8, np.random.default_rng(0))
    ]
    official = MobileNetV3().encode([Architecture("mobilenetv3", arch.choices) for arch in deepest])
    assert torch.equal(SPACE.encode(deepest).types, official.types)


def test_a_constrained_decoder_makes_only_networks_of_every_length() -> None:
    topology = SPACE.topology.nonzero().tolist()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Generator(feature_dim=4, num_types=29, num_nodes=22, hidden=12, latent=8, topology=topology)
    latents = torch.randn(64, 8, generator=torch_rng("latents"))
    graphs = model.decoder.sample(latents, rules=SPACE, generator=torch_rng("draws"))
    decoded = SPACE.decode(graphs)
    assert None not in decoded
    assert len(set(graphs.mask.sum(1).tolist())) > 3
    again = SPACE.encode([arch for arch in decoded if arch])
    assert torch.equal(again.types, graphs.types)
    assert torch.equal(again.edges, graphs.edges)
    assert bool(model.decoder.log_likelihood(latents, graphs)[0].isfinite().all())


def test_official_dictionaries_are_those_of_the_same_network() -> None:
    other = MobileNetV3()
    assert to_official(SPACE.parse(FIRST)) == to_official(other.parse(FIRST))
