import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from metad2a.database.importers.official import import_official
from metad2a.database.importers.safe_pickle import read_restricted
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError, DataError, UnknownNameError
from metad2a.spaces.nasbench201 import OFFICIAL_TOPOLOGY


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
    assert imported.split_own().sum() == 400
    assert imported.manifest["notes"]["topology"] == [
        *([0, 1], [1, 2], [1, 3], [1, 5], [2, 3], [2, 6], [3, 4], [3, 6], [4, 5], [5, 6], [6, 7])
    ]
    assert "do not say how the networks were trained" in imported.manifest["recipes"]["official"]["known"]
    assert "pre-selected" in imported.manifest["notes"]["leakage"]
    read = imported.manifest["notes"]["read"]
    assert [facts["file"] for facts in read] == [
        *("meta_train_tasks_predictor.pt", "meta_train_tasks_predictor_idx.pt", "meta_train_task_lst.pt")
    ]
    assert all(len(facts["sha256"]) == 64 for facts in read)


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
    assert set(np.flatnonzero(imported.split_own())) == set(order[:400].tolist())


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
    with pytest.raises(DatabaseError, match="must hold the lists acc, task, graph"):
        import_official(files, out)
    assert not out.exists()


def test_graphs_that_contradict_the_architecture_are_refused(official: Path, tmp_path: Path) -> None:
    files = copy(official, tmp_path)
    content = read_restricted(files / "meta_train_tasks_predictor.pt")
    wanted = {key: content[key][:3] for key in ("acc", "task", "str")}
    torch.save(wanted | {"g": [1, 2, 3]}, files / "meta_train_tasks_predictor.pt")
    with pytest.raises(DatabaseError, match="graph of entry 0"):
        import_official(files, tmp_path / "out")


# --- the generator's database: the same without texts ---------------------------------------------------------

CELL = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
CONVOLUTIONS = "|{0}~0|+|{0}~0|{0}~1|+|{0}~0|{0}~1|{0}~2|".format("nor_conv_3x3")
TYPES = [0, 4, 2, 3, 5, 6, 2, 1]
OTHER = [0, 5, 5, 5, 5, 5, 5, 1]
Graph = Callable[..., Any]


def write(folder: Path, graphs: list[Any], *, which: str = "generator", key: str = "graph", **more: Any) -> Path:
    """Write official files of 410 entries; the entries repeat ``graphs``, two tasks and two accuracies."""
    folder.mkdir(exist_ok=True)
    repeated = [graphs[i % len(graphs)] for i in range(410)]
    content = {"acc": [70.5, 80.25] * 205, "task": [1, 0] * 205, key: repeated} | more
    torch.save(content, folder / f"meta_train_tasks_{which}.pt")
    torch.save(torch.arange(410).flip(0), folder / f"meta_train_tasks_{which}_idx.pt")
    torch.save([[3, 1000], [1, 2, 3]], folder / "meta_train_task_lst.pt")
    return folder


def test_the_generators_database(igraph: Graph, tmp_path: Path) -> None:
    files = write(
        tmp_path / "files", [igraph(reversed(OFFICIAL_TOPOLOGY), TYPES), igraph(OFFICIAL_TOPOLOGY, OTHER)]
    )
    database = import_official(files, tmp_path / "out")
    assert database.name == "official-generator"
    assert database.records["arch"][:2].tolist() == [CELL, CONVOLUTIONS]
    assert database.accuracy[:2].tolist() == [70.5, 80.25]
    assert [database.task_classes[task] for task in database.task_index[:2]] == [
        ("label 1", "label 2", "label 3"),
        ("label 3", "label 1000"),
    ]
    assert np.flatnonzero(~database.split_own()).tolist() == list(range(10)), "the index begins with the last"
    assert "--which generator" in database.manifest["command"]
    assert "database of the generator" in database.manifest["notes"]["origin"]


def test_classes_are_named_where_the_names_are(
    igraph: Graph, write_wnids: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    files = write(tmp_path / "files", [igraph(OFFICIAL_TOPOLOGY, TYPES)])
    wnids = write_wnids(files)
    database = import_official(files, tmp_path / "out")
    assert set(database.task_classes) == {(wnids[2], wnids[999]), tuple(wnids[:3])}
    (files / "imagenet32_label_to_wnid.json").write_text('{"1": "n1"}')
    with pytest.raises(DataError, match="does not name ImageNet32's classes"):
        import_official(files, tmp_path / "other")


def test_which_database(igraph: Graph, tmp_path: Path) -> None:
    graph = igraph(OFFICIAL_TOPOLOGY, TYPES)
    files = write(tmp_path / "files", [graph])
    write(files, [graph], which="predictor", key="g", str=[CELL] * 410)
    with pytest.raises(DatabaseError, match="Say which: --which predictor or --which generator"):
        import_official(files, tmp_path / "out")
    names = {
        which: import_official(files, tmp_path / which, which=which).name for which in ("predictor", "generator")
    }
    assert names == {"predictor": "official", "generator": "official-generator"}
    with pytest.raises(UnknownNameError, match="Did you mean 'generator'"):
        import_official(files, tmp_path / "out", which="generater")
    (files / "meta_train_tasks_generator_idx.pt").unlink()
    with pytest.raises(DatabaseError, match=r"lacks meta_train_tasks_generator_idx\.pt;"):
        import_official(files, tmp_path / "out", which="generator")
    assert not (tmp_path / "out").exists()


def test_graphs_that_are_no_cells_are_refused(igraph: Graph, tmp_path: Path) -> None:
    good, edges = igraph(OFFICIAL_TOPOLOGY, TYPES), OFFICIAL_TOPOLOGY
    bad = {
        "entry 1 is no cell": igraph(edges, [0, 4, 2, 3, 5, 6, 0, 1]),
        "entry 1 is no graph of 8": igraph(edges, [0, 4, 2, 3, 5, 6, 1]),
        "entry 1 is no graph": igraph(edges, ["x"] * 8),
        "entry 1 has other edges": igraph(edges[1:], TYPES),
        "entry 1 is no graph of": igraph([*edges, (5, 5)], TYPES),
    }
    for message, graph in bad.items():
        with pytest.raises(DatabaseError, match=message):
            import_official(write(tmp_path / "files", [good, graph]), tmp_path / "out")
    texts = [CELL] * 409 + [CELL.replace("none", "skip_connect")]
    with pytest.raises(DatabaseError, match=r"graph of entry 409 is .*, its text"):
        import_official(write(tmp_path / "files", [good], str=texts), tmp_path / "out")
    with pytest.raises(DatabaseError, match="different lengths"):
        import_official(write(tmp_path / "files", [good], str=texts[1:]), tmp_path / "out")
    files = write(tmp_path / "files", [good])
    torch.save([[1001], [1]], files / "meta_train_task_lst.pt")
    with pytest.raises(DatabaseError, match="class 1001 is none of ImageNet's"):
        import_official(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_edges_than_the_spaces_are_noted(
    igraph: Graph, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chain = [(i, i + 1) for i in range(7)]
    with caplog.at_level(logging.WARNING):
        database = import_official(write(tmp_path / "files", [igraph(chain, TYPES)]), tmp_path / "out")
    assert database.manifest["notes"]["topology"] == [list(edge) for edge in chain]
    assert "other edges than those that 'nasbench201' gives" in caplog.text


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'zip'.*Known: csv, pt"):
        import_official(tmp_path, tmp_path, source="zip")
    with pytest.raises(DatabaseError, match=r"records\.csv holds the predictor's database only"):
        import_official(tmp_path, tmp_path, source="csv", which="generator")
