import csv
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from metad2a.database.importers.official_table import import_nasbench201_table
from metad2a.errors import DatabaseError
from metad2a.oracles.table import TableOracle
from metad2a.runtime import numpy_rng
from metad2a.spaces.nasbench201 import OFFICIAL_TOPOLOGY, NASBench201

Graph = Callable[..., Any]


@pytest.fixture
def table(space: NASBench201, igraph: Graph) -> dict[str, Any]:
    """The official table's form, with five cells."""
    archs = list(dict.fromkeys(space.sample(5, numpy_rng("table"))))
    types = space.encode(archs).types.tolist()
    sources = [[u for u, v in OFFICIAL_TOPOLOGY if v == vertex] for vertex in range(8)]
    matrix = [
        [[kind, *(int(u in sources[v]) for u in range(v))] for v, kind in enumerate(kinds)] for kinds in types
    ]
    return {
        "arch": {
            "str": [space.format(arch) for arch in archs],
            "matrix": [str(matrix[0]), *matrix[1:]],  # the authors' code takes both
            "igraph": [igraph(OFFICIAL_TOPOLOGY, kinds) for kinds in types],
        },
        "test-acc": {"cifar100": [70.1, 71.25, 10.0, 66.0, 73.51], "cifar10": [93.0, 94.37, 10.0, 90.5, 91.125]},
    }


def test_the_table_becomes_an_oracle(
    table: dict[str, Any], space: NASBench201, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, out = tmp_path / "nasbench201.pt", tmp_path / "oracle.csv"
    torch.save(table, path)
    with caplog.at_level(logging.WARNING):
        assert import_nasbench201_table(path, out) == 5
    assert "lists 5 of 15625 cells" in caplog.text
    with out.open() as file:
        assert next(csv.reader(file)) == ["arch", "cifar10", "cifar100"]
    for name, values in table["test-acc"].items():
        oracle = TableOracle.from_file(out, name, space)
        archs = [space.parse(text) for text in table["arch"]["str"]]
        assert oracle.evaluate(archs).tolist() == values
    described = json.loads((tmp_path / "oracle.csv.json").read_text())
    assert described["read"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "MIT" in described["licence"]


def change(table: dict[str, Any], place: tuple[Any, ...], value: Any) -> None:
    *outer, last = place
    for key in outer:
        table = table[key]
    table[last] = value


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("arch",), None, r"must hold texts under \['arch'\]\['str'\]"),
        (("arch", "str"), [1, 2], r"must hold texts under \['arch'\]\['str'\]"),
        (("arch", "str", 2), "|none~0|", "is no architecture of 'nasbench201'"),
        (
            ("arch", "str", 2),
            "|{0}~0|+|{0}~0|{0}~1|+|{0}~0|{0}~1|{0}~2|".format("none"),
            "'matrix' and 'str' of cell 2",
        ),
        (("arch", "matrix", 4), [[0], [1]], "'matrix' and 'str' of cell 4 differ"),
        (("arch", "matrix", 4), "__import__('os')", "'matrix' and 'str' of cell 4 differ"),
        (("arch", "matrix"), [], "'matrix' is no list of as many cells"),
        (("arch", "igraph", 0), "graph", "'igraph' and 'str' of cell 0 differ"),
        (("test-acc",), {}, r"lists under \['test-acc'\]"),
        (("test-acc", "cifar10"), [1.0], "not one accuracy of each"),
        (("test-acc", "cifar10", 1), 101.0, "an accuracy of 'cifar10' is no percentage"),
        (("test-acc", "cifar10", 1), float("nan"), "an accuracy of 'cifar10' is no percentage"),
        (("test-acc", "cifar10", 1), "high", "'cifar10' are no accuracies"),
    ],
)
def test_other_content_is_refused(
    table: dict[str, Any], place: tuple[Any, ...], value: Any, message: str, tmp_path: Path
) -> None:
    path, out = tmp_path / "nasbench201.pt", tmp_path / "oracle.csv"
    change(table, place, value)
    torch.save(table, path)
    with pytest.raises(DatabaseError, match=message):
        import_nasbench201_table(path, out)
    assert not out.exists()


def test_cells_that_are_listed_twice(table: dict[str, Any], tmp_path: Path) -> None:
    for key in table["arch"]:
        table["arch"][key][3] = table["arch"][key][1]
    torch.save(table, tmp_path / "nasbench201.pt")
    with pytest.raises(DatabaseError, match="of its 5 cells 4 are distinct"):
        import_nasbench201_table(tmp_path / "nasbench201.pt", tmp_path / "oracle.csv")
