import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from metad2a.data.image_set import ImageSet

FOLDER = Path(__file__).parents[3] / "scripts" / "reproduce"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Eighty classes of two images, each of one colour."""
    y = np.repeat(np.arange(80), 2)
    x = np.broadcast_to(y[:, None, None, None], (160, 8, 8, 3)).astype(np.uint8)
    path = tmp_path / "images.npz"
    np.savez(path, x=x, y=y, classes=np.array([f"class {number}" for number in range(80)]))
    return path


def test_no_class_of_a_test_is_in_a_task(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    script = runpy.run_path(str(FOLDER / "mobilenetv3_tasks.py"))
    few = ["--train-tasks", "5", "--valid-tasks", "3", "--test-tasks", "2", "--test", f"8={images}", f"4={images}"]
    monkeypatch.setattr(sys, "argv", ["mobilenetv3_tasks.py", str(images), str(tmp_path / "out"), *few])
    script["main"]()
    tasks = json.loads((tmp_path / "out.json").read_text("utf-8"))["tasks"]
    assert [task["split"] for task in tasks] == ["train"] * 5 + ["valid"] * 3
    parts = {
        part: {name for task in tasks if task["split"] == part for name in task["classes"]}
        for part in ("train", "valid")
    }
    assert not parts["train"] & parts["valid"]
    assert all(len(set(task["classes"])) == len(task["classes"]) >= 10 for task in tasks)
    for number in (0, 1, "all"):
        large, small = (ImageSet.open(str(tmp_path / "out" / f"{side}px-{number}.npz")) for side in (8, 4))
        assert large.classes == small.classes
        assert len(large.classes) >= 10
        assert not set(large.classes) & (parts["train"] | parts["valid"])
        values = [f"class {value}" for value in small.load(np.arange(len(small)), 4)[:, 0, 0, 0]]
        assert values == [small.classes[label] for label in small.labels]
    assert parts["valid"] <= set(ImageSet.open(str(tmp_path / "out" / "8px-valid.npz")).classes)
    assert not parts["train"] & set(ImageSet.open(str(tmp_path / "out" / "8px-valid.npz")).classes)
