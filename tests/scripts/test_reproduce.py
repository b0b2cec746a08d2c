"""The scripts of scripts/reproduce, run on folders of the authors' form with random content."""

import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from metad2a.data.embedders import resnet18
from metad2a.data.features import FeatureSet
from metad2a.database.importers import official_features
from metad2a.evaluation.paper import final_training
from metad2a.fitting.recipe import Recipe
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.official import official_checkpoint
from metad2a.runtime import shipped, torch_rng
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3, from_official, to_official
from metad2a.spaces.nasbench201 import FIRST_OPERATION, OFFICIAL_TOPOLOGY, NASBench201

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "reproduce"
OPERATIONS = (3, 5, 6)  # types: skip connection, 3x3 convolution, pooling
State = Callable[..., dict[str, Tensor]]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def done(self) -> "Outcome":
        assert self.code == 0, self.out + self.err
        return self


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Return a function that runs a script in the test's own folder."""
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        code: Any = 0
        try:
            runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
        except SystemExit as exit_:
            code = exit_.code or 0
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def save(content: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def save_features(folder: Path, name: str, classes: int, images: int = 6) -> None:
    rng = torch_rng("official", name)
    content = {c: [torch.randn(images, 512, generator=rng).relu()] for c in range(classes)}
    save(content, folder / "data" / f"{name}bylabel.pt")


def models(folder: Path) -> tuple[Path, Path]:
    results = folder / "results"
    return results / "generator/model/ckpt_400.pt", results / "predictor/model/ckpt_max_corr.pt"


@pytest.fixture
def official(tmp_path: Path, official_state: State) -> Path:
    """Return a folder as the authors' code for NAS-Bench-201 leaves it: random models, features of CIFAR-10."""
    folder = tmp_path / "official"
    generator, predictor = models(folder)
    state = official_state("generator")
    # So it writes cells of three operations only, and not all of its graphs are valid.
    state["add_vertex.2.bias"][list(OPERATIONS)] += 40
    state["add_edge.2.bias"] += 2
    save(state, generator)
    save(official_state("predictor", hidden=24), predictor)
    save_features(folder, "cifar10", 3)
    return folder


@pytest.fixture
def table(official: Path, space: NASBench201) -> dict[str, float]:
    """Write the authors' table of the cells of three operations, with made-up accuracies; return CIFAR-10's."""
    cells = product([kind - FIRST_OPERATION for kind in OPERATIONS], repeat=6)
    texts = [space.format(Architecture(space.name, cell)) for cell in cells]
    accuracies = np.random.default_rng(0).uniform(10, 95, len(texts)).tolist()
    columns = {"cifar10": accuracies, "cifar100": [accuracy / 2 for accuracy in accuracies]}
    save({"arch": {"str": texts}, "test-acc": columns}, official / "data" / "nasbench201.pt")
    return dict(zip(texts, accuracies, strict=True))


# --- CIFAR ----------------------------------------------------------------------------------------------------


def test_cifar(run: Callable[..., Outcome], official: Path, table: dict[str, float], tmp_path: Path) -> None:
    save_features(official, "cifar100", 2)
    done = run("cifar", official, "--runs", 2, "--candidates", 32, "--out", "out", "--device", "cpu").done()
    for name in ("cifar10", "cifar100"):
        found = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert (tmp_path / "out" / f"{name}.md").read_text() in done.out
        assert len(found["per_run"]) == 2
        for row in found["per_run"]:
            assert row["generated"] == 32 < row["sampled"]
            bests = [row[f"best_of_{n}"] for n in (1, 2, 5, 10, 30)]
            assert bests == sorted(bests)
        first = [row["best_of_1"] for row in found["per_run"]]
        assert found["mean"]["best_of_1"] == pytest.approx(np.mean(first))
        assert found["interval95"]["best_of_1"] == pytest.approx(12.706 * np.std(first, ddof=1) / 2**0.5, rel=1e-4)
    assert "94.37 ± 0.03" in done.out
    assert "73.51 ± 0.00" in done.out

    model = MetaD2A(official_checkpoint(*models(official)), name="official", device="cpu")
    features = FeatureSet.load(tmp_path / "out/imported/cifar10.safetensors")
    result = model.search(features, n_candidates=32, random_state=1, constrained=False)
    true = [table[candidate.arch] for candidate in result.candidates]
    row = json.loads((tmp_path / "out/cifar10.json").read_text())["per_run"][1]
    assert row["best_of_1"] == true[0]
    assert row["best_of_30"] == max(true[:30])
    assert row["mean_generated"] == pytest.approx(np.mean(true))


def test_files_may_lie_elsewhere(
    run: Callable[..., Outcome], official: Path, table: dict[str, float], tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (*models(official), official / "data" / "nasbench201.pt"):
        path.rename(flat / path.name)
    moved = (official / "data" / "cifar10bylabel.pt").rename(tmp_path / "mine.pt")
    quick = ("--runs", 1, "--candidates", 30, "--out", "out", "--dataset", "cifar10")
    run("cifar", flat, "--features", moved, *quick).done()
    assert json.loads((tmp_path / "out/cifar10.json").read_text())["interval95"]["best_of_1"] is None
    assert run("cifar", flat, "--features", moved).code == 2


# --- what is missing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "arguments", "names"),
    [
        (
            "cifar",
            (),
            (
                "results/generator/model/ckpt_400.pt",
                "results/predictor/model/ckpt_max_corr.pt",
                "data/nasbench201.pt",
                "data/cifar10bylabel.pt",
                "data/cifar100bylabel.pt",
            ),
        ),
        ("cifar", ("--generator", "gone.pt", "--dataset", "cifar100"), ("gone.pt", "data/cifar100bylabel.pt")),
        ("generation", (), ("data/cifar10bylabel.pt", "data/meta_train_tasks_generator_idx.pt")),
        ("unseen", ("pets", "svhn=x"), ("data/svhnbylabel.pt", "pets/train/ or train.npz", "x/test/ or test.npz")),
        ("mobilenetv3", (), ("results/generator/model/ckpt_120.pt", "data/aircraft100bylabel.pt")),
        ("meta_training", (), ("data/imgnet32bylabel.pt", "data/meta_train_task_lst.pt")),
        (
            "meta_training",
            ("--space", "mobilenetv3"),
            ("data/generator/processed/collected_database.pt", "data/predictor/processed/collected_database.pt"),
        ),
    ],
)
def test_all_that_is_missing_is_told_at_once(
    run: Callable[..., Outcome], tmp_path: Path, script: str, arguments: tuple[str, ...], names: tuple[str, ...]
) -> None:
    outcome = run(script, tmp_path / "nothing", *arguments)
    assert outcome.code == 1
    assert outcome.err.startswith("error: missing, below ")
    assert "Traceback" not in outcome.err
    for name in names:
        [line] = [line for line in outcome.err.splitlines() if line.strip().startswith(f"{name} ")]
        assert len(line.split(name)[1].split()) > 3  # what it holds
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_called_missing(run: Callable[..., Outcome], official: Path) -> None:
    outcome = run("cifar", official, "--dataset", "cifar10")
    assert outcome.code == 1
    assert "data/nasbench201.pt" in outcome.err
    assert "ckpt" not in outcome.err
    assert "cifar10bylabel" not in outcome.err


def test_a_file_of_something_else_is_told(run: Callable[..., Outcome], official: Path, tmp_path: Path) -> None:
    save({"no": torch.ones(2)}, models(official)[1])
    outcome = run("generation", official, "--skip-novelty")
    assert outcome.code == 1
    assert "ckpt_max_corr.pt: neither an official generator nor" in outcome.err


@pytest.mark.parametrize("script", ["cifar", "generation", "unseen", "mobilenetv3", "meta_training"])
def test_help_says_what_is_done(run: Callable[..., Outcome], script: str) -> None:
    text = run(script, "--help").done().out
    assert "OFFICIAL_FOLDER" in text
    assert len(text.splitlines()) > 15


# --- generation -----------------------------------------------------------------------------------------------


def save_database(folder: Path, igraph: Callable[..., Any], which: str, tasks: int = 6) -> list[list[int]]:
    """Write a meta-training database of 420 random cells; return their vertex types."""
    rng = np.random.default_rng(0)
    types = [[0, *rng.integers(2, 7, 6).tolist(), 1] for _ in range(420)]
    content = {
        "acc": rng.uniform(50, 90, 420).tolist(),
        "task": rng.integers(0, tasks, 420).tolist(),
        "graph": [igraph(OFFICIAL_TOPOLOGY, kinds) for kinds in types],
    }
    save(content, folder / "data" / f"meta_train_tasks_{which}.pt")
    save(torch.randperm(420, generator=torch_rng(which)), folder / "data" / f"meta_train_tasks_{which}_idx.pt")
    save([rng.choice(12, 4, replace=False) + 1 for _ in range(tasks)], folder / "data" / "meta_train_task_lst.pt")
    return types


def test_generation(
    run: Callable[..., Outcome], official: Path, igraph: Callable[..., Any], tmp_path: Path
) -> None:
    save_database(official, igraph, "generator")
    done = run("generation", official, "--cells", 150, "--out", "out", "--device", "cpu").done()
    assert "98.97" in done.out
    made = json.loads((tmp_path / "out" / "cifar10.json").read_text())["made"]
    free, ruled, handed = made.values()
    assert free["sampled"] == ruled["sampled"] == handed["sampled"] == 150
    assert free["validity"] < 100
    assert ruled["validity"] == handed["validity"] == handed["uniqueness"] == 100
    for row in made.values():
        assert row["uniqueness"] == pytest.approx(100 * row["distinct"] / row["valid"])
        assert row["novelty"] == pytest.approx(100 * row["novel"] / row["distinct"])
    run("generation", official, "--cells", 20, "--out", "bare", "--skip-novelty").done()
    bare = json.loads((tmp_path / "bare" / "cifar10.json").read_text())["made"]
    assert {row["novelty"] for row in bare.values()} == {None}


# --- MobileNetV3 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("constrained", [True, False])
def test_mobilenetv3(run: Callable[..., Outcome], official_state: State, tmp_path: Path, constrained: bool) -> None:
    folder = tmp_path / "official"
    generator = official_state("generator", "mobilenetv3")
    # Of 22 random vertices almost nothing is a network: let it write chains of one depth.
    generator["add_vertex.2.bias"][2:11] += 8
    generator["add_edge.2.bias"] += 4
    save(generator, folder / "results/generator/model/ckpt_120.pt")
    save(official_state("predictor", "mobilenetv3", hidden=24), models(folder)[1])
    save_features(folder, "aircraft100", 5)
    done = run(
        *("mobilenetv3", folder, "--candidates", 8, "--max-flops", 3e8, "--out", "out", "--dataset", "aircraft"),
        *(["--constrained"] if constrained else []),
    ).done()
    assert "Not done: fine-tuning" in done.out
    found = json.loads((tmp_path / "out" / "aircraft.json").read_text())
    nets = found["candidates"]
    assert len(nets) == 8
    assert [net["score"] for net in nets] == sorted((net["score"] for net in nets), reverse=True)
    assert all(net["flops"] <= 3e8 for net in nets)
    assert len({from_official(net["net"]) for net in nets}) == 8
    assert found["dataset"]["classes"] == 5


# --- data sets without a table --------------------------------------------------------------------------------


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
    recipe = Recipe.from_dict(yaml.safe_load(shipped("conf", "recipe", "metatest.yaml").read_text("utf-8")))
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.momentum) == (200, 256, 0.1, 0.9)
    assert (recipe.weight_decay, recipe.nesterov, recipe.schedule, recipe.warmup) == (5e-4, True, "cosine", 0)
    assert (recipe.flip, recipe.crop_padding, recipe.resolution) == (False, 0, 32)
    assert recipe.scale == {"channels": 16, "cells": 5}


def test_unseen(
    run: Callable[..., Outcome],
    official: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("mnist", "pets"):
        save_features(official, name, 3)
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


def test_images_of_another_data_set(run: Callable[..., Outcome], official: Path, tmp_path: Path) -> None:
    save_features(official, "svhn", 4)
    for part in ("train", "test"):
        (tmp_path / "svhn").mkdir(exist_ok=True)
        np.savez(tmp_path / "svhn" / f"{part}.npz", **images(12, seed=1))
    outcome = run("unseen", official, "svhn")
    assert outcome.code == 1
    assert "the images of svhn have 3 classes, its features 4" in outcome.err
    assert run("unseen", official, "flowers").code == 2


def test_interrupted(
    run: Callable[..., Outcome],
    official: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_features(official, "svhn", 3)
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


# --- meta-training --------------------------------------------------------------------------------------------


def save_mobilenetv3_databases(folder: Path) -> None:
    """Write both databases of random networks on twenty tasks of ImageNet32's first twelve classes."""
    rng = np.random.default_rng(0)
    for kind in ("generator", "predictor"):
        rows = [
            {
                "top1": float(rng.uniform(50, 90)),
                "net": to_official(arch),
                "class": torch.from_numpy(np.sort(rng.choice(12, 3, replace=False))),
            }
            for arch in MobileNetV3().sample(20, rng)
        ]
        save(rows, folder / "data" / kind / "processed" / "collected_database.pt")


@pytest.mark.slow
@pytest.mark.parametrize("space", ["nasbench201", "mobilenetv3"])
def test_meta_training(
    run: Callable[..., Outcome],
    igraph: Callable[..., Any],
    resnet18_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    space: str,
) -> None:
    """Random weights count as the official ones, which are a download."""
    monkeypatch.setenv(resnet18.WEIGHTS_VARIABLE, str(resnet18_weights))
    monkeypatch.setenv("METAD2A_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(official_features, "OFFICIAL_FINGERPRINT", resnet18.ResNet18().fingerprint)
    folder = tmp_path / "official"
    if space == "nasbench201":
        for which in ("generator", "predictor"):
            save_database(folder, igraph, which)
    else:
        save_mobilenetv3_databases(folder)
    save_features(folder, "imgnet32", 12)
    quick = ("meta_training", folder, "--space", space, "--out", "out", "debug=limit")
    run(*quick).done()
    both = Checkpoint.load(tmp_path / "out" / f"{space}.safetensors")
    assert both.space == space
    assert set(both.parts) == {"generator", "predictor"}
    assert both.parts["generator"].config["topology"] is None  # it decides the edges itself, as the official one
    again = run(*quick).done()
    assert "$ metad2a train" not in again.out
    assert "$ metad2a resume" not in again.out
