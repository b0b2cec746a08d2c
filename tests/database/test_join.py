"""Several databases as one: whose labels stay, and under which recipe."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metad2a.database import published
from metad2a.database.join import JoinedDatabase, join, recipe_names
from metad2a.database.planning import plan
from metad2a.database.published import MetaDatabase
from metad2a.database.records import Record, Task
from metad2a.errors import DatabaseError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201

SHORT = Recipe(name="short", epochs=1, batch_size=8, learning_rate=0.1, schedule="cosine", resolution=8)
LONG = replace(SHORT, name="long", epochs=9)
CURVE = [{"val/loss": 1.5, "train/loss": 0.5}]


def task(*classes: str, source: str = "digits") -> Task:
    return Task(source, classes, 10, 0, 0.2)


SEEN, HELD_OUT = task("0", "1"), task("2", "3")


def write(folder: Path, tasks: Sequence[Task], recipe: Recipe, *, space: str = "nasbench201") -> MetaDatabase:
    """Write four labels of each task; tasks with a class 3 are for validation."""
    rows = []
    for one in tasks:
        jobs = plan(NASBench201(), [one], archs_per_task=4, recipe=recipe, seeds=(0,), seed=0)
        for job in jobs:
            part = "valid" if "3" in one.classes else "train"
            rows.append(published.record_row(Record.of(job, status="ok", accuracy=50.0, split=part, curve=CURVE)))
    return published.publish(
        folder,
        name=folder.name,
        space=space,
        tasks=tasks,
        rows=rows,
        recipes={recipe.fingerprint: recipe.to_dict()},
        sources=dict.fromkeys((one.source for one in tasks), "none"),
        command="none",
    )


@pytest.fixture
def first(tmp_path: Path) -> MetaDatabase:
    return write(tmp_path / "first", [SEEN, HELD_OUT], SHORT)


def test_what_meta_validation_knows_alone_is_left_out(first: MetaDatabase, tmp_path: Path) -> None:
    others = [SEEN, HELD_OUT, task("1", "3"), task("1", "4"), task("2", "3", source="letters")]
    other = write(tmp_path / "other", others, LONG)
    both = join(first, [other], first.split_own())
    assert isinstance(both, JoinedDatabase)
    kept = both.records[len(first.records) :]
    assert set(kept["task"]) == {others[0].id, others[3].id, others[4].id}  # the same names elsewhere are others
    assert both.records["key"][: len(first.records)].tolist() == first.records["key"].tolist()
    assert set(both.tasks["task"]) == {SEEN.id, HELD_OUT.id, others[3].id, others[4].id}
    assert recipe_names(both) == {SHORT.fingerprint: "short", LONG.fingerprint: "long"}
    assert set(both.manifest["sources"]) == {"digits", "letters"}


def test_where_all_classes_are_in_training_only_the_tasks_of_validation_are_left_out(
    first: MetaDatabase, tmp_path: Path
) -> None:
    other = write(tmp_path / "other", [SEEN, HELD_OUT], LONG)
    valid = np.arange(8) >= 6  # half of the second task's records
    assert set(join(first, [other], valid).records["task"][8:]) == {SEEN.id}


def test_the_same_labels_count_once_and_losses_are_read_from_each(first: MetaDatabase, tmp_path: Path) -> None:
    other = write(tmp_path / "other", [SEEN], LONG)
    both = join(first, [first, other, other], first.split_own())
    assert len(both.records) == 12
    np.testing.assert_allclose(both.last_losses(), [[1.5, 0.5]] * 12)


def test_one_alone_is_itself_and_spaces_do_not_mix(first: MetaDatabase, tmp_path: Path) -> None:
    assert join(first, [], first.split_own()) is first
    other = write(tmp_path / "other", [SEEN], LONG, space="mobilenetv3")
    with pytest.raises(DatabaseError, match="'other' is of space 'mobilenetv3'"):
        join(first, [other], first.split_own())


def test_two_recipes_of_one_name_are_told_apart(first: MetaDatabase, tmp_path: Path) -> None:
    other = write(tmp_path / "other", [SEEN], replace(LONG, name="short"))
    both = join(first, [other], first.split_own())
    assert set(recipe_names(both).values()) == set(both.records["recipe"])
