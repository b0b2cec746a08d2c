import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from metad2a.database.official import import_official
from metad2a.database.published import MetaDatabase
from metad2a.database.safe_pickle import read_restricted
from metad2a.errors import DatabaseError, UnknownNameError


@pytest.fixture(scope="module")
def official(shared_data: Path) -> Path:
    return shared_data / "meta_train"


@pytest.fixture(scope="module")
def imported(official: Path, tmp_path_factory: pytest.TempPathFactory) -> MetaDatabase:
    return import_official(official, tmp_path_factory.mktemp("official"))


def copy(official: Path, folder: Path) -> Path:
    shutil.copytree(official, folder / "files")
    (folder / "files").chmod(0o755)
    for path in (folder / "files").iterdir():
        path.chmod(0o644)
    return folder / "files"


def test_the_facts_about_the_database(imported: MetaDatabase) -> None:
    assert (len(imported.records), len(imported.tasks), len(imported.archs)) == (4630, 3031, 1553)
    assert len(imported.failures) == 0
    assert 40 < imported.accuracy.min() < imported.accuracy.max() < 87
    assert imported.accuracy.mean() == pytest.approx(71.6, abs=0.05)
    assert all(len(set(classes)) == 20 for classes in imported.task_classes)
    assert imported.split_official().sum() == 400
    assert imported.manifest["notes"]["topology"] == [
        *([0, 1], [1, 2], [1, 3], [1, 5], [2, 3], [2, 6], [3, 4], [3, 6], [4, 5], [5, 6], [6, 7])
    ]
    assert "do not say how the networks were trained" in imported.manifest["recipes"]["official"]["known"]
    assert "pre-selected" in imported.manifest["notes"]["leakage"]


def test_every_row_is_the_published_one(official: Path, imported: MetaDatabase) -> None:
    raw = pd.read_csv(official / "records.csv")
    assert np.array_equal(imported.accuracy, raw["acc"].to_numpy())
    assert imported.records["arch"].tolist() == raw["arch"].tolist()
    classes = json.loads((official / "task_classes.json").read_text())
    wnids = json.loads((official / "imagenet32_label_to_wnid.json").read_text())
    for row in (0, 17, 4629):
        expected = tuple(wnids[str(label)] for label in classes[raw["task"][row]])
        assert imported.task_classes[imported.task_index[row]] == expected
    order = read_restricted(official / "meta_train_tasks_predictor_idx.pt")
    assert set(np.flatnonzero(imported.split_official())) == set(order[:400].tolist())


def test_both_sources_give_identical_records(official: Path, imported: MetaDatabase, tmp_path: Path) -> None:
    from_csv = import_official(official, tmp_path / "csv", source="csv")
    pd.testing.assert_frame_equal(from_csv.records, imported.records, check_exact=True)
    pd.testing.assert_frame_equal(from_csv.tasks, imported.tasks, check_exact=True)
    assert from_csv.manifest["files"] == imported.manifest["files"]


def test_missing_files_are_named(official: Path, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"lacks meta_train_tasks_predictor\.pt, .*_idx\.pt"):
        import_official(tmp_path, tmp_path / "out")
    files = copy(official, tmp_path)
    (files / "task_classes.json").unlink()
    with pytest.raises(DatabaseError, match=r"lacks task_classes\.json;"):
        import_official(files, tmp_path / "out", source="csv")
    assert not (tmp_path / "out").exists()


def write_csv(files: Path, **columns: Any) -> None:
    table = pd.read_csv(files / "records.csv")
    for name, value in columns.items():
        table.loc[5, name] = value
    table.to_csv(files / "records.csv", index=False)


def test_damaged_files_are_refused(official: Path, tmp_path: Path) -> None:
    files, out = copy(official, tmp_path), tmp_path / "out"
    original = (files / "records.csv").read_text()

    write_csv(files, acc=174.8)
    with pytest.raises(DatabaseError, match="no percentage"):
        import_official(files, out, source="csv")
    (files / "records.csv").write_text(original.replace("task,", "tusk,"))
    with pytest.raises(DatabaseError, match="other columns"):
        import_official(files, out, source="csv")
    (files / "records.csv").write_text("\n".join(original.splitlines()[:100]))
    with pytest.raises(DatabaseError, match="no order of the 99 entries"):
        import_official(files, out, source="csv")
    (files / "records.csv").write_text(original)
    write_csv(files, task=123456)
    with pytest.raises(DatabaseError, match="tasks do not fit"):
        import_official(files, out, source="csv")
    torch.save({"acc": [1.0]}, files / "meta_train_tasks_predictor.pt")
    with pytest.raises(DatabaseError, match="must hold the lists acc, task, str, g"):
        import_official(files, out)
    assert not out.exists()


def test_graphs_that_contradict_the_architecture_are_refused(official: Path, tmp_path: Path) -> None:
    files = copy(official, tmp_path)
    content = read_restricted(files / "meta_train_tasks_predictor.pt")
    wanted = {key: content[key][:3] for key in ("acc", "task", "str")}
    torch.save(wanted | {"g": [1, 2, 3]}, files / "meta_train_tasks_predictor.pt")
    with pytest.raises(DatabaseError, match="graph of entry 0"):
        import_official(files, tmp_path / "out")


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'zip'.*Known: csv, pt"):
        import_official(tmp_path, tmp_path, source="zip")
