"""Files of exactly the layouts of NAS-Bench-201 and NATS-Bench, of a few cells."""

import bz2
import copy
import json
import logging
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.database.importers.benchmark_trials import RESULTS
from metad2a.database.importers.nats_bench import import_nasbench201, import_nats_bench
from metad2a.errors import ConfigError, DatabaseError, OutputError
from metad2a.spaces.nasbench201 import NASBench201

SUBSETS = {
    "cifar10-valid": ["x-valid", "ori-test"],
    "cifar10": ["ori-test"],
    "cifar100": ["ori-test", "x-valid", "x-test"],
    "ImageNet16-120": ["ori-test", "x-valid", "x-test"],
}
State = dict[str, Any]


def accuracy(index: int, dataset: str, subset: str, seed: int, epoch: int) -> float:
    """Return a figure that no two places share."""
    place = list(SUBSETS).index(dataset) * 3 + SUBSETS[dataset].index(subset)
    return 20 + 5 * place + index / 10 + (seed - 777) / 1110 + epoch / 1000


def result(index: int, dataset: str, seed: int, epochs: int) -> State:
    """What the benchmark's class ResultsCount keeps of one training."""
    keys = [(subset, epoch) for subset in SUBSETS[dataset] for epoch in range(epochs)]
    names = {key: f"{key[0]}@{key[1]}" for key in keys}
    return {
        "name": dataset,
        "net_state_dict": None,
        "train_acc1es": {epoch: 50.0 + epoch / 9 for epoch in range(epochs)},
        "train_acc5es": {epoch: 80.0 + epoch / 99 for epoch in range(epochs)},
        "train_losses": {epoch: 1.0 / (epoch + 1) for epoch in range(epochs)},
        "train_times": OrderedDict((epoch, 10.5) for epoch in range(epochs)),
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": benchmark_order()[index], "class_num": 10},
        "params": np.float64(0.1293),
        "flop": 15.65,
        "seed": seed,
        "epochs": epochs,
        "latency": [0.0139, 0.0141],
        "eval_names": list(SUBSETS[dataset]),
        "eval_acc1es": {names[key]: accuracy(index, dataset, key[0], seed, key[1]) for key in keys},
        "eval_times": {names[key]: 1.25 for key in keys},
        "eval_losses": {names[key]: 0.5 for key in keys},
    }


def cell(index: int, seeds: dict[str, list[int]], epochs: int) -> State:
    """What the benchmark's class ArchResults keeps of one cell."""
    return {
        "arch_index": index,
        "arch_str": benchmark_order()[index],
        "all_results": {
            (dataset, seed): result(index, dataset, seed, epochs)
            for dataset, of_dataset in seeds.items()
            for seed in of_dataset
        },
        "dataset_seed": {dataset: list(of_dataset) for dataset, of_dataset in seeds.items()},
        "clear_net_done": True,
    }


FULL = {dataset: [777, 888] for dataset in SUBSETS}
ONE = {dataset: [777] for dataset in SUBSETS}


@pytest.fixture
def benchmark() -> dict[str, Any]:
    """The content of NAS-Bench-201's file v1.0, where 12 epochs are of one data set; cell 1 has two seeds."""
    less = {"cifar10-valid": [777]}
    return {
        "meta_archs": list(benchmark_order()),
        "total_archs": 15625,
        "basestr": "C16-N5",
        "arch2infos": {
            index: {"full": cell(index, FULL if index == 1 else ONE, 200), "less": cell(index, less, 12)}
            for index in range(3)
        },
        "evaluated_indexes": {0, 1, 2},
    }


Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def save(content: dict[str, Any]) -> Path:
        path = tmp_path / "NAS-Bench-201-v1_0-e61699.pth"
        torch.save(content, path, _use_new_zipfile_serialization=False)  # as torch did in 2020
        return path

    return save


def expected(column: str, seeds: list[int], index: int, epochs: int) -> float:
    dataset, subset, _ = RESULTS[column]
    return float(np.mean([accuracy(index, dataset, subset, seed, epochs - 1) for seed in seeds]))


def test_the_order_is_the_benchmarks(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "nasbench201" / "nasbench201_cifar10.csv")
    assert table["arch"].tolist() == list(benchmark_order())


def test_known_places_of_the_order() -> None:
    order = benchmark_order()
    assert order[9] == "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    assert order[123] == "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    assert len(set(order)) == NASBench201().size


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_nasbench201_becomes_a_table(
    name: str, benchmark: dict[str, Any], write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, out = write(benchmark), tmp_path / name
    with caplog.at_level(logging.WARNING):
        assert import_nasbench201(path, out) == 3
    assert "holds results of 3 of 15625 architectures" in caplog.text
    table = pd.read_parquet(out) if out.suffix == ".parquet" else pd.read_csv(out)
    assert table.columns.tolist() == ["arch", *RESULTS]
    assert table["arch"].tolist() == list(benchmark_order()[:3])
    for column in RESULTS:
        means = [expected(column, [777, 888] if index == 1 else [777], index, 200) for index in range(3)]
        assert table[column].to_numpy() == pytest.approx(means, abs=1e-6)

    described = json.loads((tmp_path / f"{name}.json").read_text())
    assert described["version"] == "v1.0 (e61699)"
    assert described["licence"].startswith("MIT")
    assert described["read"][0]["file"] == path.name
    assert described["read"][0]["bytes"] == path.stat().st_size
    assert described["notes"]["architectures_by_number_of_seeds"]["cifar100"] == {"1": 2, "2": 1}
    assert described["notes"]["standard_deviation_between_seeds"]["cifar10"] == pytest.approx(0.1 / np.sqrt(2))
    assert set(described["columns"]) == set(RESULTS)


def test_twelve_epochs_of_the_first_version(benchmark: dict[str, Any], write: Write, tmp_path: Path) -> None:
    import_nasbench201(write(benchmark), tmp_path / "table.csv", epochs=12)
    table = pd.read_csv(tmp_path / "table.csv")
    assert table.columns.tolist() == ["arch", "cifar10-valid"]
    assert table["cifar10-valid"][2] == pytest.approx(expected("cifar10-valid", [777], 2, 12), abs=1e-6)


def test_a_data_set_that_some_cells_lack_is_empty_there(
    benchmark: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    state = benchmark["arch2infos"][1]["full"]
    del state["dataset_seed"]["cifar100"]
    import_nasbench201(write(benchmark), tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["cifar100"].isna().tolist() == [False, True, False]
    assert table["cifar10"].notna().all()
    assert json.loads((tmp_path / "table.csv.json").read_text())["missing"] == {"cifar100": 1, "cifar100-valid": 1}


RESULT = ("arch2infos", 2, "full", "all_results", ("cifar10", 777))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("meta_archs",), None, "must hold a list meta_archs"),
        (("meta_archs", 5), benchmark_order()[6], r"lists 15625 \(15624 distinct\)"),
        (("meta_archs", 5), "|none~0|", "lists '.none~0.', which is no cell"),
        (("total_archs",), 15624, "there are 15624 cells, and lists 15625"),
        (("arch2infos",), {}, "must hold a dictionary arch2infos"),
        (("arch2infos", "x"), {}, "must hold a dictionary arch2infos"),
        (("evaluated_indexes",), {0, 1}, "2 cells were evaluated, and holds 3"),
        (("arch2infos", 2), {"less": {}}, "architecture 2 has no results of 200 epochs"),
        (("arch2infos", 2, "full", "arch_str"), benchmark_order()[3], "contradicts itself: architecture 2"),
        (("arch2infos", 2, "full", "dataset_seed"), None, "architecture 2 are damaged or incomplete"),
        (("arch2infos", 2, "full", "dataset_seed", "cifar10"), [777, 999], r"KeyError: \('cifar10', 999\)"),
        ((*RESULT, "epochs"), 90, "90 epochs, not 200"),
        ((*RESULT, "eval_acc1es"), {"ori-test@0": 50.0}, "KeyError: 'ori-test@199'"),
        ((*RESULT, "eval_acc1es", "ori-test@199"), 100.5, "an accuracy of 100.5"),
        ((*RESULT, "eval_acc1es", "ori-test@199"), float("nan"), "an accuracy of nan"),
        ((*RESULT, "eval_acc1es", "ori-test@199"), "high", "could not convert"),
    ],
)
def test_other_content_is_refused(
    place: tuple[Any, ...], value: Any, message: str, benchmark: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    content = copy.deepcopy(benchmark)
    inner: Any = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(DatabaseError, match=message):
        import_nasbench201(write(content), tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


def test_what_cannot_be_written_is_said_before_reading(tmp_path: Path) -> None:
    for importer in (import_nasbench201, import_nats_bench):
        with pytest.raises(DatabaseError, match=r"must end in \.csv or \.parquet"):
            importer(tmp_path / "none", tmp_path / "table.xlsx")
        with pytest.raises(ConfigError, match="there are no results of 90 epochs"):
            importer(tmp_path / "none", tmp_path / "table.csv", epochs=90)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        import_nasbench201(tmp_path / "none", tmp_path / "folder.csv")


# --- NATS-Bench: a folder ------------------------------------------------------------------------------------


def pack(path: Path, content: Any) -> None:
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Cells 0 to 2; cell 1 was trained from two seeds, and keeps its weights as in the -full folder."""
    folder = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    meta = {"meta_archs": list(benchmark_order()), "total_archs": 15625, "arch2infos": None}
    pack(folder / "meta.pickle.pbz2", meta | {"evaluated_indexes": set()})
    for index in range(3):
        state = OrderedDict({"12": cell(index, ONE, 12), "200": cell(index, FULL if index == 1 else ONE, 200)})
        if index == 1:
            weights = OrderedDict({"stem.0.weight": torch.ones(16, 3, 3, 3)})
            state["200"]["all_results"]["cifar10", 888]["net_state_dict"] = weights
        pack(folder / f"{index:06d}.pickle.pbz2", state)
    return folder


@pytest.mark.parametrize("epochs", [12, 200])
def test_nats_bench_becomes_a_table(epochs: int, folder: Path, tmp_path: Path) -> None:
    (folder / "000002.pickle.pbz2").rename(folder / "2.pickle.pbz2")  # the authors' code reads both names
    assert import_nats_bench(folder, tmp_path / "table.csv", epochs=epochs) == 3
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["arch"].tolist() == list(benchmark_order()[:3])
    for column in RESULTS:
        seeds = [[777], [777, 888] if epochs == 200 else [777], [777]]
        means = [expected(column, seeds[index], index, epochs) for index in range(3)]
        assert table[column].to_numpy() == pytest.approx(means, abs=1e-6)
    described = json.loads((tmp_path / "table.csv.json").read_text())
    assert described["version"] == "v1.0 (3ffb9)"
    assert described["read"][0]["files"] == 4


def test_the_checksum_is_that_of_the_shells_tools(folder: Path, tmp_path: Path) -> None:
    import subprocess

    import_nats_bench(folder, tmp_path / "table.csv")
    printed = subprocess.run("sha256sum * | sha256sum", shell=True, cwd=folder, capture_output=True, check=True)  # noqa: S602
    described = json.loads((tmp_path / "table.csv.json").read_text())
    assert printed.stdout.decode().split()[0] == described["read"][0]["sha256"]


def test_missing_cells_are_left_out(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "000001.pickle.pbz2").unlink()
    with caplog.at_level(logging.WARNING):
        assert import_nats_bench(folder, tmp_path / "table.csv") == 2
    assert "holds results of 2 of 15625 architectures" in caplog.text
    assert pd.read_csv(tmp_path / "table.csv")["arch"].tolist() == [benchmark_order()[0], benchmark_order()[2]]


def test_damaged_folders_are_refused(folder: Path, calls: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    path = folder / "000001.pickle.pbz2"
    good = path.read_bytes()
    path.write_bytes(good[:-30])
    with pytest.raises(DatabaseError, match=r"cannot read .*000001\.pickle\.pbz2"):
        import_nats_bench(folder, out)
    pack(path, {"200": calls(os.system, f"touch {tmp_path / 'proof'}")})
    with pytest.raises(DatabaseError, match=r"000001.*it names (posix|nt)\.system"):
        import_nats_bench(folder, out)
    assert not (tmp_path / "proof").exists()
    pack(path, {"200": cell(2, ONE, 200)})
    with pytest.raises(DatabaseError, match="contradicts itself: architecture 1"):
        import_nats_bench(folder, out)
    path.write_bytes(good)
    (folder / "15625.pickle.pbz2").write_bytes(good)
    with pytest.raises(DatabaseError, match=r"15625.*is of no architecture"):
        import_nats_bench(folder, out)
    (folder / "15625.pickle.pbz2").rename(folder / "1.pickle.pbz2")
    with pytest.raises(DatabaseError, match="one that has another file"):
        import_nats_bench(folder, out)
    for name in ("000000", "000001", "000002", "1"):
        (folder / f"{name}.pickle.pbz2").unlink()
    with pytest.raises(DatabaseError, match="has no file of an architecture"):
        import_nats_bench(folder, out)
    (folder / "meta.pickle.pbz2").unlink()
    with pytest.raises(DatabaseError, match=r"lacks meta\.pickle\.pbz2"):
        import_nats_bench(folder, out)
    assert not out.exists()
