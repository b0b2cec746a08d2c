"""metad2a fit-network, and metad2a resume of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from metad2a.cli.commands import fit_request
from metad2a.cli.fit_output import print_then_trained
from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError
from metad2a.fitting.fitted import load_fitted
from metad2a.fitting.loop import Fit
from metad2a.fitting.parts import split_parts
from metad2a.fitting.recipe import Recipe
from metad2a.search.result import Candidate, SearchResult
from metad2a.search.then_train import then_train
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.tracking.read import read_rows, read_run

Run = Callable[..., Any]
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
DEAD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
TINY = (
    "recipe.epochs=3",
    "recipe.batch_size=8",
    "recipe.images_per_epoch=24",
    "recipe.resolution=8",
    "recipe.scale.channels=2",
    "device=cpu",
)


def run_folder(where: Path) -> Path:
    [folder] = (where / "runs/fit-network").iterdir()
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, invoke: Run, npz: Path) -> tuple[Path, str]:
    """Return the run folder of a whole training, and what it printed."""
    where = tmp_path_factory.mktemp("fit")
    out = invoke(where, "fit-network", CELL, npz, *TINY, "seed=4", "json=found, all.json").done().out
    assert json.loads((where / "found, all.json").read_text()) == json.loads(
        (run_folder(where) / "result.json").read_text()
    )
    return run_folder(where), out


def test_what_it_says_and_leaves(finished: tuple[Path, str], npz: Path) -> None:
    folder, out = finished
    result = json.loads((folder / "result.json").read_text())
    assert result["images"] == {"train": 18, "valid": 6, "test": 6}
    test, card = result["test"], result["card"]
    assert test["accuracy"] == pytest.approx(100 * np.trace(test["confusion"]) / 6)
    assert [row["images"] for row in test["per_class"]] == [2, 2, 2]
    assert test["interval95"][0] <= test["accuracy"] <= test["interval95"][1]
    assert (card["arch"], card["seed"], card["recipe"]["name"]) == (CELL, 4, "short")
    assert card["accuracy"] == result["valid"]["accuracy"] == max(row["val/accuracy"] for row in result["curve"])
    assert f"test: {test['accuracy']:.2f} %" in out
    assert "taken for" in out
    assert str(folder.relative_to(folder.parents[2]) / "checkpoints/best.safetensors") in out
    assert "load_fitted(" in out
    loaded = load_fitted(folder)
    with np.load(npz) as arrays:
        assert set(loaded.card.classes) == {str(label) for label in set(arrays["y"].tolist())}
    run = read_run(folder)
    assert (run["job"], run["status"]) == ("fit-network", "done")
    assert {entry["path"] for entry in run["artifacts"]} == {
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "result.json",
    }
    assert [row["test/accuracy"] for row in read_rows(folder) if "test/accuracy" in row] == [test["accuracy"]]


def without_times(folder: Path) -> tuple[Any, ...]:
    result = json.loads((folder / "result.json").read_text()) | {"seconds": 0}
    rows = [{key: value for key, value in row.items() if key != "time"} for row in read_rows(folder)]
    return result, rows


def test_interrupted_and_resumed_equals_uninterrupted(
    run: Run, tmp_path: Path, finished: tuple[Path, str], npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Fit._finish_epoch

    def ctrl_c(self: Fit) -> None:
        finish(self)
        if self.state.epoch == 2:  # its row is written, its state is not
            raise KeyboardInterrupt

    (tmp_path / "images").mkdir()
    shutil.copy(npz, tmp_path / "images/tiny.npz")
    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_finish_epoch", ctrl_c)
        outcome = run("fit-network", CELL, "images/tiny.npz", *TINY, "seed=4")
    folder = run_folder(tmp_path)
    assert outcome.code == 130
    assert f"metad2a resume {folder}" in outcome.err
    assert not (folder / "result.json").exists()
    assert read_run(folder)["status"] == "interrupted"
    monkeypatch.chdir(tmp_path / "images")  # the images were named from another place
    outcome = run("resume", folder).done()
    assert "test: " in outcome.out
    assert without_times(folder) == without_times(finished[0])
    for name in ("best", "last"):
        one, other = (load_file(path / f"checkpoints/{name}.safetensors") for path in (folder, finished[0]))
        assert all(torch.equal(one[key], other[key]) for key in other)
    run("resume", folder).done()  # of a finished run: the same again
    assert without_times(folder) == without_times(finished[0])


def test_a_candidate_of_a_search(run: Run, tmp_path: Path, npz: Path, checkpoints: list[str]) -> None:
    run("search", npz, *checkpoints, "--candidates", 5, "--json", "a result.json").done()
    candidates = json.loads((tmp_path / "a result.json").read_text())["candidates"]
    for number, (reference, rank) in enumerate([("a result.json", 1), ("a result.json#3", 3)]):
        run("fit-network", reference, npz, *TINY, "recipe.epochs=1", f"json={number}.json").done()
        found = json.loads((tmp_path / f"{number}.json").read_text())
        assert found["card"]["arch"] == candidates[rank - 1]["arch"]
    run("fit-network", "a result.json#9", npz).refused("no candidate of rank 9", "it has 5")


@pytest.mark.parametrize(
    ("evaluated", "rank", "said"),
    [
        ({}, 1, ""),
        ({"queries": {"best": "c", "accuracy": 61.5, "oracle": "table:a"}}, 3, "that --queries found (61.50 %)"),
        (
            {"then_train": ("b", 60.0)},
            2,
            "that --then-train found (60.00 %); found.json#1 is the first by prediction",
        ),
        ({"then_train": ("a", 60.0)}, 1, "that --then-train found (60.00 %)\n"),
        (
            {"then_train": ("b", 60.0), "queries": {"best": "c", "accuracy": 61.5, "oracle": "training:short"}},
            3,
            "found.json: rank 3, the best that --queries found (61.50 %)",
        ),
        (
            {"then_train": ("b", 60.0), "queries": {"best": "c", "accuracy": 91.5, "oracle": "table:a"}},
            2,
            "--then-train",
        ),
    ],
)
def test_the_best_that_is_known_is_taken(
    run: Run, tmp_path: Path, evaluated: dict[str, Any], rank: int, said: str
) -> None:
    cells = {"a": CELL, "b": DEAD, "c": CELL.replace("skip_connect", "none")}
    found: dict[str, Any] = {"schema_version": 1, "space": "nasbench201", "then_train": None, "queries": None}
    found["candidates"] = [{"rank": place, "arch": cell} for place, cell in enumerate(cells.values(), start=1)]
    if "then_train" in evaluated:
        name, mean = evaluated["then_train"]
        place = list(cells).index(name) + 1
        found["then_train"] = {"chosen": {"rank": place}, "candidates": [{"rank": place, "valid_mean": mean}]}
    if "queries" in evaluated:
        found["queries"] = evaluated["queries"] | {"best": cells[evaluated["queries"]["best"]]}
    (tmp_path / "found.json").write_text(json.dumps(found))
    chosen = list(cells.values())[rank - 1]
    looked_at = run("fit-network", "found.json", "images/", "--cfg", "job").done()
    assert f"arch: '{chosen}'" in looked_at.out or f"arch: {chosen}" in looked_at.out
    assert said in looked_at.err
    assert bool(said) == bool(looked_at.err)
    first = run("fit-network", "found.json#1", "images/", "--cfg", "job").done()
    assert (f"arch: '{CELL}'" in first.out or f"arch: {CELL}" in first.out, first.err) == (True, "")
    run("export", "found.json", "out", "--num-classes", 2, "--no-onnx").done()
    assert json.loads((tmp_path / "out/card.json").read_text())["arch"] == chosen


def test_a_test_set_of_its_own(run: Run, tmp_path: Path, npz: Path) -> None:
    rng = np.random.default_rng(1)
    test = tmp_path / "test, 'own'.npz"
    np.savez(test, x=rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8), y=np.arange(12) % 3)
    run("fit-network", CELL, npz, *TINY, "recipe.epochs=1", f"test={test}", "json=a.json").done()
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["images"] == {"train": 24, "valid": 6, "test": 12}
    np.savez(test, x=np.zeros((8, 8, 8), np.uint8), y=np.arange(8) % 4)
    run("fit-network", CELL, npz, *TINY, f"test={test}").refused("4 classes", "Both need the same ones")


def test_many_classes_are_not_drawn_as_a_matrix(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "many.npz", x=rng.integers(0, 256, (84, 8, 8), dtype=np.uint8), y=np.arange(84) % 21)
    out = run("fit-network", CELL, "many.npz", *TINY, "recipe.epochs=1").done().out
    assert "taken for" not in out
    assert "the 20 classes with most mistakes, of 21" in out


def test_mobilenetv3(run: Run, tmp_path: Path, npz: Path) -> None:
    from metad2a.runtime import numpy_rng
    from metad2a.spaces.mobilenetv3 import MobileNetV3

    space = MobileNetV3()
    arch = space.format(space.sample(1, numpy_rng("test"))[0])
    small = ("space=mobilenetv3", "recipe.epochs=1", "recipe.batch_size=8", "recipe.images_per_epoch=8")
    run("fit-network", arch, npz, *small).refused("unknown scale option for 'mobilenetv3'", "width")
    options = ("~recipe.scale", "recipe.resolution=32", "json=a.json", "device=cpu")
    run("fit-network", arch, npz, *small, *options).done()
    assert json.loads((tmp_path / "a.json").read_text())["card"]["space"] == "mobilenetv3"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rubbish", "NPZ"), ("rubbish",)),
        ((CELL, "nowhere/"), ("nowhere/", "do not exist")),
        ((CELL, "NPZ", "space=mobilenetv3"), ("mobilenetv3",)),
        ((CELL, "NPZ", "recipe=shrt"), ("Did you mean 'short'",)),
        ((CELL, "NPZ", "recipe.epohcs=3"), ("Did you mean 'recipe.epochs'",)),
        ((CELL, "NPZ", "valid_fraction=0.9"), ("cannot divide", "below 1")),
        ((CELL, "NPZ", "precision=8-bit"), ("precision=8-bit",)),
        ((CELL, "NPZ", "json=."), ("it is a folder",)),
        (("", "NPZ"), ("arch is empty",)),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...], words: tuple[str, ...], run: Run, tmp_path: Path, npz: Path
) -> None:
    run("fit-network", *(str(npz) if text == "NPZ" else text for text in arguments)).refused(*words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "reference", ["result.jsn", "result.jsn#3", "./result", "more/result.json", "result.json#x"]
)
@pytest.mark.parametrize("command", ["fit-network", "export"])
def test_a_file_that_is_not_there(run: Run, tmp_path: Path, command: str, reference: str) -> None:
    (tmp_path / "results.json").write_text("{}")
    path = tmp_path / reference.removesuffix("#3")
    said = [
        f"there is no file '{path.name}' in {path.parent}",
        "Give what `metad2a search IMAGES --json FILE` wrote",
    ]
    there = path.parent == tmp_path
    said.append(". Did you mean 'results.json'? " if there else ", which does not exist. Give")
    run(command, reference, "other").refused(*said)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"candidates": 3', ["it is no JSON (Expecting"]),
        ("[1, 2]", ["it does not hold keys and values"]),
        ('{"card": {}, "schema_version": 1}', ["it has no usable 'space', 'candidates'."]),
        ('{"schema_version": 1, "space": "nasbench201", "candidates": [], "scale": [3]}', ["no usable 'scale'."]),
        ('{"schema_version": 2, "space": "nasbench201", "candidates": []}', ["schema_version is 2", "reads 1"]),
        ('{"schema_version": 1, "space": "a", "candidates": [{"arch": "a"}]}', ["a candidate in it lacks 'rank'"]),
    ],
)
def test_a_file_that_is_no_result_of_a_search(run: Run, tmp_path: Path, content: str, words: list[str]) -> None:
    (tmp_path / "mine.json").write_text(content)
    for command in ("fit-network", "export"):
        run(command, "mine.json", "other").refused(
            "mine.json is no result of a search",
            *words,
            "Write such a file with `metad2a search IMAGES --json FILE`",
        )


def test_evaluations_that_are_incomplete_are_not_needed(run: Run, tmp_path: Path) -> None:
    found = {"schema_version": 1, "space": "nasbench201", "candidates": [{"rank": 1, "arch": CELL}]}
    (tmp_path / "mine.json").write_text(json.dumps(found | {"then_train": {"chosen": {}}}))
    run("fit-network", "mine.json", "images/").refused(
        "'then_train' or 'queries' is incomplete", "Give mine.json#1"
    )
    run("fit-network", "mine.json#1", "images/", "--cfg", "job").done()


def test_texts_of_other_spaces_may_look_like_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_request, "space_of", lambda text: "mine" if text == "conv/3.5" else None)
    assert fit_request.read_arch("conv/3.5") == fit_request.NamedArch("conv/3.5")
    with pytest.raises(ConfigError, match=r"there is no file '3\.6' in .*conv, which does not exist"):
        fit_request.read_arch("conv/3.6")


def test_any_name_of_a_result_will_do(run: Run, tmp_path: Path) -> None:
    found = {"schema_version": 1, "space": "nasbench201", "candidates": [{"rank": 1, "arch": CELL}]}
    for name in ("./found", "found.txt", "a#b.json"):
        (tmp_path / name).write_text(json.dumps(found))
        out = run("fit-network", name, "images/", "--cfg", "job").done().out
        assert f"arch: '{CELL}'" in out or f"arch: {CELL}" in out


def test_too_few_images_and_features_are_refused(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4) % 2)
    run("fit-network", CELL, "two.npz", *TINY).refused("too few images", "validation")


def test_the_configuration_can_be_looked_at(run: Run, tmp_path: Path) -> None:
    text = run("fit-network", CELL, "my images/", "recipe=nasbench201", "--cfg", "job").done().out
    assert "task_name: fit-network" in text
    assert f"arch: '{CELL}'" in text or f"arch: {CELL}" in text
    assert "epochs: 200" in text
    assert not list(tmp_path.rglob("run.json"))
    run("fit-network", CELL, "my images/", "valid_fracton=0.1").refused("Did you mean 'valid_fraction'?")


def test_a_sweep_trains_each(run: Run, tmp_path: Path, npz: Path) -> None:
    run("fit-network", CELL, npz, *TINY, "recipe.epochs=1", "-m", "seed=0,1").done()
    found = [json.loads(path.read_text()) for path in sorted(tmp_path.rglob("result.json"))]
    assert [one["card"]["seed"] for one in found] == [0, 1]


def test_a_torn_state_is_refused(run: Run, tmp_path: Path, finished: tuple[Path, str]) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(finished[0], folder)
    (folder / "checkpoints/last.pt").write_bytes(b"half")
    run("resume", folder).refused("cannot resume from", "last.pt")


def test_what_is_said_of_trained_candidates(npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    candidates = tuple(
        Candidate(rank, arch, 90.0 - rank, None, 1, 1, None, NASBench201(), 3)
        for rank, arch in enumerate([CELL, CELL.replace("skip_connect", "none"), DEAD], start=1)
    )
    recipe = Recipe("tiny", 2, 8, 0.1, resolution=8, scale={"channels": 2, "cells": 1})
    found = SearchResult(candidates, "nasbench201", "test", 0, {}, {}, {})
    done = then_train(found, split_parts(ImageSet.open(str(npz))), recipe, k=3, seeds=(0, 1))
    print_then_trained(done)
    out = capsys.readouterr().out
    assert "mean of 2 seeds" in out
    assert f"really best: candidate {done.chosen.candidate.rank}, test {done.test.accuracy:.2f} %" in out
    assert all(candidate.arch in out for candidate in candidates)
