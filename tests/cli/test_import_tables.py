"""metad2a import of benchmarks' tables and one's own, to their use. Their forms: tests/database/importers/."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.database.published import MetaDatabase

Run = Callable[..., Any]
TEXTS = list(benchmark_order())


def test_a_table_of_ones_own_is_an_oracle(run: Run, npz: Path, tmp_path: Path) -> None:
    accuracy = np.linspace(10, 94, len(TEXTS))
    pd.DataFrame({"arch": TEXTS, "digits": accuracy, "note": "x"}).to_csv(tmp_path / "own.csv", index=False)
    outcome = run("import", "table", "own.csv", "table.parquet", "--licence", "CC0").done()
    for words in ("columns: digits", "left out, as they hold no numbers: note", "wrote table.parquet.json"):
        assert words in outcome.out
    assert json.loads((tmp_path / "table.parquet.json").read_text())["licence"] == "CC0"
    data = (f"dataset={npz}", "oracle=table.parquet", "oracle_column=digits")
    run("evaluate", *data, "seeds=1", "candidates=10", "json=out.json").done()
    assert 10 <= json.loads((tmp_path / "out.json").read_text())["metrics"]["top1"] <= 94


def test_latencies(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "ms.npz", phone=np.ones(len(TEXTS)))
    outcome = run("import", "latency", "ms.npz", "ms.csv", "--licence", "MIT (HELP)").done()
    assert "latency on 1 devices: phone" in outcome.out
    assert pd.read_csv(tmp_path / "ms.csv").columns.tolist() == ["arch", "phone"]
    run("import", "latency", "ms.npz", "ms.csv", "--dataset", "cifar10").refused("Leave --dataset out")


def test_records_of_ones_own_are_a_database(run: Run, tmp_path: Path) -> None:
    records = {"task": ["p", "q", "p"], "arch": TEXTS[:3], "accuracy": [50.0, 60.0, 70.0]}
    pd.DataFrame(records).to_csv(tmp_path / "records.csv", index=False)
    tasks = {"task": ["p", "q"], "source": ["pets"] * 2, "classes": ['["a", "b"]', '["a", "c"]']}
    pd.DataFrame(tasks).to_csv(tmp_path / "tasks.csv", index=False)
    options = ("--name", "mine", "--licence", "CC0", "--space", "nasbench201")
    outcome = run("import", "records", "records.csv", "tasks.csv", "db", *options).done()
    assert "3 records of 2 tasks" in outcome.out
    database = MetaDatabase.load(tmp_path / "db")
    assert (database.name, database.manifest["sources"]) == ("mine", {"pets": "CC0"})
    run("import", "records", "a.csv", "b.csv", "c.csv", "db").refused("reads 2 at most, but got 3")


@pytest.mark.parametrize("kind", ["nasbench201", "nats-bench", "analog-nasbench", "latency", "table", "records"])
def test_what_is_not_there_is_named(kind: str, run: Run, tmp_path: Path) -> None:
    run("import", kind, "none.npz", "out.csv").refused("none.npz")
    assert not list(tmp_path.iterdir())
    run("import", kind, "none.npz", "out.csv", "--which", "predictor").refused("--which means nothing")


def test_epochs_are_checked(run: Run) -> None:
    run("import", "nasbench201", "none.pth", "out.csv", "--epochs", 90).refused("no results of 90 epochs")
    run("import", "nats-bench", "none", "out.txt").refused("must end in .csv or .parquet")
