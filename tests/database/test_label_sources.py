import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.data.glyphs import glyph_classes
from metad2a.data.image_set import ImageSet
from metad2a.database.executors import Inline
from metad2a.database.label_sources import LabelSource, draw_tasks, licences, places
from metad2a.database.planning import plan
from metad2a.database.published import MetaDatabase
from metad2a.database.records import GLYPHS
from metad2a.errors import ConfigError, DataError, UnknownNameError
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.nasbench201 import NASBench201

DRAWN = LabelSource(
    GLYPHS, "ours", classes_per_task=(3, 6), images_per_class=8, tasks=12, valid_tasks=4, valid_classes=0.3
)
HELD_OUT = LabelSource(
    "embedded:digits",
    "theirs",
    classes_per_task=4,
    images_per_class=None,
    valid_tasks=3,
    valid_classes=1.0,
    valid_fraction=0.5,
)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """Return a file of five classes, called a to e, with 6, 7, 8, 9 and 10 images."""
    labels = np.repeat(np.arange(5), [6, 7, 8, 9, 10])
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "somewhere" / "images.npz"
    path.parent.mkdir()
    np.savez(path, x=pixels, y=labels, classes=np.array(list("abcde")))
    return path


def test_meta_validation_has_classes_that_no_other_task_has() -> None:
    tasks, splits = draw_tasks([DRAWN], seed=0)
    classes = {
        part: {name for task in tasks if splits[task.id] == part for name in task.classes}
        for part in ("train", "valid")
    }
    assert Counter(splits.values()) == {"train": 12, "valid": 4}
    assert classes["train"]
    assert not classes["train"] & classes["valid"]
    whole = draw_tasks([replace(DRAWN, tasks=400, valid_tasks=400)], seed=0)
    aside = {name for task in whole[0] if whole[1][task.id] == "valid" for name in task.classes}
    assert 0.9 * (most := round(0.3 * len(glyph_classes()))) < len(aside) <= most
    assert {len(task.classes) for task in whole[0]} == {3, 4, 5, 6}


def test_tasks_do_not_depend_on_their_number_nor_on_other_sources() -> None:
    some, _ = draw_tasks([replace(DRAWN, tasks=5, valid_tasks=2)], seed=0)
    more, splits = draw_tasks([DRAWN], seed=0)
    assert some[:5] == more[:5]
    both, both_splits = draw_tasks([HELD_OUT, DRAWN], seed=0)
    assert set(more) < set(both)
    assert both_splits | splits == both_splits
    assert not set(draw_tasks([DRAWN], seed=1)[0]) & set(more)


def test_tasks_of_several_sources_are_mixed_and_always_in_the_same_order() -> None:
    tasks, splits = draw_tasks([DRAWN, HELD_OUT], seed=0)
    again, _ = draw_tasks([HELD_OUT, DRAWN], seed=0)
    assert tasks == again
    places = [number for number, task in enumerate(tasks) if task.source == "embedded:digits"]
    assert places[-1] - places[0] > 3
    assert all(splits[tasks[number].id] == "valid" for number in places)
    half = tasks[: len(tasks) // 2]
    assert {splits[task.id] for task in half} == {"train", "valid"}


def test_without_meta_validation_there_is_no_split() -> None:
    _, splits = draw_tasks([replace(DRAWN, valid_tasks=0)], seed=0)
    assert splits == {}


def test_the_demo_database_is_still_planned() -> None:
    """Its keys are computed from the values in conf/, which its manifest names."""
    from metad2a.cli.configuration import compose, plain

    values = plain(compose("build_database", []))
    [(name, content)] = values["label_source"].items()
    tasks, splits = draw_tasks([LabelSource.from_dict(name, content)], seed=0)
    recipe = Recipe.from_dict(values["recipe"])
    jobs = plan(NASBench201(), tasks, archs_per_task=6, recipe=recipe, splits=splits)
    assert [job.key for job in jobs[:6]] == [
        job.key for job in plan(NASBench201(), tasks, n=240, recipe=recipe)[:6]
    ]
    assert {job.key for job in jobs} == set(MetaDatabase.load("demo").records["key"])


def test_a_source_has_a_name_of_its_own_wherever_its_images_are(npz: Path, tiny_recipe: Recipe) -> None:
    part = LabelSource.from_dict(
        "mine", {"images": str(npz), "licence": "ours", "tasks": 2, "classes_per_task": 4, "images_per_class": None}
    )
    tasks, _ = draw_tasks([part], seed=0)
    assert {task.source for task in tasks} == {"mine"}
    fewest = {"a": 6, "b": 7}
    for task in tasks:
        assert task.images_per_class == min(fewest.get(name, 8) for name in task.classes)
    assert (places([part]), licences([part])) == ({"mine": str(npz)}, {"mine": "ours"})
    jobs = plan(NASBench201(), tasks, archs_per_task=1, recipe=tiny_recipe)
    assert [record.status for record in Inline(places([part])).run(jobs)] == ["ok", "ok"]
    (lost, _) = Inline().run(jobs)
    assert lost.error is not None
    assert "images 'mine' do not exist" in lost.error


def test_a_range_takes_what_there_is_and_a_number_is_exact(npz: Path) -> None:
    """Classes a to e have 6, 7, 8, 9 and 10 images; all are in the one task."""
    part = LabelSource("mine", "ours", 5, (2, 8), images=str(npz), tasks=1)
    for images_per_class, found in (((2, 8), 6), ((2, 5), 5), ((6, 8), 6), (6, 6), (5, 5), (None, 6)):
        [task], _ = draw_tasks([replace(part, images_per_class=images_per_class)], seed=0)
        assert task.images_per_class == found
    way_out = r"\(images_per_class\): give images_per_class=\[2,{}\] .*, or leave that class out"
    for images_per_class, least, most in ((120, 120, 120), ((7, 9), 7, 9)):
        message = f"class 'a' of 'mine' has 6 images, but a task takes {least} of each class {way_out.format(most)}"
        with pytest.raises(ConfigError, match=message):
            draw_tasks([replace(part, images_per_class=images_per_class)], seed=0)


def test_one_image_is_too_few(tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", x=np.zeros((5, 8, 8, 3), dtype=np.uint8), y=np.array([0, 0, 1, 2, 2]))
    part = LabelSource("mine", "ours", 3, None, images=str(tmp_path / "few.npz"), tasks=1)
    with pytest.raises(
        ConfigError, match=r"class '1' .* has 1 images, but a task takes 2 .*: leave that class out"
    ):
        draw_tasks([part], seed=0)


def listed(folder: Path, tasks: Any) -> str:
    path = folder / "tasks.json"
    path.write_text(json.dumps({"tasks": tasks}))
    return str(path)


def test_a_list_of_tasks_takes_the_place_of_drawing_them(npz: Path, tmp_path: Path) -> None:
    path = listed(tmp_path, [{"classes": list("edc")}, {"classes": list("ab"), "split": "valid"}])
    part = LabelSource("mine", "ours", 20, None, images=str(npz), task_list=path)
    tasks, splits = draw_tasks([part], seed=0)
    assert [task.classes for task in tasks] == [("e", "d", "c"), ("a", "b")]
    assert [task.images_per_class for task in tasks] == [8, 6]
    assert [splits[task.id] for task in tasks] == ["train", "valid"]
    assert tasks == draw_tasks([part], seed=0)[0]
    assert tasks[0].open(ImageSet.open(str(npz)))[0].counts.tolist() == [6, 6, 6]


@pytest.mark.parametrize(
    ("tasks", "error", "message"),
    [
        ([{"classes": ["a", "x"]}], UnknownNameError, "class of 'mine' 'x'"),
        ([{"classes": ["a"]}], ConfigError, "at least 2 classes"),
        ([{"classes": ["a", "b"], "split": "both"}], ConfigError, "split 'both'"),
        ([{"classes": [1, 2]}], ConfigError, "classes"),
        ([{"class": "a"}], ConfigError, "no list of tasks"),
        ([], ConfigError, "lists no tasks"),
        (3, ConfigError, "no list of tasks"),
    ],
)
def test_lists_that_cannot_be_used(
    npz: Path, tmp_path: Path, tasks: Any, error: type[Exception], message: str
) -> None:
    part = LabelSource("mine", "ours", 20, None, images=str(npz), task_list=listed(tmp_path, tasks))
    with pytest.raises(error, match=message):
        draw_tasks([part], seed=0)
    with pytest.raises(ConfigError, match="cannot read"):
        draw_tasks([replace(part, task_list=str(tmp_path / "missing.json"))], seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licence": ""}, "such as .CC BY 4.0."),
        ({"licence": None}, "such as .CC BY 4.0."),
        ({"tasks": 0}, "tasks is 0"),
        ({"tasks": -1}, "tasks is -1"),
        ({"tasks": "many"}, "tasks is 'many', but must be a whole number"),
        ({"tasks": None}, "tasks is None"),
        ({"valid_tasks": 3}, "above 0 for valid_tasks"),
        ({"valid_classes": 1.5}, "valid_classes is 1.5"),
        ({"valid_classes": 1.0}, "held out whole.*4 other tasks"),
        ({"classes_per_task": [2, 3, 4]}, "one whole number or two"),
        ({"classes_per_task": [1, 3]}, "classes_per_task is 1 to 3, but must be between 2 and the 10"),
        ({"classes_per_task": [5, 4]}, "between 2 and the 10"),
        ({"classes_per_task": 9, "valid_tasks": 1, "valid_classes": 0.5}, "between 2 and the 5 classes"),
        ({"images_per_class": 1}, "at least 2 classes, 2 images"),
        ({"images_per_class": 0}, "at least 2 classes, 2 images"),
        ({"images_per_class": [1, 8]}, "at least 2 classes, 2 images"),
        ({"images_per_class": [8, 5]}, "images_per_class is 8 to 5: give the least first"),
        ({"images_per_class": "all"}, "images_per_class is 'all', but must be a whole number"),
        ({"images_per_class": 1000}, "but a task takes 1000 of each class"),
        ({"valid_fraction": 0}, "a share between 0 and 1"),
    ],
)
def test_values_that_cannot_be_used(change: dict[str, Any], message: str) -> None:
    content = {"source": "embedded:digits", "licence": "ours", "tasks": 4, "classes_per_task": 3}
    with pytest.raises(ConfigError, match=message):
        draw_tasks([LabelSource.from_dict("digits", {**content, "images_per_class": 8, **change})], seed=0)


def test_what_is_missing_or_misspelt_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"label source 'x' 'task'.*Did you mean 'tasks'"):
        LabelSource.from_dict("x", {"task": 3})
    with pytest.raises(ConfigError, match="lacks licence, classes_per_task, images_per_class"):
        LabelSource.from_dict("x", {"tasks": 3})
    with pytest.raises(ConfigError, match="no source"):
        draw_tasks([], seed=0)
    with pytest.raises(ConfigError, match="drawn, not found"):
        draw_tasks([replace(DRAWN, images_per_class=None)], seed=0)
    with pytest.raises(ConfigError, match="drawn, not found"):
        draw_tasks([replace(DRAWN, images_per_class=(2, 8))], seed=0)
    with pytest.raises(ConfigError, match=r"two label sources .*, but their valid_classes differ"):
        draw_tasks([DRAWN, replace(DRAWN, valid_classes=0.5)], seed=0)
    with pytest.raises(DataError, match="'nowhere' do not exist"):
        draw_tasks([replace(DRAWN, source="mine", images="nowhere")], seed=0)
