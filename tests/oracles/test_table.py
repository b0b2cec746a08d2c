import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from metad2a.errors import DataError, UnknownNameError
from metad2a.oracles.table import TableOracle
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.oracles import OracleContract

SPACE = NASBench201()
ARCHS = list(dict.fromkeys(SPACE.sample(6, numpy_rng("archs"))))
TEXTS = [SPACE.format(arch) for arch in ARCHS]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a good table after one change to it."""

    def table(*, archs: Sequence[str] = TEXTS, encoding: str = "utf-8", **columns: Sequence[object]) -> Path:
        path = tmp_path / "oracle.csv"
        columns = {"arch": archs, "digits": [10 * row + 0.5 for row in range(len(archs))]} | columns
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        return path

    return table


class TestTableOracle(OracleContract):
    @pytest.fixture
    def oracle(self, write: Write) -> TableOracle:
        return TableOracle.from_file(write(), "digits", SPACE)

    @pytest.fixture
    def archs(self) -> Sequence[Architecture]:
        return ARCHS


def test_reads_what_is_written(write: Write) -> None:
    oracle = TableOracle.from_file(write(), "digits", SPACE)
    assert oracle.archs == ARCHS
    assert oracle.evaluate(ARCHS[::-1]).tolist() == [50.5, 40.5, 30.5, 20.5, 10.5, 0.5]
    assert oracle.best == 50.5
    assert oracle.name == "oracle.csv:digits"


def test_the_bounds_and_whole_numbers_are_percentages(write: Write) -> None:
    oracle = TableOracle.from_file(write(letters=[0, 100, 1, 2, 3, 4]), "letters", SPACE)
    assert oracle.evaluate(ARCHS[:2]).tolist() == [0.0, 100.0]


def test_a_byte_order_mark_and_other_columns_do_no_harm(write: Write) -> None:
    path = write(encoding="utf-8-sig", params=[1] * 6, notes=["", "x", "y", "ü", "1", "2"])
    assert TableOracle.from_file(path, "digits", SPACE).evaluate(ARCHS[:1]).tolist() == [0.5]


def test_an_architecture_that_is_not_listed(write: Write) -> None:
    oracle = TableOracle.from_file(write(), "digits", SPACE)
    other = next(arch for arch in SPACE.neighbours(ARCHS[0]) if arch not in ARCHS)
    with pytest.raises(DataError) as error:
        oracle.evaluate([ARCHS[0], other])
    assert f"oracle.csv:digits does not list '{SPACE.format(other)}'" in str(error.value)


def test_a_file_that_is_missing_or_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the oracle .*missing\.csv"):
        TableOracle.from_file(tmp_path / "missing.csv", "digits", SPACE)
    with pytest.raises(DataError, match="cannot read the oracle"):
        TableOracle.from_file(tmp_path, "digits", SPACE)
    for content in (b"", b"\xff\xfe\x00", b"arch,digits\n1,2,3\n1,2,3,4\n"):
        path = tmp_path / "none.csv"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"oracle .*none\.csv"):
            TableOracle.from_file(path, "digits", SPACE)


def test_no_rows(write: Write) -> None:
    with pytest.raises(DataError, match="has no rows"):
        TableOracle.from_file(write(archs=[]), "digits", SPACE)


def test_no_column_of_architectures(tmp_path: Path) -> None:
    path = tmp_path / "oracle.csv"
    path.write_text("cell,digits\nx,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"has no column 'arch'; it has: cell, digits\."):
        TableOracle.from_file(path, "digits", SPACE)


def test_an_unknown_column(write: Write) -> None:
    with pytest.raises(UnknownNameError, match=r"'digit'\. Did you mean 'digits'\? Known: digits, letters\."):
        TableOracle.from_file(write(letters=range(6), notes=list("abcdef")), "digit", SPACE)


@pytest.mark.parametrize(
    ("wrong", "shown"), [(100.5, "100.5"), (-1, "-1"), ("", "nan"), ("inf", "inf"), ("91.2%", "91.2%")]
)
def test_what_is_no_percentage(write: Write, wrong: object, shown: str) -> None:
    path = write(digits=[1, 2, wrong, 4, 5, -6])
    with pytest.raises(DataError, match=rf"column 'digits' of .* holds '{shown}(\.0)?' in data row 3"):
        TableOracle.from_file(path, "digits", SPACE)


def test_an_architecture_twice(write: Write) -> None:
    archs = [*TEXTS[:4], TEXTS[1], TEXTS[5]]
    with pytest.raises(DataError) as error:
        TableOracle.from_file(write(archs=archs), "digits", SPACE)
    assert f"lists '{TEXTS[1]}' more than once, in data rows 2 and 5" in str(error.value)


@pytest.mark.parametrize("wrong", ["", "7", "|nor_conv_9x9~0|", TEXTS[0] + "?"])
def test_a_row_that_is_no_architecture(write: Write, wrong: str) -> None:
    with pytest.raises(DataError, match=r"oracle.csv, data row 3: '.*' is no architecture of 'nasbench201'"):
        TableOracle.from_file(write(archs=[*TEXTS[:2], wrong, *TEXTS[3:]]), "digits", SPACE)


def test_a_table_made_in_memory() -> None:
    oracle = TableOracle(dict(zip(ARCHS, np.linspace(1, 6, 6).tolist(), strict=True)), SPACE, name="mine")
    assert oracle.evaluate(ARCHS).tolist() == [1, 2, 3, 4, 5, 6]
    assert (oracle.name, oracle.best) == ("mine", 6)
