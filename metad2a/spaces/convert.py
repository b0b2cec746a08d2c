"""Architecture graphs as torch_geometric data, for graph networks, interchange and plots, and back.

A graph with V vertices and E edges has the fields

- ``x`` (V,) int64: vertex types, in topological order, without padding;
- ``edge_index`` (2, E) int64: sources and targets.

A batch has them for all its graphs together, and

- ``batch`` (V,) int64: the graph of each vertex;
- ``ptr`` (B+1,) int64: the first vertex of each graph.
"""

from collections.abc import Sequence

import torch

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import ArchBatch


def to_pyg(graphs: ArchBatch) -> "list[torch_geometric.data.Data]":
    """Return each of ``graphs`` as a ``Data``. For a graph network, ``to_pyg_batch`` is much faster."""
    from torch_geometric.data import Data

    owner, source, target = graphs.edges.nonzero(as_tuple=True)
    types = graphs.types[graphs.mask].split(graphs.mask.sum(dim=1).tolist())
    edges = torch.stack([source, target]).split(owner.bincount(minlength=len(graphs)).tolist(), dim=1)
    return [Data(x=x, edge_index=edge_index) for x, edge_index in zip(types, edges, strict=True)]


def to_pyg_batch(graphs: ArchBatch) -> "torch_geometric.data.Batch":
    """Return ``graphs`` as one ``Batch``, which cannot be taken apart again by its ``to_data_list()``."""
    from torch_geometric.data import Batch

    ptr = torch.nn.functional.pad(graphs.mask.sum(dim=1).cumsum(dim=0), (1, 0))
    owner, source, target = graphs.edges.nonzero(as_tuple=True)
    return Batch(
        x=graphs.types[graphs.mask],
        edge_index=torch.stack([source, target]) + ptr[owner],
        batch=graphs.mask.nonzero(as_tuple=True)[0],
        ptr=ptr,
    )


def from_pyg(
    data: "torch_geometric.data.Batch | Sequence[torch_geometric.data.Data]", *, num_nodes: int | None = None
) -> ArchBatch:
    """Return the graphs of a ``Batch``, or of one or more ``Data``.

    Args:
        data: the graphs.
        num_nodes: ``N``, which is ``num_nodes`` of the space; by default the vertices of the largest graph.

    Raises:
        ArchitectureError: ``x`` or ``edge_index`` is missing or of another kind, a graph has more than
            ``num_nodes`` vertices, or an edge does not go from an earlier to a later vertex.
    """
    from torch_geometric.data import Batch

    batch = data if isinstance(data, Batch) else Batch.from_data_list(list(data))
    _check(batch)
    widest = max(batch.ptr.diff().tolist(), default=0)
    if num_nodes is not None and widest > num_nodes:
        raise ArchitectureError(f"a graph has {widest} vertices, but the space has {num_nodes} at most.")
    shape = (batch.num_graphs, widest if num_nodes is None else num_nodes)
    place = torch.arange(len(batch.x), device=batch.x.device) - batch.ptr[batch.batch]
    source, target = batch.edge_index
    types = batch.x.new_zeros(shape)
    mask = torch.zeros_like(types, dtype=torch.bool)
    edges = mask.new_zeros(*shape, shape[1])
    types[batch.batch, place] = batch.x
    mask[batch.batch, place] = True
    edges[batch.batch[source], place[source], place[target]] = True
    return ArchBatch(types, edges, mask)


def _check(batch: "torch_geometric.data.Batch") -> None:
    if batch.x is None or batch.x.dim() != 1 or batch.x.is_floating_point() or batch.edge_index is None:
        raise ArchitectureError(
            f"{batch} holds no architectures: x must be the vertex types, whole numbers (V,), "
            "and edge_index the edges, (2, E)."
        )
    if bool((batch.edge_index[0] >= batch.edge_index[1]).any()):
        raise ArchitectureError("an edge goes from a later to an earlier vertex. Sort each graph topologically.")
