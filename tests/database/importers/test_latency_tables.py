import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.database.importers.latency_tables import import_latencies
from metad2a.errors import DatabaseError, UnknownNameError

COUNT = 15625
Write = Callable[..., Path]


@pytest.fixture
def metrics() -> dict[str, Any]:
    """What HW-NAS-Bench says of one data set: lists, some arrays, some numpy numbers."""
    ramp = np.linspace(1, 50, COUNT)
    return {
        "config": [
            {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": text, "num_classes": 10}
            for text in benchmark_order()
        ],
        "edgegpu_latency": ramp.tolist(),
        "edgegpu_energy": (7 * ramp).tolist(),
        "raspi4_latency": list(ramp[::-1]),
        "fpga_latency": ramp / 4,
        "fpga_energy": ramp,
        "eyeriss_arithmetic_intensity": ramp,
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def save(metrics: Any, *, dataset: str = "cifar10", space: str = "nasbench201") -> Path:
        path = tmp_path / "HW-NAS-Bench-v1_0.pickle"
        path.write_bytes(pickle.dumps({space: {dataset: metrics}, "fbnet": {"edgegpu_latency": {"op": 1.5}}}))
        return path

    return save


def test_hw_nas_bench_becomes_a_table(metrics: dict[str, Any], write: Write, tmp_path: Path) -> None:
    path = write(metrics)
    assert import_latencies(path, tmp_path / "ms.csv") == ["edgegpu", "raspi4", "fpga"]
    table = pd.read_csv(tmp_path / "ms.csv")
    assert table.columns.tolist() == ["arch", "edgegpu", "raspi4", "fpga"]
    assert table["arch"].tolist() == list(benchmark_order())
    assert table["raspi4"].to_numpy() == pytest.approx(metrics["edgegpu_latency"][::-1], abs=1e-6)
    described = json.loads((tmp_path / "ms.csv.json").read_text())
    assert described["columns"]["fpga"] == "latency on fpga, ms"
    assert (described["version"], described["licence"][:3]) == ("v1.0", "MIT")
    assert described["read"][0]["file"] == path.name
    assert described["notes"]["networks"] == "Measured as networks for cifar10."


def test_the_cells_are_those_that_the_file_names(metrics: dict[str, Any], write: Write, tmp_path: Path) -> None:
    metrics["config"] = dict(enumerate(metrics["config"][::-1]))  # some copies have a dictionary here
    import_latencies(write(metrics, dataset="cifar100"), tmp_path / "ms.parquet", dataset="cifar100")
    table = pd.read_parquet(tmp_path / "ms.parquet")
    assert table["arch"].tolist() == list(benchmark_order())[::-1]
    assert table["edgegpu"][0] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, r"is damaged: cifar10 \(TypeError"),
        ({"config": [{"arch_str": "|none~0|"}] * COUNT}, "lists 15625 cells, 1 of them distinct"),
        ({"fpga_latency": [1.0] * 15624}, r"'fpga' has the shape \(15624,\), but must have \(15625,\)"),
        ({"fpga_latency": [1.0] * 15624 + [float("nan")]}, "'fpga' of cell 15624 is nan"),
        ({"fpga_latency": [-1.0] * COUNT}, "'fpga' of cell 0 is -1.0"),
        ({"fpga_latency": ["fast"] * COUNT}, r"is damaged: cifar10 \(ValueError"),
    ],
)
def test_other_content_is_refused(
    change: dict[str, Any], message: str, metrics: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseError, match=message):
        import_latencies(write(metrics | change), tmp_path / "ms.csv")
    assert not (tmp_path / "ms.csv").exists()


def test_other_files_are_refused(metrics: dict[str, Any], write: Write, tmp_path: Path) -> None:
    out = tmp_path / "ms.csv"
    with pytest.raises(UnknownNameError, match=r"unknown data set of HW-NAS-Bench-v1_0\.pickle 'cifar'"):
        import_latencies(write(metrics), out, dataset="cifar")
    with pytest.raises(DatabaseError, match="must hold a dictionary 'nasbench201'"):
        import_latencies(write(metrics, space="nasbench101"), out)
    with pytest.raises(DatabaseError, match="has no list that ends in '_latency'"):
        import_latencies(write({"config": metrics["config"]}), out)
    with pytest.raises(DatabaseError, match="has a licence of its own"):
        import_latencies(write(metrics), out, licence="MIT")
    with pytest.raises(DatabaseError, match=r"neither a \.pickle or \.pkl file nor a \.npz file"):
        import_latencies(tmp_path / "ms.txt", out)
    path = write(metrics)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DatabaseError, match="is damaged"):
        import_latencies(path, out)


def test_a_pickle_that_would_run_something_is_refused(
    write: Write, calls: Callable[..., Any], tmp_path: Path
) -> None:
    path = write(calls(os.system, f"touch {tmp_path / 'proof'}"))
    with pytest.raises(DatabaseError, match=r"it names (posix|nt)\.system"):
        import_latencies(path, tmp_path / "ms.csv")
    assert not (tmp_path / "proof").exists()
    pickle.loads(path.read_bytes())  # noqa: S301 - the file really is dangerous
    assert (tmp_path / "proof").exists()


def test_arrays_in_the_benchmarks_order(tmp_path: Path) -> None:
    path, out = tmp_path / "latency_ms.npz", tmp_path / "ms.csv"
    np.savez(path, pixel3=np.linspace(1, 9, COUNT, dtype=np.float32), raspi4=np.ones(COUNT))
    assert import_latencies(path, out, licence="MIT (HELP)") == ["pixel3", "raspi4"]
    assert pd.read_csv(out)["arch"].tolist() == list(benchmark_order())
    assert json.loads((tmp_path / "ms.csv.json").read_text())["licence"] == "MIT (HELP)"
    import_latencies(path, out)
    assert json.loads((tmp_path / "ms.csv.json").read_text())["licence"] == "not stated"
    with pytest.raises(DatabaseError, match="does not say which data set"):
        import_latencies(path, out, dataset="cifar10")

    np.savez(path, pixel3=np.ones(15624))
    with pytest.raises(DatabaseError, match="'pixel3' has the shape"):
        import_latencies(path, out)
    np.savez(path, pixel3=np.array([{"a": 1}] * COUNT, dtype=object))
    with pytest.raises(DatabaseError, match="holds more than numbers"):
        import_latencies(path, out)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatabaseError, match="is damaged"):
        import_latencies(path, out)


def test_the_real_arrays(shared_data: Path, tmp_path: Path) -> None:
    devices = import_latencies(shared_data / "nasbench201" / "latency_ms.npz", tmp_path / "ms.csv")
    assert len(devices) == 22
    table = pd.read_csv(tmp_path / "ms.csv").set_index("arch")
    known = pd.read_csv(shared_data / "nasbench201" / "nasbench201_cifar10.csv").set_index("arch")
    # Larger networks take longer: with rows that did not fit the cells, this would be 0.
    assert table["pixel3"].corr(known["params_m_cifar10"], method="spearman") > 0.8
