import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metad2a.database.audit.report import audit
from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.database.importers.official import import_official
from metad2a.database.published import MetaDatabase
from metad2a.errors import ConfigError, DatabaseError
from metad2a.oracles.table import TableOracle
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()
SKIP, CONV = "skip_connect", "nor_conv_3x3"
# Two cells of one function, and one of another.
FIRST = f"|{CONV}~0|+|none~0|{SKIP}~1|+|none~0|none~1|{SKIP}~2|"
TWIN = f"|{SKIP}~0|+|none~0|{CONV}~1|+|none~0|none~1|{SKIP}~2|"
OTHER = f"|{CONV}~0|+|{CONV}~0|{CONV}~1|+|none~0|none~1|{SKIP}~2|"


def make(rows: Sequence[tuple[Any, ...]], classes: dict[str, list[str]]) -> MetaDatabase:
    """Return a database of rows (task, cell, accuracy, seed, split); the task's first letter names its images."""
    table = pd.DataFrame(rows, columns=["task", "arch", "accuracy", "seed", "split"])
    canonical = {text: SPACE.canonical(SPACE.parse(text)) for text in set(table["arch"])}
    table = table.assign(
        key=[str(row) for row in range(len(table))],
        space=SPACE.name,
        canonical=table["arch"].map(canonical),
        recipe="short",
        seed=table["seed"].astype("Int64"),
        status=np.where(table["accuracy"].isna(), "failed", "ok"),
    )
    tasks = pd.DataFrame(
        {"task": list(classes), "source": [task[0] for task in classes], "classes": list(classes.values())}
    )
    return MetaDatabase({"name": "made", "space": SPACE.name}, tasks, table)


CLASSES = {
    "a1": ["x", "y"],
    "a2": ["y", "x"],  # the same classes in another order
    "a3": ["x", "z"],
    "b1": ["x", "y"],  # of other images
    "b2": ["u", "v"],
}


def test_repeated_and_isomorphic_cells() -> None:
    found = audit(
        make(
            [
                ("a1", FIRST, 50.0, 0, None),
                ("a1", FIRST, 52.0, 1, None),
                ("a1", TWIN, 51.0, 0, None),
                ("a2", FIRST, 40.0, None, None),
                ("a2", FIRST, 44.0, None, None),
                ("a3", TWIN, 70.0, 0, None),
                ("a3", OTHER, None, 0, None),
            ],
            CLASSES,
        )
    )
    assert (found.labels, found.tasks, found.failures) == (6, 3, 1)
    cells = found.cells
    assert (cells.distinct, cells.functions) == (2, 1)
    assert (cells.repeated, cells.repeated_unknown, cells.isomorphic) == (4, 2, 1)
    assert found.overlaps == ()
    assert found.comparison is None
    # Pairs 50, 52 and 40, 44: variances 2 and 8.
    assert found.noise is not None
    assert (found.noise.cells, found.noise.labels, found.noise.tasks) == (2, 4, 2)
    assert found.noise.within_std == pytest.approx(math.sqrt(5))


def test_what_the_parts_of_a_split_share() -> None:
    found = audit(
        make(
            [
                ("a1", FIRST, 50.0, 0, "train"),
                ("b1", OTHER, 50.0, 0, "train"),
                ("a1", OTHER, 50.0, 0, "valid"),
                ("a2", TWIN, 50.0, 0, "valid"),
                ("a3", FIRST, 50.0, 0, "valid"),
                ("b2", TWIN, 50.0, 0, "test"),
            ],
            CLASSES,
        )
    )
    assert found.labels == 6  # those held out are looked at too
    valid, test, between = found.overlaps
    assert (valid.part, valid.known, valid.labels) == ("valid", "train", 3)
    assert (valid.tasks, valid.same_tasks, valid.same_classes, valid.sharing_classes) == (3, 1, 2, 3)
    assert (valid.classes, valid.shared_classes) == (3, 2)
    assert (valid.cells, valid.same_cells, valid.isomorphic_cells) == (3, 2, 3)
    assert (test.part, test.known) == ("test", "train")
    assert (test.tasks, test.same_tasks, test.same_classes, test.sharing_classes) == (1, 0, 0, 0)
    assert (test.cells, test.same_cells, test.isomorphic_cells) == (1, 0, 1)
    assert (between.part, between.known, between.same_cells) == ("test", "valid", 1)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> TableOracle:
    """A benchmark in which later cells of the order are better."""
    path = tmp_path_factory.mktemp("benchmark") / "benchmark.csv"
    texts = list(benchmark_order())
    pd.DataFrame({"arch": texts, "acc": np.linspace(10, 94, len(texts))}).to_csv(path, index=False)
    return TableOracle.from_file(path, "acc", SPACE)


def drawn(noise: float, *, tasks: int = 60, cells: int = 10, best: int = 15625) -> MetaDatabase:
    """Return labels of random cells among the ``best`` with each a second seed; tasks differ in difficulty."""
    rng, texts = np.random.default_rng(3), benchmark_order()
    rows = []
    for task in range(tasks):
        level = rng.uniform(10, 40)
        for number in rng.choice(np.arange(15625 - best, 15625), cells, replace=False):
            value = level + 40 * number / 15625
            rows += [(f"t{task}", texts[number], value + rng.normal(0, noise), seed, None) for seed in (0, 1)]
    return make(rows, {f"t{task}": ["x", "y"] for task in range(tasks)})


def test_uniform_cells_are_not_suspicious(truth: TableOracle) -> None:
    found = audit(drawn(2.0), truth).comparison
    assert found is not None
    assert (found.labels, found.unknown, found.benchmark_cells) == (1200, 0, 15625)
    assert found.benchmark_mean == pytest.approx(52.0)
    assert found.labels_mean == pytest.approx(52.0, abs=3)
    for top in found.top:
        assert top.uniform == pytest.approx(top.percent, abs=0.01)
        low, high = top.uniform_interval
        assert low <= top.cells <= high


def test_chosen_cells_are_found_out(truth: TableOracle) -> None:
    found = audit(drawn(2.0, best=1563), truth).comparison
    assert found is not None
    shares = {top.percent: top for top in found.top}
    assert shares[10].labels == shares[10].cells == 100.0
    assert shares[5].cells > 40 > shares[5].uniform_interval[1]
    assert found.cells_mean > 89


def test_noise_and_agreement(truth: TableOracle) -> None:
    found = audit(drawn(4.0), truth)
    noise, comparison = found.noise, found.comparison
    assert noise is not None
    assert comparison is not None
    between = 40 / math.sqrt(12)  # cells are uniform
    assert noise.within_std == pytest.approx(4.0, rel=0.1)
    assert noise.between_std == pytest.approx(between, rel=0.1)
    assert noise.reliability == pytest.approx(between**2 / (between**2 + 16), abs=0.03)
    assert noise.repeats.spearman == pytest.approx(noise.reliability, abs=0.06)
    assert (noise.repeats_within.tasks, noise.repeats_within.labels) == (60, 600)
    # Tasks differ, so all labels together agree less than those of a task.
    assert comparison.pooled.spearman < comparison.centred.spearman
    assert comparison.within.spearman == pytest.approx(math.sqrt(noise.reliability), abs=0.06)
    assert found.to_dict()["comparison"]["top"][0]["percent"] == 1


def test_labels_of_several_recipes_are_not_mixed(truth: TableOracle) -> None:
    """A recipe that is 30 points better for every second cell says nothing about cells."""
    database = drawn(0.5)
    rows = database.records.assign(recipe=np.where(np.arange(1200) % 4 < 2, "short", "long"))
    rows["accuracy"] = rows["accuracy"] + np.where(rows["recipe"] == "long", 30, 0)
    found = audit(MetaDatabase(database.manifest, database.tasks, rows), truth)
    assert found.comparison is not None
    assert found.comparison.centred.spearman > 0.95
    assert found.noise is not None
    assert found.noise.between_std == pytest.approx(40 / math.sqrt(12), rel=0.15)


def test_cells_that_the_benchmark_lacks_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "part.csv"
    pd.DataFrame({"arch": [FIRST, TWIN], "acc": [90.0, 80.0]}).to_csv(path, index=False)
    oracle = TableOracle.from_file(path, "acc", SPACE)
    rows = [("a1", cell, value, 0, None) for cell, value in ((FIRST, 60.0), (TWIN, 50.0), (OTHER, 70.0))]
    found = audit(make(rows, CLASSES), oracle, at_least=2).comparison
    assert found is not None
    assert (found.labels, found.unknown) == (2, 1)
    assert found.within.spearman == 1.0
    with pytest.raises(DatabaseError, match="lists none of the database's cells"):
        audit(make(rows[2:], CLASSES), oracle)


def test_what_cannot_be_audited() -> None:
    with pytest.raises(DatabaseError, match="'made' has no labels to audit"):
        audit(make([("a1", FIRST, None, 0, None)], CLASSES))
    with pytest.raises(ConfigError, match="at_least is 1"):
        audit(make([("a1", FIRST, 50.0, 0, None)], CLASSES), at_least=1)


def test_figures_that_do_not_exist_are_null() -> None:
    found = audit(make([("a1", FIRST, 50.0, 0, None), ("a1", FIRST, 50.0, 1, None)], CLASSES))
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["schema_version"] == 1
    assert content["noise"]["repeats"]["spearman"] is None
    assert content["noise"]["reliability"] is None
    assert content["comparison"] is None


def test_the_official_database(shared_data: Path, tmp_path: Path) -> None:
    database = import_official(shared_data / "meta_train", tmp_path / "official")
    benchmark = shared_data / "nasbench201" / "nasbench201_cifar10.csv"
    found = audit(database, TableOracle.from_file(benchmark, "cifar10_test_accuracy_200", SPACE))
    [overlap] = found.overlaps
    assert (overlap.tasks, overlap.same_tasks, overlap.same_classes) == (388, 228, 228)
    assert overlap.sharing_classes == overlap.tasks
    assert found.comparison is not None
    shares = {top.percent: top.labels for top in found.comparison.top}
    assert shares[10] == pytest.approx(82.5, abs=0.1)
    assert found.comparison.centred.spearman == pytest.approx(0.386, abs=0.001)


@pytest.mark.slow
def test_a_million_labels_take_seconds(truth: TableOracle) -> None:
    import time

    rng, tasks, each = np.random.default_rng(0), 50_000, 20
    numbers = rng.integers(15625, size=tasks * each)
    texts = np.array(benchmark_order(), dtype=object)
    canonical = np.array([SPACE.canonical(SPACE.parse(text)) for text in texts], dtype=object)
    names = np.array([f"task {task}" for task in range(tasks)], dtype=object)
    rows = pd.DataFrame(
        {
            "task": np.repeat(names, each),
            "arch": texts[numbers],
            "canonical": canonical[numbers],
            "recipe": "short",
            "seed": pd.array(np.arange(tasks * each) % each, dtype="Int64"),
            "status": "ok",
            "accuracy": 20 + 60 * numbers / 15625 + rng.normal(0, 5, tasks * each),
            "split": np.repeat(np.where(np.arange(tasks) % 10, "train", "valid"), each),
        }
    )
    classes = [[f"class {number}" for number in rng.choice(600, 20, replace=False)] for _ in range(tasks)]
    described = pd.DataFrame({"task": names, "source": "images", "classes": classes})
    database = MetaDatabase({"name": "large", "space": SPACE.name}, described, rows)
    start = time.monotonic()
    found = audit(database, truth)
    assert time.monotonic() - start < 120  # about ten seconds on an idle core
    assert found.labels == 1_000_000
