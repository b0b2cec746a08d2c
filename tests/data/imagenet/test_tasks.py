import json
from pathlib import Path

import pytest

from metad2a.data.imagenet.names import ImageNetNames
from metad2a.data.imagenet.tasks import draw_tasks, read_tasks
from metad2a.errors import ConfigError, DataError

CLASSES = [f"n{number:08d}" for number in range(200)]
NAMES = ImageNetNames(tuple(f"n{(label * 37) % 1000:08d}" for label in range(1000)))


def test_validation_has_classes_of_its_own() -> None:
    drawn = draw_tasks(CLASSES, tasks=40, valid_tasks=15, seed=3)
    assert [task.split for task in drawn] == ["train"] * 40 + ["valid"] * 15
    assert all(len(set(task.classes)) == 20 for task in drawn)
    train, valid = (
        {name for task in drawn if task.split == split for name in task.classes} for split in ("train", "valid")
    )
    assert not train & valid
    assert (len(train), len(valid)) == (160, 40), "in so many tasks every class is used"
    assert len({task.classes for task in drawn}) == 55


def test_tasks_depend_on_the_seed_but_not_on_their_number() -> None:
    drawn = draw_tasks(CLASSES, tasks=8, valid_tasks=4, seed=1)
    more = draw_tasks(CLASSES, tasks=9, valid_tasks=5, seed=1)
    assert more[:8] == drawn[:8]
    assert more[9:13] == drawn[8:]
    assert draw_tasks(CLASSES, tasks=8, valid_tasks=4, seed=2) != drawn
    assert drawn[0].to_dict() == {"classes": list(drawn[0].classes), "split": "train"}


def test_one_part_only() -> None:
    assert {task.split for task in draw_tasks(CLASSES, tasks=2, valid_tasks=0, valid_classes=0.0)} == {"train"}
    assert {task.split for task in draw_tasks(CLASSES, tasks=0, valid_tasks=2, valid_classes=1.0)} == {"valid"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"valid_classes": 0.05}, "10 of 200 classes are for valid tasks, but a task needs 20"),
        ({"classes_per_task": 161}, "160 of 200 classes are for train tasks"),
        ({"tasks": 0, "valid_tasks": 0}, "one task at least"),
        ({"tasks": -1}, "cannot draw -1 and 5 tasks"),
        ({"classes_per_task": 1}, "of 2 classes or more"),
        ({"valid_classes": 1.5}, "a share from 0 to 1"),
    ],
)
def test_what_cannot_be_drawn(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw_tasks(CLASSES, **{"tasks": 5, "valid_tasks": 5, **wrong})


def write(folder: Path, content: object) -> Path:
    (folder / "tasks.json").write_text(json.dumps(content))
    return folder / "tasks.json"


def test_a_list_of_labels(tmp_path: Path) -> None:
    path = write(tmp_path, [[1, 3], [1000, 2], [4, 5], [6, 7]])
    tasks = read_tasks(path, NAMES, valid_tasks=1)
    assert [task.classes for task in tasks[:2]] == [("n00000000", "n00000074"), ("n00000963", "n00000037")]
    assert sorted(task.split for task in tasks) == ["train"] * 3 + ["valid"]
    first = read_tasks(path, NAMES, tasks=2)
    assert [task.classes for task in first] == [task.classes for task in tasks[:2]]
    assert read_tasks(path, ImageNetNames(None))[0].classes == ("label 1", "label 3")
    splits = {tuple(task.split for task in read_tasks(path, NAMES, valid_tasks=1, seed=seed)) for seed in range(30)}
    assert len(splits) == 4


def test_a_list_of_names(tmp_path: Path) -> None:
    assert read_tasks(write(tmp_path, [["fox", "cat"]]), NAMES)[0].classes == ("fox", "cat")


@pytest.mark.parametrize(
    "content",
    [{"tasks": []}, [], 3, [3], [[1, 1]], [[1]], [["a", 2]], [[1.5, 2.5]], [[True, False]], [{"classes": [1, 2]}]],
)
def test_what_is_no_list(tmp_path: Path, content: object) -> None:
    with pytest.raises(DataError, match=r"list of (tasks|classes)"):
        read_tasks(write(tmp_path, content), NAMES)


def test_lists_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_tasks(tmp_path / "none.json", NAMES)
    path = write(tmp_path, [[1, 2], [3, 1001]])
    with pytest.raises(DataError, match="class 1001 is none of ImageNet's"):
        read_tasks(path, NAMES)
    for wrong in ({"tasks": 3}, {"tasks": 0}, {"tasks": 1, "valid_tasks": 2}):
        with pytest.raises(ConfigError, match="lists 2 tasks, but"):
            read_tasks(write(tmp_path, [[1, 2], [3, 4]]), NAMES, **wrong)
