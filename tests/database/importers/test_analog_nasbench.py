import importlib.util
import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from metad2a.database.importers.analog_nasbench import import_analog_nasbench
from metad2a.errors import DatabaseError
from metad2a.spaces.nasbench201 import NASBench201

ACCURACIES = ("baseline", "ptq", "qat", "noisy", "analog")
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes a file as the package pickles it: objects of its two classes."""
    module = ModuleType("analognasbench.data")
    for name in ("Architecture", "DriftMeasurement"):
        made = type(name, (), {"__module__": module.__name__})
        setattr(module, name, made)
    monkeypatch.setitem(sys.modules, "analognasbench", ModuleType("analognasbench"))
    monkeypatch.setitem(sys.modules, "analognasbench.data", module)

    def filled(kind: str, **fields: Any) -> Any:
        made = getattr(module, kind)()
        vars(made).update(fields)
        return made

    def save(folder: Path = tmp_path, change_key: Any = None, **change: Any) -> Path:
        content = {}
        for row, key in enumerate([(1, 0, 2, 3, 4, 0), (2, 2, 2, 2, 2, 2)]):
            fields = {f"{name}_accuracy": 50.0 + row + place for place, name in enumerate(ACCURACIES)}
            drifts = {
                f"{kind}_drift_{seconds}": filled("DriftMeasurement", value=40.0 + row, uncertainty=0.5)
                for kind in ("baseline", "analog")
                for seconds in (60, 3600, 86400, 2592000)
            }
            fields |= (
                drifts | {"architecture": key} | {name: value for name, value in change.items() if name != "key"}
            )
            content[change_key or key] = filled("Architecture", **fields)
        path = folder / "data.anb"
        path.write_bytes(pickle.dumps(content))
        return path

    return save


def test_the_packages_data_becomes_a_table(write: Write, tmp_path: Path) -> None:
    path, out = write(), tmp_path / "analog.csv"
    sys.modules.pop("analognasbench.data")
    assert import_analog_nasbench(path, out) == 2
    table = pd.read_csv(out)
    # Their edges are by source node: 0>1 0>2 0>3 1>2 1>3 2>3.
    assert table["arch"].tolist() == [
        "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|skip_connect~2|",
        "|{0}~0|+|{0}~0|{0}~1|+|{0}~0|{0}~1|{0}~2|".format("nor_conv_3x3"),
    ]
    assert len(table.columns) == 14
    assert table["analog_accuracy"].tolist() == [54.0, 55.0]
    assert table["analog_drift_3600"].tolist() == [40.0, 41.0]
    described = json.loads((tmp_path / "analog.csv.json").read_text())
    assert described["licence"].startswith("Not stated")
    assert described["read"][0]["sha256"]
    assert "analognasbench.data" not in sys.modules


def test_the_installed_package_is_found_and_not_run(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, package = tmp_path / "analog.csv", tmp_path / "packages" / "analognasbench"
    package.mkdir(parents=True)
    write(package)
    monkeypatch.delitem(sys.modules, "analognasbench")
    elsewhere = [folder for folder in sys.path if not Path(folder, "analognasbench").exists()]
    monkeypatch.setattr(sys, "path", elsewhere)
    with pytest.raises(DatabaseError, match="analog-nasbench is not installed"):
        import_analog_nasbench("installed", out)
    (package / "__init__.py").write_text("raise SystemExit('was run')")
    monkeypatch.setattr(sys, "path", [str(package.parent), *elsewhere])
    assert import_analog_nasbench("installed", out) == 2
    assert import_analog_nasbench(package.parent, out) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"change_key": (0, 0, 0, 0, 0, 5)}, r"\(0, 0, 0, 0, 0, 5\) is no cell of six operations"),
        ({"change_key": (0, 0, 0, 0, 0, -1)}, "is no cell of six operations"),
        ({"change_key": (0, 0, 0)}, "is no cell of six operations"),
        ({"change_key": "000000"}, "is no cell of six operations"),
        ({"qat_accuracy": 100.5}, r"qat_accuracy of .* is 100\.5, which is no percentage"),
        ({"qat_accuracy": None}, "qat_accuracy of .* is None"),
        ({"analog_drift_60": "90 ± 1"}, "analog_drift_60 of .* is '90 ± 1'"),
    ],
)
def test_other_content_is_refused(change: dict[str, Any], message: str, write: Write, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=message):
        import_analog_nasbench(write(**change), tmp_path / "analog.csv")
    assert not (tmp_path / "analog.csv").exists()


def test_other_files_are_refused(write: Write, calls: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "analog.csv"
    with pytest.raises(DatabaseError, match=r"there is no data\.anb at"):
        import_analog_nasbench(tmp_path / "none", out)
    path = write(qat_accuracy=calls(os.system, f"touch {tmp_path / 'proof'}"))
    with pytest.raises(DatabaseError, match=r"it names (posix|nt)\.system"):
        import_analog_nasbench(path, out)
    assert not (tmp_path / "proof").exists()
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DatabaseError, match="must hold a dictionary of architectures"):
        import_analog_nasbench(path, out)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DatabaseError, match="is damaged"):
        import_analog_nasbench(path, out)


def test_the_real_package(shared_data: Path, space: NASBench201, tmp_path: Path) -> None:
    if importlib.util.find_spec("analognasbench") is None:
        pytest.skip("the package analog-nasbench is not installed")
    assert import_analog_nasbench("installed", tmp_path / "analog.csv") == space.size
    table = pd.read_csv(tmp_path / "analog.csv").set_index("arch")["baseline_accuracy"]
    known = pd.read_csv(shared_data / "nasbench201" / "nasbench201_cifar10.csv").set_index("arch")
    assert table.corr(known["cifar10_test_accuracy_200"], method="spearman") > 0.98
