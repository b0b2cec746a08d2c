"""Which graphs lead from START to END."""

import pytest
import torch

from metad2a.spaces.base import ArchBatch

LINE = [(0, 1), (1, 2), (2, 3)]


def graph(types: list[int], edges: list[tuple[int, int]], width: int = 6) -> ArchBatch:
    batch = ArchBatch(
        torch.zeros(1, width, dtype=torch.long),
        torch.zeros(1, width, width, dtype=torch.bool),
        torch.zeros(1, width, dtype=torch.bool),
    )
    batch.types[0, : len(types)] = torch.tensor(types)
    batch.mask[0, : len(types)] = True
    for u, v in edges:
        batch.edges[0, u, v] = True
    return batch


@pytest.mark.parametrize(
    ("types", "edges", "expected"),
    [
        ([0, 3, 4, 1], LINE, True),
        ([0, 3, 4, 1], [(0, 1), (0, 2), (1, 3), (2, 3)], True),
        ([0, 3, 4, 1], [(0, 1), (1, 3), (2, 3)], False),  # nothing enters vertex 2
        ([0, 3, 4, 1], [(0, 1), (0, 2), (2, 3)], False),  # nothing leaves vertex 1
        ([0, 0, 4, 1], LINE, False),  # two STARTs
        ([0, 1, 4, 1], LINE, False),  # two ENDs
        ([0, 3, 4, 5], LINE, False),  # no END
        ([0, 1], [(0, 1)], True),
        ([0, 3, 4, 5, 2, 1], [*LINE, (3, 4), (4, 5)], True),  # no padding
    ],
)
def test_connected(types: list[int], edges: list[tuple[int, int]], expected: bool) -> None:
    one = graph(types, edges)
    assert one.connected().tolist() == [expected]
    among = ArchBatch.cat([graph([0, 3, 4, 1], LINE), one, graph([0, 3, 1], [])])
    assert among.connected().tolist() == [True, expected, False]
