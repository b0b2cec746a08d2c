from decimal import Decimal

import pytest

from metad2a.search.told_apart import told_apart


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ([], []),
        ([93.0], ["93.00"]),
        ([94.221, 93.9], ["94.22", "93.90"]),
        ([41.1231, 41.1189, 40.9], ["41.123", "41.119", "40.900"]),
        ([41.12312, 41.12281, 40.9], ["41.1231", "41.1228", "40.9000"]),
        ([41.123, 40.9, 41.1231], ["41.12", "40.90", "41.12"]),  # no neighbours
        ([41.123, 41.123, 40.9], ["41.12", "41.12", "40.90"]),  # equal ones need no more
        ([41.12301, 41.12302, 40.9], ["41.12", "41.12", "40.90"]),  # four decimals would not do, either
        ([41.12301, 41.12302, 41.1189], ["41.123", "41.123", "41.119"]),
        ([41.1, float("nan"), 40.0], ["41.10", "NaN", "40.00"]),
    ],
)
def test_as_few_decimals_as_tell_neighbours_apart(numbers: list[float], texts: list[str]) -> None:
    found = told_apart(numbers)
    assert [str(number) for number in found] == texts
    assert all(isinstance(number, Decimal) for number in found)
