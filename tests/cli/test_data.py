"""metad2a data, on a small .npz; the layouts have their own tests in tests/data/imagenet."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
OPTIONS = ("--resolution", 8, "--classes-per-task", 2, "--valid-tasks", 0, "--valid-classes", 0)


def test_prepare_and_use(run: Run, npz: Path, tmp_path: Path) -> None:
    done = run(
        "data", "prepare", "imagenet", npz, "out", *OPTIONS, "--images-per-class", 5, "--tasks-count", 4
    ).done()
    assert "out: 15 images of 8 pixels, 3 classes of 5 to 5, 4 tasks for meta-training and 0 for meta" in done.out
    assert "wrote out" in done.out
    assert len(json.loads((tmp_path / "out/tasks.json").read_text())["tasks"]) == 4
    assert "every file is as it was written" in run("data", "verify", "out").done().out
    assert "images of class: 5 to 5" in run("info", "out").done().out
    assert "candidates" not in run("search", "out", "--candidates", 5, "--top", 1).done().err


def test_again(run: Run, npz: Path, tmp_path: Path) -> None:
    run("data", "prepare", "imagenet", npz, "out", *OPTIONS).done()
    written = (tmp_path / "out/images.npy").stat().st_mtime_ns
    again = run("data", "prepare", "imagenet", npz, "out", *OPTIONS, "--tasks-count", 3).done()
    assert "30 images of 8 pixels, 3 classes of 10 to 10, 3 tasks" in again.out
    assert (tmp_path / "out/images.npy").stat().st_mtime_ns == written
    run("data", "prepare", "imagenet", npz, "out", *OPTIONS, "--images-per-class", 5).refused(
        "prepared from something else", "Choose another folder"
    )


def test_mistakes(run: Run, npz: Path, tmp_path: Path) -> None:
    run("data", "prepare", "imagenet", "nowhere", "out").refused("nowhere do not exist", "Tiny-ImageNet")
    run("data", "prepare", "imagenet", npz, "out").refused("a task needs 20")
    run("data", "prepare", "imagenet", npz, "out", "--part", "test").refused("Known: all, train, val")
    run("data", "verify", tmp_path).refused("holds no prepared images")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["images.npy", "labels.npy"])
def test_damage_is_found(run: Run, npz: Path, tmp_path: Path, change: str) -> None:
    run("data", "prepare", "imagenet", npz, "out", *OPTIONS).done()
    content = bytearray((tmp_path / "out" / change).read_bytes())
    content[-5 if change == "images.npy" else 40] ^= 1
    (tmp_path / "out" / change).write_bytes(content)
    run("data", "verify", "out").refused(change if change == "images.npy" else "damaged")
