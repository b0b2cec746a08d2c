"""NAS-Bench-201 is what its authors published."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from metad2a.errors import ArchitectureError, ConfigError
from metad2a.spaces.base import ArchBatch, Architecture
from metad2a.spaces.nasbench201 import NASBench201

FIRST = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
SPACE = NASBench201()
choices = st.tuples(*[st.integers(0, 4)] * 6)


@pytest.fixture(scope="module")
def published(shared_data: Path) -> dict[str, list[str]]:
    with (shared_data / "nasbench201" / "nasbench201_cifar10.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {column: [row[column] for row in rows] for column in rows[0]}


# --- names --------------------------------------------------------------------------------------------------


def test_operations_stand_in_the_order_of_the_text() -> None:
    arch = SPACE.parse(FIRST)
    assert arch == Architecture("nasbench201", (4, 2, 1, 2, 1, 1))
    assert SPACE.format(arch) == FIRST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1 expected '|', found the end"),
        ("none", "character 1 expected '|', found 'none'"),
        ("|~0|", "character 2 expected an operation (none, skip_connect, nor_conv_1x1,"),
        ("|nor_conv_3x4~0|", "character 2: unknown operation 'nor_conv_3x4'. Did you mean 'nor_conv_3x3'?"),
        ("|none~1|", "character 6 expected '~0|', found '~1|'"),
        ("|none~0||none~0|none~1|", "character 9 expected '+|', found '|none~0|none~1|'"),
        ("|none~0|+|none~0|+", "character 18 expected an operation"),
        (FIRST[:-1], "character 93 expected '~2|', found '~2'"),
        (FIRST + "+", "character 96 expected the end, found '+'"),
        (" " + FIRST, "character 1 expected '|'"),
    ],
)
def test_a_wrong_text_is_explained(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        SPACE.parse(text)


@given(st.text(alphabet="|~+0123 none_skip", max_size=40) | st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        arch = SPACE.parse(text)
    except ArchitectureError:
        return
    assert SPACE.format(arch) == text


def test_texts_and_canonical_texts_are_the_published_ones(published: dict[str, list[str]]) -> None:
    archs = [SPACE.parse(text) for text in published["arch"]]
    assert set(archs) == set(SPACE.enumerate())
    assert [SPACE.canonical(arch) for arch in archs] == published["canonical"]
    assert [SPACE.format(arch) for arch in archs] == published["arch"]


def test_there_are_6466_functions_in_15625_cells() -> None:
    assert SPACE.size == 15_625
    assert len({SPACE.canonical(arch) for arch in SPACE.enumerate()}) == 6_466


def test_cells_are_listed_by_counting() -> None:
    numbers = np.array([arch.choices for arch in SPACE.enumerate()]) @ 5 ** np.arange(5, -1, -1)
    assert numbers.tolist() == list(range(15_625))


# --- graphs -------------------------------------------------------------------------------------------------


def test_graphs_are_those_of_the_published_database() -> None:
    graphs = SPACE.encode([SPACE.parse(FIRST)])
    assert graphs.types.tolist() == [[0, 6, 4, 3, 4, 3, 3, 1]]
    edges = "0>1 1>2 1>3 1>5 2>3 2>6 3>4 3>6 4>5 5>6 6>7"
    assert " ".join(f"{u}>{v}" for u, v in graphs.edges[0].nonzero().tolist()) == edges


def test_the_topology_belongs_to_the_space() -> None:
    line = [(node, node + 1) for node in range(7)]
    space = NASBench201(topology=line)
    assert space.topology.nonzero().tolist() == [list(edge) for edge in line]
    archs = space.sample(3, np.random.default_rng(0))
    assert torch.equal(space.encode(archs).edges, space.topology.expand(3, 8, 8))
    assert SPACE.decode(space.encode(archs)) == archs


def test_nobody_can_change_the_topology_from_outside() -> None:
    before = SPACE.topology
    SPACE.topology.zero_()
    SPACE.encode([SPACE.parse(FIRST)]).edges.zero_()
    assert torch.equal(SPACE.topology, before)
    assert bool(before.any())


@pytest.mark.parametrize("edge", [(1, 1), (2, 1), (0, 8), (-1, 3)])
def test_a_wrong_topology_is_refused(edge: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=re.escape(str(edge))):
        NASBench201(topology=[(0, 1), edge])


@given(st.lists(choices, max_size=5), st.integers(0, 3))
def test_decoding_looks_at_types_and_mask_alone(drawn: list[tuple[int, ...]], padding: int) -> None:
    archs = [Architecture("nasbench201", row) for row in drawn]
    graphs = SPACE.encode(archs)
    pad = torch.nn.functional.pad
    wider = ArchBatch(
        pad(graphs.types, (0, padding)),
        torch.zeros(len(archs), 8 + padding, 8 + padding, dtype=torch.bool),
        pad(graphs.mask, (0, padding)),
    )
    assert SPACE.decode(wider) == archs


@given(st.lists(st.lists(st.integers(-1, 7), min_size=8, max_size=8), min_size=1, max_size=8))
def test_only_start_six_operations_end_is_a_cell(rows: list[list[int]]) -> None:
    types = torch.tensor(rows)
    graphs = ArchBatch(
        types, torch.zeros(len(rows), 8, 8, dtype=torch.bool), torch.ones_like(types, dtype=torch.bool)
    )
    for row, arch in zip(rows, SPACE.decode(graphs), strict=True):
        valid = row[0] == 0 and row[-1] == 1 and all(2 <= kind <= 6 for kind in row[1:-1])
        assert (arch is not None) == valid


def test_graphs_with_too_few_or_too_many_vertices_are_no_cells() -> None:
    graphs = SPACE.encode([SPACE.parse(FIRST)])
    short = ArchBatch(graphs.types[:, :7], graphs.edges[:, :7, :7], graphs.mask[:, :7])
    nine = ArchBatch(
        torch.tensor([[0, 6, 4, 3, 4, 3, 3, 1, 2]]),
        torch.zeros(1, 9, 9, dtype=torch.bool),
        torch.ones(1, 9, dtype=torch.bool),
    )
    assert SPACE.decode(short) == [None]
    assert SPACE.decode(nine) == [None]


# --- networks -----------------------------------------------------------------------------------------------


def test_the_first_published_network_has_its_parameters() -> None:
    arch = SPACE.parse(FIRST)
    network = SPACE.build(arch, 10)
    assert sum(weight.numel() for weight in network.parameters()) == 129_306
    assert SPACE.params([arch], 10).tolist() == [129_306]


def test_all_networks_have_their_published_parameters(published: dict[str, list[str]]) -> None:
    archs = [SPACE.parse(text) for text in published["arch"]]
    millions = np.array(published["params_m_cifar10"], dtype=float)
    # The published figures have six significant digits.
    np.testing.assert_allclose(SPACE.params(archs, 10) / 1e6, millions, rtol=5.1e-6)


@pytest.mark.parametrize("resolution", [1, 5, 16, 27, 32])
@pytest.mark.parametrize("scale", [{"channels": 4, "cells": 1}, {"channels": 3, "cells": 2}])
def test_costs_are_those_of_the_networks(resolution: int, scale: dict[str, int]) -> None:
    archs = SPACE.sample(4, np.random.default_rng(resolution))
    params, flops = [], []
    for arch in archs:
        network = SPACE.build(arch, 7, **scale).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, resolution, resolution))
        flops.append(counter.get_total_flops())
        params.append(sum(weight.numel() for weight in network.parameters()))
    assert SPACE.params(archs, 7, **scale).tolist() == params
    assert (2 * SPACE.flops(archs, 7, resolution, **scale)).tolist() == flops


def test_params_and_flops_rank_all_cells_alike() -> None:
    archs = list(SPACE.enumerate())
    params, flops = SPACE.params(archs, 10), SPACE.flops(archs, 10, 32)
    assert len(np.unique(params)) == len(np.unique(flops)) == len(np.unique([params, flops], axis=1).T) == 28
    order = np.argsort(params)
    assert bool((np.diff(flops[order]) >= 0).all())


@given(choices)
def test_every_parameter_has_a_gradient(drawn: tuple[int, ...]) -> None:
    network = SPACE.build(Architecture("nasbench201", drawn), 2, channels=2, cells=1)
    network(torch.ones(2, 3, 8, 8)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_a_cell_of_zeros_ignores_the_image() -> None:
    network = SPACE.build(Architecture("nasbench201", (0,) * 6), 3, channels=4, cells=1).eval()
    one, other = network(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(one, other)


def test_nodes_are_sums_of_their_edges() -> None:
    """A cell of skip connections alone: node 1 = x, node 2 = 2x, node 3 = 4x."""
    cell = SPACE.build(Architecture("nasbench201", (1,) * 6), 2, channels=4, cells=1).stage1[0]
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cell(x), 4 * x)


def test_average_pooling_ignores_the_padding() -> None:
    cell = SPACE.build(Architecture("nasbench201", (0, 0, 0, 4, 0, 0)), 2, channels=4, cells=1).stage1[0]
    torch.testing.assert_close(cell(torch.ones(1, 4, 6, 6)), torch.ones(1, 4, 6, 6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": 3, "channels": 0}, "channels=0"),
        ({"num_classes": 3, "cells": -1}, "cells=-1"),
        ({"num_classes": 3, "chanels": 8}, "Did you mean 'channels'?"),
    ],
)
def test_impossible_networks_are_explained(options: dict[str, int], message: str) -> None:
    arch = SPACE.parse(FIRST)
    for make in (SPACE.build, lambda a, **o: SPACE.params([a], **o)):
        with pytest.raises(ArchitectureError, match=re.escape(message)):
            make(arch, **options)
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        SPACE.flops([arch], resolution=32, **options)


def test_images_need_a_pixel() -> None:
    with pytest.raises(ArchitectureError, match="0 pixels a side"):
        SPACE.flops([SPACE.parse(FIRST)], 3, 0)


# --- imports ------------------------------------------------------------------------------------------------


def test_the_space_needs_torch_and_numpy_alone() -> None:
    code = (
        "import sys, metad2a.spaces.nasbench201, metad2a.spaces.convert\n"
        "heavy = {'torch_geometric', 'torchvision', 'pandas', 'matplotlib', 'hydra', 'wandb', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
