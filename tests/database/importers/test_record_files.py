import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metad2a.database.importers.record_files import import_records
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError
from metad2a.runtime import numpy_rng
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()
TEXTS = [SPACE.format(arch) for arch in SPACE.sample(3, numpy_rng("record files"))]
CLASSES = json.dumps(["cat", "dog"])
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes four records of two tasks after changes to their columns."""

    def save(name: str = "records.csv", drop: tuple[str, ...] = (), **change: Any) -> Path:
        columns = {
            "arch": [TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[0]],
            "accuracy": [50.5, 60.25, 70.0, 80.0],
            "source": ["pets", "pets", "pets", "cars"],
            "classes": [CLASSES, CLASSES, CLASSES, '["a", "b", "c"]'],
        }
        table = pd.DataFrame(columns | change).drop(columns=list(drop))
        path = tmp_path / name
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
        return path

    return save


def test_records_become_a_database(write: Write, tmp_path: Path) -> None:
    database = import_records([write()], tmp_path / "db", licence="CC0")
    assert isinstance(database, MetaDatabase)
    assert (database.name, len(database.tasks), len(database.records)) == ("records", 2, 4)
    assert database.task_classes == [("cat", "dog"), ("a", "b", "c")]
    assert database.accuracy.tolist() == [50.5, 60.25, 70.0, 80.0]
    assert database.records["arch"].tolist() == [*TEXTS, TEXTS[0]]
    assert database.records["canonical"].tolist() == [
        SPACE.canonical(SPACE.parse(text)) for text in [*TEXTS, TEXTS[0]]
    ]
    assert set(database.records["recipe"]) == {"imported"}
    assert database.records["seed"].isna().all()
    assert database.manifest["sources"] == {"pets": "CC0", "cars": "CC0"}
    assert database.manifest["notes"]["read"][0]["file"] == "records.csv"
    assert database.split_by_task(0.5, seed=0).sum() in (1, 3)


@pytest.mark.parametrize("name", ["records.csv", "records.parquet"])
def test_all_columns_are_kept(name: str, write: Write, tmp_path: Path) -> None:
    lists = {} if name.endswith("csv") else {"classes": [["cat", "dog"]] * 3 + [["a", "b", "c"]]}
    path = write(
        name,
        accuracy=[50.5, 60.25, 70.0, None],
        seed=[0, 1, None, 7],
        recipe=["short", "short", None, "long"],
        split=["train", "valid", "test", "train"],
        best_accuracy=[51.0, None, 70.0, None],
        seconds=[1.5, 2.5, None, 0.5],
        status=["ok", "ok", "ok", "failed"],
        error=[None, None, None, "the loss is not finite"],
        **lists,
    )
    database = import_records([path], tmp_path / "db", name="mine")
    assert database.name == "mine"
    assert database.records["seed"].tolist() == [0, 1]
    assert database.records["split"].tolist() == ["train", "valid"]
    assert database.records["seconds"].tolist() == [1.5, 2.5]
    assert database.held_out["recipe"].tolist() == ["imported"]
    assert database.failures["error"].tolist() == ["the loss is not finite"]
    assert set(database.manifest["recipes"]) == {"imported", "short", "long"}
    assert database.manifest["sources"]["cars"] == "not stated"


def test_tasks_in_a_file_of_their_own(write: Write, tmp_path: Path) -> None:
    records = write(task=["p", "p", "p", "c"], drop=("source", "classes"))
    tasks = tmp_path / "tasks.csv"
    described = pd.DataFrame(
        {
            "task": ["c", "p", "unused"],
            "source": ["cars", "pets", "pets"],
            "classes": ['["a", "b", "c"]', CLASSES, CLASSES],
            "images_per_class": [20, None, 5],
            "seed": [3, None, 4],
            "valid_fraction": [0.25, None, 0.5],
        }
    )
    described.to_csv(tasks, index=False)
    database = import_records([records, tasks], tmp_path / "db")
    assert database.tasks["source"].tolist() == ["pets", "cars"]
    assert database.tasks["images_per_class"].tolist() == [pd.NA, 20]
    assert database.tasks["valid_fraction"].tolist()[1] == 0.25
    assert database.task_index.tolist() == [0, 0, 0, 1]
    described.iloc[:1].to_csv(tasks, index=False)
    with pytest.raises(DatabaseError, match="does not describe task 'p'"):
        import_records([records, tasks], tmp_path / "db")
    pd.concat([described, described]).to_csv(tasks, index=False)
    with pytest.raises(DatabaseError, match="describes task 'c' twice"):
        import_records([records, tasks], tmp_path / "db")


def test_repeats_are_kept_when_nobody_knows_their_seeds(write: Write, tmp_path: Path) -> None:
    again = [TEXTS[0]] * 4
    assert len(import_records([write(arch=again)], tmp_path / "db").records) == 4
    assert len(import_records([write(arch=again, seed=[0, 1, 2, 0])], tmp_path / "db").records) == 4
    with pytest.raises(DatabaseError, match="data row 3: an earlier row has this arch, task, recipe and seed"):
        import_records([write(arch=again, seed=[0, 1, 0, 0])], tmp_path / "db")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": ("accuracy",)}, "has no column 'accuracy'; it has: arch, source, classes"),
        ({"drop": ("classes",)}, "has no column 'classes'"),
        ({"arch": [TEXTS[0], "none", TEXTS[1], TEXTS[2]]}, "data row 2: 'none' is no architecture"),
        ({"accuracy": [1, 2, 3, 101]}, "data row 4: 'accuracy' is '101', but must be 0 to 100"),
        ({"accuracy": [1, 2, None, 4]}, "data row 3: 'accuracy' is None, but 'status' is ok"),
        ({"accuracy": ["a", "b", "c", "d"]}, "data row 1: 'accuracy' is 'a'"),
        ({"status": ["failed", "ok", "ok", "ok"]}, r"data row 1: 'accuracy' is 50\.5, but 'status' is failed"),
        ({"status": ["ok", "good", "ok", "ok"]}, "data row 2: 'status' is 'good', but must be ok, failed"),
        ({"split": ["train", "valid", "dev", "train"]}, "data row 3: 'split' is 'dev'"),
        ({"seed": [0.5, 1, 2, 3]}, r"data row 1: 'seed' is '0\.5', but must be a whole number"),
        ({"seconds": [-1, 1, 2, 3]}, "data row 1: 'seconds' is '-1'"),
        ({"classes": ["cat", CLASSES, CLASSES, CLASSES]}, "data row 1: 'classes' must be a list of distinct names"),
        ({"classes": [CLASSES, '["cat"]', CLASSES, CLASSES]}, "data row 2: 'classes' must be"),
        ({"classes": [CLASSES, CLASSES, '["cat", "cat"]', CLASSES]}, "data row 3: 'classes' must be"),
        ({"source": ["pets", None, "pets", "pets"]}, "data row 2: 'source' is missing"),
    ],
)
def test_other_records_are_refused(change: dict[str, Any], message: str, write: Write, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=message):
        import_records([write(**change)], tmp_path / "db")
    assert not (tmp_path / "db").exists()
