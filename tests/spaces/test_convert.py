"""Graphs survive the way to torch_geometric and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_add_pool

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import ArchBatch
from metad2a.spaces.convert import from_pyg, to_pyg, to_pyg_batch


@st.composite
def graphs(draw: st.DrawFn) -> ArchBatch:
    """Draw directed acyclic graphs of different sizes, some without edges, with padding."""
    width = draw(st.integers(1, 6))
    sizes = torch.tensor(draw(st.lists(st.integers(1, width), min_size=1, max_size=5)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    mask = torch.arange(width) < sizes[:, None]
    types = torch.randint(0, 9, mask.shape, generator=generator) * mask
    edges = torch.rand(len(sizes), width, width, generator=generator) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    return ArchBatch(types, edges.triu(1) & mask[:, :, None] & mask[:, None, :], mask)


def equal(a: ArchBatch, b: ArchBatch) -> bool:
    return torch.equal(a.types, b.types) and torch.equal(a.edges, b.edges) and torch.equal(a.mask, b.mask)


@given(graphs())
def test_the_way_back_gives_the_same_graphs(batch: ArchBatch) -> None:
    width = batch.types.shape[1]
    assert equal(from_pyg(to_pyg(batch), num_nodes=width), batch)
    assert equal(from_pyg(to_pyg_batch(batch), num_nodes=width), batch)


@given(graphs())
def test_both_ways_there_agree(batch: ArchBatch) -> None:
    listed, whole = Batch.from_data_list(to_pyg(batch)), to_pyg_batch(batch)
    assert whole.num_graphs == len(batch)
    for field in ("x", "edge_index", "batch", "ptr"):
        assert torch.equal(listed[field], whole[field])
    widest = int(batch.mask.sum(dim=1).max())
    assert from_pyg(listed).types.shape == (len(batch), widest)


@given(graphs())
def test_graph_networks_and_loaders_take_them(batch: ArchBatch) -> None:
    for data in to_pyg(batch):
        data.validate(raise_on_error=True)
    whole = to_pyg_batch(batch)
    sums = global_add_pool(whole.x[:, None], whole.batch)
    assert sums[:, 0].tolist() == batch.types.sum(dim=1).tolist()
    (loaded,) = DataLoader(to_pyg(batch), batch_size=len(batch))
    assert equal(from_pyg(loaded, num_nodes=batch.types.shape[1]), batch)


def test_no_graphs_are_no_graphs() -> None:
    none = ArchBatch(
        torch.zeros(0, 8, dtype=torch.int64),
        torch.zeros(0, 8, 8, dtype=torch.bool),
        torch.zeros(0, 8, dtype=torch.bool),
    )
    assert to_pyg(none) == []
    assert equal(from_pyg(to_pyg_batch(none), num_nodes=8), none)


CHAIN = Data(x=torch.tensor([0, 2, 1]), edge_index=torch.tensor([[0, 1], [1, 2]]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data(x=CHAIN.x), "edge_index"),
        (Data(edge_index=CHAIN.edge_index, num_nodes=3), "x must be the vertex types"),
        (Data(x=CHAIN.x[:, None], edge_index=CHAIN.edge_index), "x must be the vertex types"),
        (Data(x=CHAIN.x.float(), edge_index=CHAIN.edge_index), "x must be the vertex types"),
        (Data(x=CHAIN.x, edge_index=CHAIN.edge_index.flip(0)), "from a later to an earlier vertex"),
    ],
)
def test_other_data_are_refused(data: Data, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        from_pyg([data])


def test_larger_graphs_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="3 vertices, but the space has 2"):
        from_pyg([CHAIN], num_nodes=2)
