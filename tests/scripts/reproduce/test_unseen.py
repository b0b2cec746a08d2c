import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from metad2a.evaluation.paper import final_training
from metad2a.fitting.recipes import get_recipe
from metad2a.runtime import shipped

Run = Callable[..., Any]


def images(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"x": rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8), "y": np.arange(count) % 3}


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    values = yaml.safe_load(shipped("conf", "recipe", "metatest.yaml").read_text("utf-8"))
    values |= {"name": "tiny", "batch_size": 8, "resolution": 8, "scale": {"channels": 2, "cells": 1}}
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_recipe_is_the_papers() -> None:
    recipe = get_recipe("metatest")
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.momentum) == (200, 256, 0.1, 0.9)
    assert (recipe.weight_decay, recipe.nesterov, recipe.schedule, recipe.warmup) == (5e-4, True, "cosine", 0)
    assert (recipe.flip, recipe.crop_padding, recipe.resolution) == (False, 0, 32)
    assert recipe.scale == {"channels": 16, "cells": 5}


def test_unseen(
    files: Any,
    run: Run,
    official: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("mnist", "pets"):
        files.save_features(official, name, 3)
    for part, count in (("train", 30), ("test", 24)):
        (tmp_path / "mnist").mkdir(exist_ok=True)
        np.savez(tmp_path / "mnist" / f"{part}.npz", **images(count, seed=count))
        content = images(count, seed=count + 1)
        for number, (pixels, label) in enumerate(zip(content["x"], content["y"], strict=True)):
            folder = tmp_path / "animals" / part / f"class {label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    split = official / "nas_bench_201/configs/nas-benchmark/mnist-test-split.txt"
    split.parent.mkdir(parents=True)
    even, odd = ([str(row) for row in range(first, 24, 2)] for first in (0, 1))
    split.write_text(json.dumps({"xvalid": ["int", even], "xtest": ["int", odd]}))

    quick = ("--candidates", 5, "--recipe", tiny_recipe, "--epochs", 1, "--out", "out", "--device", "cpu")
    done = run("unseen", official, *quick, "mnist", "--baselines").done()
    assert "99.71 ± 0.08" in done.out
    done = run("unseen", official, "pets=animals", *quick).done()
    assert "41.50 ± 4.39" in done.out
    found = {name: json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("mnist", "pets")}
    assert found["mnist"]["test_half"].startswith("theirs")
    assert found["pets"]["test_half"].startswith("ours")
    for facts in found.values():
        assert facts["test_images"] == 12
        assert facts["seeds"] == [777, 888, 999]
        for row in facts["rows"].values():
            assert len(row["accuracies"]) == 3
            assert row["mean"] == pytest.approx(np.mean(row["accuracies"]))
            right = np.array(row["accuracies"]) * 12 / 100
            assert right == pytest.approx(right.round())
    assert [len(facts["rows"]) for facts in found.values()] == [3, 1]
    assert found["mnist"]["rows"]["the cell with most parameters"]["arch"].count("nor_conv_3x3") == 6

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(final_training, "fit_network", refuse)
    run("unseen", official, "mnist", *quick).done()
    again = json.loads((tmp_path / "out" / "mnist.json").read_text())
    assert list(again["rows"].values()) == list(found["mnist"]["rows"].values())[:1]


def test_images_of_another_data_set(files: Any, run: Run, official: Path, tmp_path: Path) -> None:
    files.save_features(official, "svhn", 4)
    for part in ("train", "test"):
        (tmp_path / "svhn").mkdir(exist_ok=True)
        np.savez(tmp_path / "svhn" / f"{part}.npz", **images(12, seed=1))
    run("unseen", official, "svhn").refused("the images of svhn have 3 classes, its features 4")
    assert run("unseen", official, "flowers").code == 2


def test_interrupted(
    files: Any,
    run: Run,
    official: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files.save_features(official, "svhn", 3)
    for part in ("train", "test"):
        (tmp_path / "svhn").mkdir(exist_ok=True)
        np.savez(tmp_path / "svhn" / f"{part}.npz", **images(12, seed=1))
    fit_network = final_training.fit_network

    def interrupted(*arguments: Any, seed: int, **options: Any) -> Any:
        if seed == 888:
            raise KeyboardInterrupt
        return fit_network(*arguments, seed=seed, **options)

    quick = ("svhn", "--candidates", 3, "--recipe", tiny_recipe, "--epochs", 1, "--out", "out")
    monkeypatch.setattr(final_training, "fit_network", interrupted)
    outcome = run("unseen", official, *quick)
    assert outcome.code == 130
    assert "same command goes on" in outcome.err
    kept = [path.name for path in (tmp_path / "out/trainings/svhn").rglob("*.json")]
    assert kept == ["seed-777.json"]
    monkeypatch.setattr(final_training, "fit_network", fit_network)
    run("unseen", official, *quick).done()
    assert len(list((tmp_path / "out/trainings/svhn").rglob("*.json"))) == 3
