"""What meta-training and meta-validation share, and which split is taken."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from metad2a.database import published
from metad2a.database.choose_recipe import of_recipe, recipes
from metad2a.database.importers.official import import_official
from metad2a.database.planning import plan
from metad2a.database.published import MetaDatabase
from metad2a.database.records import Record, Task
from metad2a.database.splits import class_overlap, split_database
from metad2a.errors import ConfigError, DatabaseError, UnknownNameError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201

MakeDatabase = Callable[..., MetaDatabase]
TASKS = {
    "a": ("mnist", ("0", "1", "2")),
    "b": ("mnist", ("2", "3")),
    "c": ("signs", ("0", "1")),
    "d": ("signs", ("1", "2", "3")),
}


@pytest.fixture
def make(tmp_path: Path, tiny_recipe: Recipe) -> MakeDatabase:
    """Return a function that publishes tasks of two records each; their parts are letters: t, v, or - for none."""

    def make(splits: Sequence[str], recipe_of: dict[str, Recipe] | None = None) -> MetaDatabase:
        letters, rows, used = iter("".join(splits)), [], {}
        tasks = {name: Task(*TASKS[name], 10, 0, 0.2) for name in TASKS}
        for name, task in tasks.items():
            recipe = (recipe_of or {}).get(name, tiny_recipe)
            used[recipe.fingerprint] = recipe.to_dict()
            for job in plan(NASBench201(), [task], archs_per_task=2, recipe=recipe):
                split = {"t": "train", "v": "valid", "-": None}[next(letters)]
                rows.append(published.record_row(Record.of(job, status="ok", accuracy=50.0, split=split)))
        return published.publish(
            tmp_path / "db",
            name="digits",
            space="nasbench201",
            tasks=list(tasks.values()),
            rows=rows,
            recipes=used,
            sources={"mnist": "", "signs": ""},
            command="none",
        )

    return make


# --- overlap --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("splits", "tasks", "same_tasks", "classes", "shared_classes"),
    [
        (("tt", "tt", "vv", "vv"), 2, 0, 4, 0),  # a class of signs is none of mnist
        (("tt", "vv", "tt", "vv"), 2, 0, 5, 2),  # mnist/2 and signs/1
        (("tv", "tt", "vv", "tt"), 2, 1, 5, 4),
        (("tv", "vt", "tv", "vt"), 4, 4, 8, 8),
    ],
)
def test_what_the_parts_share(
    make: MakeDatabase, splits: Sequence[str], tasks: int, same_tasks: int, classes: int, shared_classes: int
) -> None:
    database = make(splits)
    found = class_overlap(database)
    assert (found.part, found.known, found.labels) == ("valid", "train", "".join(splits).count("v"))
    assert (found.tasks, found.same_tasks, found.classes, found.shared_classes) == (
        *(tasks, same_tasks),
        *(classes, shared_classes),
    )
    assert class_overlap(database, database.split_own()) == found
    assert class_overlap(database, ~database.split_own()).shared_classes == shared_classes


# --- which split ----------------------------------------------------------------------------------------------


def test_a_split_without_common_tasks_is_kept(make: MakeDatabase) -> None:
    database = make(("tt", "tt", "vv", "vv"))
    for how in ("auto", "own", "official"):
        split = split_database(database, how)
        assert split.name == "own"
        assert np.array_equal(split.valid, database.split_own())
    assert "4 of 8 records, of 2 tasks (split own)" in str(split)
    by_task = split_database(database, "by_task", fraction=0.5)
    assert by_task.name == "by_task"
    assert by_task.refused is None
    assert np.array_equal(by_task.valid, database.split_by_task(0.5, 0))


def test_common_tasks_are_not_validated_on_unless_asked_for(make: MakeDatabase) -> None:
    database = make(("tv", "tt", "vv", "tt"))
    split = split_database(database, "auto", fraction=0.5)
    assert split.name == "by_task"
    assert split.overlap.same_tasks == 0
    assert split.refused == class_overlap(database)
    assert "(split by_task, since the database's own has 1 of 2 tasks in both parts)" in str(split)
    own = split_database(database, "own")
    assert np.array_equal(own.valid, database.split_own())
    assert "Of these tasks 1 are also in meta-training, of their 5 classes 4" in str(own)


@pytest.mark.parametrize("splits", [("--", "--", "--", "--"), ("tt", "vv", "vv", "t-"), ("tt", "tt", "tt", "tt")])
def test_databases_without_a_split(make: MakeDatabase, splits: Sequence[str]) -> None:
    database = make(splits)
    split = split_database(database)
    assert (split.name, split.refused) == ("by_task", None)
    with pytest.raises(DatabaseError, match="without a split of its own"):
        split_database(database, "own")
    with pytest.raises(DatabaseError, match="without a split of its own"):
        class_overlap(database)


def test_other_names_are_refused(make: MakeDatabase) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown split 'by_tasks'\. Did you mean 'by_task'"):
        split_database(make(("tt", "tt", "vv", "vv")), "by_tasks")


def test_the_authors_split(shared_data: Path, tmp_path: Path) -> None:
    database = import_official(shared_data / "meta_train", tmp_path / "official")
    overlap = class_overlap(database)
    assert (overlap.labels, overlap.tasks, overlap.same_tasks) == (400, 388, 228)
    assert overlap.shared_classes == overlap.classes == 600
    split = split_database(database)
    assert split.name == "by_task"
    assert split.overlap.same_tasks == 0


# --- one recipe -----------------------------------------------------------------------------------------------


@pytest.fixture
def two_recipes(make: MakeDatabase, tiny_recipe: Recipe) -> MetaDatabase:
    longer = Recipe(**tiny_recipe.to_dict() | {"name": "longer", "epochs": 9})
    return make(("tt", "tt", "vv", "vv"), {"b": longer, "d": longer})


def test_labels_of_one_recipe(two_recipes: MetaDatabase, tiny_recipe: Recipe) -> None:
    names = {name: key for key, name in recipes(two_recipes).items()}
    assert set(names) == {"tiny", "longer"}
    assert names["tiny"] == tiny_recipe.fingerprint
    for choice in ("longer", names["longer"], names["longer"][:8]):
        database = of_recipe(two_recipes, choice)
        assert set(database.records["recipe"]) == {names["longer"]}
        assert database.task_classes == [TASKS["b"][1], TASKS["d"][1]]
        assert database.task_index.tolist() == [0, 0, 1, 1]
        assert set(database.archs) == set(database.records["arch"])
        assert split_database(database).valid.tolist() == [False, False, True, True]
        assert recipes(database) == {names["longer"]: "longer"}


def test_recipes_are_not_mixed(two_recipes: MetaDatabase) -> None:
    with pytest.raises(
        ConfigError, match=r"of 2 recipes, whose .*(longer|tiny) \(\w{16}: 4 labels\), .*label_recipe=\.\.\."
    ):
        of_recipe(two_recipes)
    with pytest.raises(UnknownNameError, match=r"recipe of the database 'digits' 'lnger'\. Did you mean 'longer'"):
        of_recipe(two_recipes, "lnger")


def test_recipes_of_one_name(make: MakeDatabase, tiny_recipe: Recipe) -> None:
    other = Recipe(**tiny_recipe.to_dict() | {"epochs": 9})
    database = make(("tt", "tt", "vv", "vv"), {"b": other})
    with pytest.raises(ConfigError, match=r"tiny \(\w+: 6 labels\)"):
        of_recipe(database, "tiny")
    assert len(of_recipe(database, other.fingerprint).records) == 2


def test_the_only_recipe_needs_no_choice(make: MakeDatabase) -> None:
    database = make(("tt", "tt", "vv", "vv"))
    assert of_recipe(database) is database
    assert of_recipe(database, "tiny") is database
    with pytest.raises(UnknownNameError, match=r"Known: .*tiny"):
        of_recipe(database, "demo")
