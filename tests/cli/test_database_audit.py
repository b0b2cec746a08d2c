"""metad2a database audit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metad2a.database.importers.benchmark_order import benchmark_order

Run = Callable[..., Any]


def write_benchmark(path: Path) -> None:
    texts = list(benchmark_order())
    pd.DataFrame({"arch": texts, "cifar10": np.linspace(10, 94, len(texts))}).to_csv(path, index=False)


def test_a_built_database(run: Run, database: Path, tmp_path: Path) -> None:
    write_benchmark(tmp_path / "truth.csv")
    options = ("--benchmark", "truth.csv", "--column", "cifar10", "--at-least", 3, "--json", "audit.json")
    outcome = run("database", "audit", database, *options).done()
    for words in ("tiny: 12 labels on 4 tasks", "cells among the best of truth.csv:cifar10", "wrote audit.json"):
        assert words in outcome.out
    for words in ("mean within tasks of 3 labels or more", "no cell was trained twice"):
        assert words in outcome.out
    found = json.loads((tmp_path / "audit.json").read_text())
    assert (found["labels"], found["tasks"], found["at_least"]) == (12, 4, 3)
    assert found["comparison"]["within"]["tasks"] <= 4
    assert found["comparison"]["top"][3]["percent"] == 50
    cells = found["comparison"]["cells"]
    assert cells == found["cells"]["distinct"]
    for words in ("% of 12 labels", f"% of {cells} distinct cells", f"% of {cells} drawn uniformly (95 %)"):
        assert words in outcome.out, "a share of a few is told as one"


def test_the_shipped_database_needs_no_benchmark(run: Run) -> None:
    outcome = run("database", "audit", "demo").done()
    assert "240 labels on 40 tasks" in outcome.out
    assert "among the best" not in outcome.out


def test_seeds_and_splits_are_shown(run: Run, tmp_path: Path) -> None:
    texts = benchmark_order()[:8]
    rows = [
        {"source": "pets", "classes": json.dumps(["a", letter]), "arch": text, "accuracy": 50 + 5 * i + seed}
        | {"seed": seed, "split": "valid" if letter == "c" else "train"}
        for letter in "bc"
        for i, text in enumerate(texts)
        for seed in (0, 1)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "records.csv", index=False)
    run("import", "records", "records.csv", "db").done()
    outcome = run("database", "audit", "db").done()
    for words in ("what 'valid' (16 labels) shares with 'train'", "noise: 16 cells with 32 labels on 2 tasks"):
        assert words in outcome.out
    assert "0.71" in outcome.out  # two labels that differ by 1


def test_wrong_arguments_are_refused(run: Run, database: Path, tmp_path: Path) -> None:
    write_benchmark(tmp_path / "truth.csv")
    run("database", "audit", database, "--benchmark", "truth.csv").refused(
        "--benchmark and --column belong together"
    )
    run("database", "audit", database, "--benchmark", "truth.csv", "--column", "cifar").refused("cifar10")
    run("database", "audit", "none").refused("there is no database 'none'")
    run("database", "audit", database, "--json", tmp_path).refused("it is a folder")
