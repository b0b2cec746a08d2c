"""The MobileNetV3 space is that of Once-for-All, in MetaD2A's coding."""

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import ArchBatch, Architecture
from metad2a.spaces.convert import from_pyg, to_pyg_batch
from metad2a.spaces.mobilenetv3 import MobileNetV3, from_official, to_official

SPACE = MobileNetV3()
FIRST = (
    "d2:k3e3-k5e4-~k7e6-~k3e4+d3:k3e6-k7e3-k5e3-~k5e6+d4:k7e4-k3e4-k5e6-k7e6"
    "+d2:k3e3-k3e6-~k3e3-~k5e3+d4:k7e6-k5e3-k7e6-k7e3"
)
FIRST_NET = {
    "ks": [3, 5, 7, 3, 3, 7, 5, 5, 7, 3, 5, 7, 3, 3, 3, 5, 7, 5, 7, 7],
    "e": [3, 4, 6, 4, 6, 3, 3, 6, 4, 4, 6, 6, 3, 6, 3, 3, 6, 3, 6, 3],
    "d": [2, 3, 4, 2, 4],
}
FIRST_TYPES = [0, 2, 6, 10, 3, 13, 17, 14, 16, 27, 21, 25, 28, 2, 4, 2, 5, 28, 23, 28, 26, 1]
choices = st.tuples(*[st.integers(0, 2)] * 45)


# --- names --------------------------------------------------------------------------------------------------


def test_the_text_says_depth_kernel_and_expansion() -> None:
    arch = SPACE.parse(FIRST)
    assert to_official(arch) == FIRST_NET
    assert SPACE.format(arch) == FIRST


def test_canonical_texts_are_read() -> None:
    for arch in SPACE.sample(20, np.random.default_rng(0)):
        read = SPACE.parse(SPACE.canonical(arch))
        assert SPACE.canonical(read) == SPACE.canonical(arch)
        assert read == SPACE.parse(SPACE.format(read))


def test_canonical_texts_leave_out_what_is_not_used() -> None:
    used = re.sub(r"-~k\de\d", "", FIRST)
    assert SPACE.canonical(SPACE.parse(FIRST)) == used
    assert SPACE.canonical(SPACE.parse(FIRST.replace("~k7e6", "~k3e3"))) == used
    assert SPACE.canonical(SPACE.parse(FIRST.replace("-k5e4", "-k5e3"))) != used


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1 (stage 1) expected 'd', found the end"),
        ("k3e3", "character 1 (stage 1) expected 'd', found 'k3e3'"),
        ("d5:k3e3", "character 2 (stage 1) expected one of 2, 3, 4, found '5:k3e3'"),
        ("d2-k3e3", "character 3 (stage 1) expected ':k', found '-k3e3'"),
        ("d2:k9e3", "character 5 (stage 1) expected one of 3, 5, 7, found '9e3'"),
        ("d2:k3x3", "character 6 (stage 1) expected 'e', found 'x3'"),
        ("d2:k3e5", "character 7 (stage 1) expected one of 3, 4, 6, found '5'"),
        ("d2:k3e3-k5e4-k7e6-~k3e4", "character 13 (stage 1) expected '-~k', found '-k7e6-~k3e4'"),
        ("d2:k3e3-~k5e4", "character 8 (stage 1) expected '-k', found '-~k5e4'"),
        (FIRST.replace("d3", "d4"), "character 43 (stage 2) expected '-k', found '-~k5e6+d4"),
        (FIRST.rsplit("+", 1)[0], "(stage 4) expected '+d', found the end"),
        (FIRST + "+", "(stage 5) expected the end, found '+'"),
        (" " + FIRST, "character 1 (stage 1) expected 'd'"),
    ],
)
def test_a_wrong_text_is_explained(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        SPACE.parse(text)


@given(st.text(alphabet="dke234567:-+~", max_size=40) | st.text(max_size=40))
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ArchitectureError):  # none is long enough
        SPACE.parse(text)


@given(choices)
def test_every_architecture_has_its_text(drawn: tuple[int, ...]) -> None:
    arch = Architecture("mobilenetv3", drawn)
    assert SPACE.parse(SPACE.format(arch)) == arch


# --- the official dictionary --------------------------------------------------------------------------------


@given(choices)
def test_the_official_dictionary_and_back(drawn: tuple[int, ...]) -> None:
    arch = Architecture("mobilenetv3", drawn)
    net = to_official(arch)
    assert json.loads(json.dumps(net)) == net
    assert from_official(net) == arch


def test_dictionaries_of_arrays_and_with_other_keys_are_read() -> None:
    for kind in (np.array, torch.tensor, tuple):
        net = {key: kind(values) for key, values in FIRST_NET.items()}
        assert from_official(net | {"wid": None, "r": [224]}) == SPACE.parse(FIRST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": [3] * 7 + [4] + [3] * 12}, "ks[7] (stage 2, layer 4) is 4, but must be one of 3, 5, 7"),
        ({"e": [*[3] * 19, "6"]}, "e[19] (stage 5, layer 4) is '6', but must be one of 3, 4, 6"),
        ({"e": [None] * 20}, "e[0] (stage 1, layer 1) is None"),
        ({"d": [2, 2, 5, 2, 2]}, "d[2] (stage 3) is 5, but must be one of 2, 3, 4"),
        ({"d": [2, 2, 2, 2]}, "'d' must be a list of 5 numbers, not [2, 2, 2, 2]"),
        ({"ks": 7}, "'ks' must be a list of 20 numbers, not 7"),
    ],
)
def test_other_dictionaries_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        from_official(FIRST_NET | change)


def test_a_missing_list_is_named() -> None:
    with pytest.raises(ArchitectureError, match="'d' must be a list of 5 numbers, not None"):
        from_official({"ks": FIRST_NET["ks"], "e": FIRST_NET["e"]})


# --- graphs -------------------------------------------------------------------------------------------------


def test_graphs_have_the_official_types_on_a_chain() -> None:
    graphs = SPACE.encode([SPACE.parse(FIRST)])
    assert graphs.types.tolist() == [FIRST_TYPES]
    assert graphs.edges[0].nonzero().tolist() == [[vertex, vertex + 1] for vertex in range(21)]
    assert (SPACE.num_types, SPACE.num_nodes) == (29, 22)


@given(choices)
def test_types_follow_the_official_formula(drawn: tuple[int, ...]) -> None:
    arch = Architecture("mobilenetv3", drawn)
    net = to_official(arch)
    types = [
        2 + 9 * (net["d"][place // 4] - 2) + 3 * ((kernel - 3) // 2) + {3: 0, 4: 1, 6: 2}[expansion]
        for place, (kernel, expansion) in enumerate(zip(net["ks"], net["e"], strict=True))
    ]
    assert SPACE.encode([arch]).types.tolist() == [[0, *types, 1]]


@given(st.lists(choices, max_size=4), st.integers(0, 3))
def test_decoding_looks_at_types_and_mask_alone(drawn: list[tuple[int, ...]], padding: int) -> None:
    archs = [Architecture("mobilenetv3", row) for row in drawn]
    graphs = SPACE.encode(archs)
    pad = torch.nn.functional.pad
    wider = ArchBatch(
        pad(graphs.types, (0, padding)),
        torch.zeros(len(archs), 22 + padding, 22 + padding, dtype=torch.bool),
        pad(graphs.mask, (0, padding)),
    )
    assert SPACE.decode(wider) == archs


@given(st.integers(0, 21), st.integers(-1, 30))
def test_one_other_type_is_another_network_or_none(vertex: int, kind: int) -> None:
    graphs = SPACE.encode([SPACE.parse(FIRST)])
    old = FIRST_TYPES[vertex]
    graphs.types[0, vertex] = kind
    (arch,) = SPACE.decode(graphs)
    same_depth = 0 < vertex < 21 and 2 <= kind < 29 and (kind - 2) // 9 == (old - 2) // 9
    assert (arch is not None) == (kind == old or same_depth)
    if arch is not None:
        assert torch.equal(SPACE.encode([arch]).types, graphs.types)


def test_graphs_with_too_few_or_too_many_vertices_are_no_networks() -> None:
    graphs = SPACE.encode([SPACE.parse(FIRST)])
    short = ArchBatch(graphs.types[:, :21], graphs.edges[:, :21, :21], graphs.mask[:, :21])
    pad = torch.nn.functional.pad
    longer = ArchBatch(
        pad(graphs.types, (0, 1), value=2), pad(graphs.edges, (0, 1, 0, 1)), pad(graphs.mask, (0, 1), value=True)
    )
    assert SPACE.decode(short) == [None]
    assert SPACE.decode(longer) == [None]


def test_a_stage_keeps_the_depth_of_its_first_layer() -> None:
    types = torch.tensor([FIRST_TYPES])
    for vertex in range(1, 21):
        allowed = SPACE.allowed_types(types[:, :vertex])[0].nonzero().flatten().tolist()
        first = 2 + (FIRST_TYPES[vertex] - 2) // 9 * 9
        assert allowed == list(range(2, 29) if vertex % 4 == 1 else range(first, first + 9))


def test_graphs_survive_torch_geometric() -> None:
    graphs = SPACE.encode(SPACE.sample(5, np.random.default_rng(0)))
    back = from_pyg(to_pyg_batch(graphs), num_nodes=SPACE.num_nodes)
    for field in ("types", "edges", "mask"):
        assert torch.equal(getattr(back, field), getattr(graphs, field))


# --- the set ------------------------------------------------------------------------------------------------


def test_there_are_more_architectures_than_networks() -> None:
    assert SPACE.size == 3**45
    assert not SPACE.listable
    with pytest.raises(ArchitectureError, match="cannot be listed"):
        SPACE.enumerate()


def test_samples_are_uniform() -> None:
    drawn = np.array([arch.choices for arch in SPACE.sample(3000, np.random.default_rng(0))])
    shares = np.stack([(drawn == choice).mean(axis=0) for choice in range(3)])
    assert bool((np.abs(shares - 1 / 3) < 0.05).all())


@given(choices, st.integers(0, 2**32))
def test_a_mutant_is_another_network(drawn: tuple[int, ...], seed: int) -> None:
    arch = Architecture("mobilenetv3", drawn)
    mutant = SPACE.mutate(arch, np.random.default_rng(seed))
    assert SPACE.canonical(mutant) != SPACE.canonical(arch)
    assert sum(a != b for a, b in zip(mutant.choices, arch.choices, strict=True)) == 1


def test_mutation_reaches_every_decision_that_matters() -> None:
    rng = np.random.default_rng(0)
    smallest = from_official({"ks": [3] * 20, "e": [3] * 20, "d": [2] * 5})
    reached = {SPACE.canonical(SPACE.mutate(smallest, rng)) for _ in range(1000)}
    near = [SPACE.canonical(arch) for arch in SPACE.neighbours(smallest)]
    assert reached == set(near)
    assert len(reached) == len(near) == 5 * 2 * (1 + 2 * 2)
    assert SPACE.canonical(smallest) not in reached
