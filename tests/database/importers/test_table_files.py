import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metad2a.database.importers.oracle_table import read_table
from metad2a.database.importers.table_files import import_table
from metad2a.errors import DatabaseError, UnknownNameError
from metad2a.oracles.table import TableOracle
from metad2a.runtime import numpy_rng
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()
ARCHS = list(dict.fromkeys(SPACE.sample(5, numpy_rng("table files"))))
TEXTS = [SPACE.format(arch) for arch in ARCHS]


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "index": range(5),
            "arch": TEXTS,
            "digits": [90.125, 91.0, 10.0, float("nan"), 88.88],
            "note": ["a", "b", "c", "d", "e"],
        }
    )


@pytest.mark.parametrize("out", ["table.csv", "table.parquet"])
@pytest.mark.parametrize("source", ["source.csv", "source.parquet"])
def test_tables_are_checked_and_written_anew(source: str, out: str, table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / source
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    columns, left_out = import_table(path, tmp_path / out, licence="CC BY 4.0")
    assert (columns, left_out) == (["index", "digits"], ["note"])
    found = read_table(tmp_path / out)
    assert found["arch"].tolist() == TEXTS
    np.testing.assert_array_equal(found["digits"], table["digits"])
    described = json.loads((tmp_path / f"{out}.json").read_text())
    assert described["licence"] == "CC BY 4.0"
    assert described["missing"] == {"digits": 1}
    assert described["read"][0]["file"] == source
    assert described["command"] == f"metad2a import table {source} OUT --space nasbench201"
    assert described["table"]["bytes"] == (tmp_path / out).stat().st_size
    oracle = TableOracle.from_file(tmp_path / out, "index", SPACE)
    assert oracle.evaluate(ARCHS).tolist() == [0, 1, 2, 3, 4]


def test_other_tables_are_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    path, out = tmp_path / "source.csv", tmp_path / "table.csv"

    def refused(change: pd.DataFrame, message: str) -> None:
        change.to_csv(path, index=False)
        with pytest.raises(DatabaseError, match=message):
            import_table(path, out)

    refused(table.rename(columns={"arch": "cell"}), "has no column 'arch'; it has: index, cell, digits, note")
    refused(table.iloc[:0], "has no rows")
    refused(table[["arch", "note"]], "no column of numbers was found")
    refused(table.assign(arch=[*TEXTS[:4], "|none~0|"]), "data row 5: .* is no architecture of 'nasbench201'")
    refused(table.assign(arch=[*TEXTS[:4], TEXTS[0]]), "more than once")
    with pytest.raises(UnknownNameError, match="nasbench201"):
        import_table(path, out, space="nasbench")
    with pytest.raises(DatabaseError, match=r"cannot read .*none\.csv"):
        import_table(tmp_path / "none.csv", out)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DatabaseError, match=r"cannot read .*bad\.parquet"):
        import_table(tmp_path / "bad.parquet", out)
    assert not out.exists()
