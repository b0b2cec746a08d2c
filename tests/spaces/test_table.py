"""Architectures by number."""

import pytest

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.table import ArchTable

SPACE = NASBench201()
A, B, C = (Architecture("nasbench201", (0, 0, 0, 0, 0, last)) for last in (0, 1, 2))


def test_numbers_are_places_in_the_table() -> None:
    table = ArchTable.from_texts(SPACE, [SPACE.format(C), SPACE.format(A)])
    assert len(table) == 2
    assert table.archs == (C, A)
    assert table.arch(1) == A
    assert table.index(C) == 0
    numbers = table.indices([A, C, A])
    assert numbers.dtype == "int64"
    assert numbers.tolist() == [1, 0, 1]
    assert table.indices([]).shape == (0,)
    assert C in table
    assert B not in table


def test_what_the_table_does_not_have_is_an_error() -> None:
    table = ArchTable((A, C))
    with pytest.raises(ArchitectureError, match=r"choices=\(0, 0, 0, 0, 0, 1\)"):
        table.indices([A, B])
    for number in (-1, 2):
        with pytest.raises(ArchitectureError, match=r"numbers are 0\.\.1"):
            table.arch(number)


def test_a_table_has_no_architecture_twice() -> None:
    with pytest.raises(ArchitectureError, match="twice, in rows 0 and 2"):
        ArchTable((A, B, A))


def test_a_wrong_text_is_named_by_its_row() -> None:
    with pytest.raises(ArchitectureError, match=r"row 1 of the table.*unknown operation 'nope'"):
        ArchTable.from_texts(SPACE, [SPACE.format(A), SPACE.format(B).replace("none", "nope", 1)])


def test_a_complete_table_misses_nothing() -> None:
    texts = [SPACE.format(arch) for arch in SPACE.enumerate() if arch != B]
    with pytest.raises(ArchitectureError, match=r"15624 of the 15625 .* is missing") as raised:
        ArchTable.from_texts(SPACE, texts, complete=True)
    assert SPACE.format(B) in str(raised.value)
