"""metad2a import checkpoint: official files in, and what comes out is used like our own."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metad2a.data.embedders import resnet18
from metad2a.data.image_set import ImageSet
from metad2a.database.published import MetaDatabase
from metad2a.models.checkpoint import Checkpoint
from metad2a.search.metad2a import MetaD2A

Run = Callable[..., Any]
State = Callable[..., dict[str, Tensor]]


@pytest.fixture
def official(official_state: State, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an official file."""

    def write(name: str, space: str = "nasbench201", **size: int) -> Path:
        path = tmp_path / f"{space}-{name}.pt"
        torch.save(official_state(name, space, **size), path)
        return path

    return write


@pytest.fixture
def own_weights(resnet18_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let random weights of ResNet-18 count as the official ones, which are a download."""
    monkeypatch.setenv(resnet18.WEIGHTS_VARIABLE, str(resnet18_weights))
    monkeypatch.setattr(resnet18, "OFFICIAL_FINGERPRINT", resnet18.ResNet18().fingerprint)


def test_search_with_official_weights(
    run: Run, official: Callable[..., Path], own_weights: None, npz: Path, tmp_path: Path
) -> None:
    outcome = run("import", "checkpoint", official("generator"), official("predictor"), "both.safetensors").done()
    assert "generator of nasbench201, from nasbench201-generator.pt" in outcome.out
    assert "left behind, as no result depends on it: fc2, hv_unify.0, set_fc.0" in outcome.out
    assert "accuracy in percent = 71.5715 + 669.316 x score" in outcome.out
    assert "wrote both.safetensors" in outcome.out
    assert "resnet18" in run("info", "both.safetensors").done().out

    search = ("search", npz, "--checkpoint", "both.safetensors", "--candidates", 20, "--json")
    run(*search, "ours.json").done()
    made = json.loads((tmp_path / "ours.json").read_text())
    assert made["dataset"]["embedder"] == "resnet18"
    assert made["generation"]["valid"] == made["generation"]["sampled"]
    assert len(made["candidates"]) == 20
    run(*search, "free.json", "--unconstrained").done()
    free = json.loads((tmp_path / "free.json").read_text())
    assert 0 < free["generation"]["valid"] < free["generation"]["sampled"]

    for name in ("generator", "predictor"):
        run("import", "checkpoint", official(name), f"{name}.safetensors").done()
    two = ("--checkpoint", "generator.safetensors", "--checkpoint", "predictor.safetensors")
    run("search", npz, *two, "--candidates", 20, "--json", "two.json").done()
    assert json.loads((tmp_path / "two.json").read_text())["candidates"] == made["candidates"]


@pytest.mark.slow
def test_evaluate_runs_free(
    run: Run, official: Callable[..., Path], own_weights: None, npz: Path, space: Any, tmp_path: Path
) -> None:
    small = official("predictor", hidden=24)  # it ranks the whole space
    run("import", "checkpoint", official("generator"), small, "both.safetensors").done()
    rows = (f"{space.format(arch)},{sum(arch.choices)}" for arch in space.enumerate())
    (tmp_path / "table.csv").write_text("\n".join(["arch,made up", *rows]))
    tables = ("oracle=table.csv", "oracle_column=made up", "checkpoint=[both.safetensors]", "seeds=1")
    run("evaluate", f"dataset={npz}", *tables, "candidates=15", "constrained=false", "json=out.json").done()
    found = json.loads((tmp_path / "out.json").read_text())["metrics"]
    model = MetaD2A.from_checkpoint(tmp_path / "both.safetensors")
    features = model.embed(ImageSet.open(str(npz)), images_per_class=50)
    free, ours = (model.search(features, n_candidates=15, constrained=on).candidates for on in (False, True))
    truth = [np.mean([sum(space.parse(one.arch).choices) for one in candidates]) for candidates in (free, ours)]
    assert found["mean_generated"] == pytest.approx(truth[0])
    assert truth[0] != truth[1]


def test_the_accuracies_of_a_database(
    run: Run, official: Callable[..., Path], database: Path, tmp_path: Path
) -> None:
    run("import", "checkpoint", official("predictor"), "p.safetensors", "--database", database).done()
    accuracy = MetaDatabase.load(database).accuracy
    target = Checkpoint.load(tmp_path / "p.safetensors").target
    assert target == pytest.approx({"mean": accuracy.mean(), "std": 100 * accuracy.std(ddof=1)})
    run(
        "import", "checkpoint", official("predictor", "mobilenetv3"), "p.safetensors", "--database", database
    ).refused("is of 'nasbench201'", "predictor of 'mobilenetv3'")


def test_an_official_database(run: Run, official: Callable[..., Path], shared_data: Path, tmp_path: Path) -> None:
    """Its meta-training records say what is taken when nothing is said."""
    run("import", "metad2a-database", shared_data / "meta_train", "database").done()
    run("import", "checkpoint", official("predictor"), "a.safetensors", "--database", "database").done()
    run("import", "checkpoint", official("predictor"), "b.safetensors").done()
    targets = [Checkpoint.load(tmp_path / f"{name}.safetensors").target for name in "ab"]
    assert targets[0] == pytest.approx(targets[1], abs=1e-3)


def test_mobilenetv3_wants_mean_and_deviation(run: Run, official: Callable[..., Path], tmp_path: Path) -> None:
    predictor = official("predictor", "mobilenetv3")
    run("import", "checkpoint", predictor, "p.safetensors").refused("--target-mean M --target-std S", "--database")
    assert not (tmp_path / "p.safetensors").exists()
    run("import", "checkpoint", predictor, "p.safetensors", "--target-mean", 70, "--target-std", 5).done()
    assert Checkpoint.load(tmp_path / "p.safetensors").target == {"mean": 70.0, "std": 500.0}


def test_features_of_other_weights_are_refused(
    run: Run,
    official: Callable[..., Path],
    npz: Path,
    resnet18_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("import", "checkpoint", official("generator"), official("predictor"), "both.safetensors").done()
    monkeypatch.setenv(resnet18.WEIGHTS_VARIABLE, str(resnet18_weights))
    run("search", npz, "--checkpoint", "both.safetensors").refused(resnet18.OFFICIAL_FINGERPRINT, "'resnet18'")


def test_the_space_is_the_checkpoints(
    run: Run, official: Callable[..., Path], npz: Path, checkpoints: list[str]
) -> None:
    run(
        "import",
        "checkpoint",
        official("generator", "mobilenetv3"),
        official("predictor", "mobilenetv3"),
        "mb.safetensors",
        *("--target-mean", 70, "--target-std", 5),
    ).done()
    run("search", npz, "--checkpoint", "mb.safetensors", "--space", "nasbench201").refused("--space mobilenetv3")
    run("search", npz, *checkpoints, "--space", "mobilenetv3").refused("for the search space 'nasbench201'")
    run("search", npz, "--space", "nasbench").refused("Did you mean 'nasbench201'?")


def test_a_generator_without_edge_network_cannot_run_free(run: Run, npz: Path, checkpoints: list[str]) -> None:
    run("search", npz, *checkpoints, "--unconstrained").refused("cannot decode unconstrained")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target-mean", 70], ["give both"]),
        (["--target-mean", 70, "--target-std", 5, "--database", "demo"], ["one or the other"]),
        (["--target-mean", 0.7, "--target-std", -1], ["in percent"]),
        (["--database", "nowhere"], ["there is no database 'nowhere'"]),
    ],
)
def test_options_that_do_not_fit(
    run: Run, official: Callable[..., Path], tmp_path: Path, options: list[object], words: list[str]
) -> None:
    run("import", "checkpoint", official("predictor"), "p.safetensors", *options).refused(*words)
    assert not (tmp_path / "p.safetensors").exists()


def test_wrong_arguments(run: Run, official: Callable[..., Path], tmp_path: Path) -> None:
    generator, predictor = official("generator"), official("predictor")
    run("import", "checkpoints", generator, "x.safetensors").refused("Did you mean 'checkpoint'?")
    run("import", "checkpoint", generator, predictor, generator, "x.safetensors").refused("reads 2 at most")
    run("import", "metad2a-database", tmp_path, tmp_path, "out").refused("reads 1 at most")
    run("import", "metad2a-database", tmp_path, "out", "--target-mean", 3).refused("--target-mean means nothing")
    run("import", "checkpoint", generator, "x.pt").refused("ends in .safetensors")
    run("import", "checkpoint", official("generator", "mobilenetv3"), predictor, "x.safetensors").refused(
        "different search spaces"
    )
    twice = run("import", "checkpoint", generator, generator, "x.safetensors")
    twice.refused("one generator and a predictor or several")
    assert run("import", "checkpoint", generator).code == 2
    run("search", "embedded:digits", "--checkpoint", generator).refused("metad2a import checkpoint")


def test_files_that_are_no_official_model(run: Run, official: Callable[..., Path], tmp_path: Path) -> None:
    path = official("generator")
    state = torch.load(path, weights_only=True)
    (tmp_path / "old.safetensors").write_text("kept")

    def refused(*words: str) -> None:
        run("import", "checkpoint", path, "old.safetensors").refused(str(path), *words)
        assert (tmp_path / "old.safetensors").read_text() == "kept"
        assert {entry.suffix for entry in tmp_path.iterdir()} == {".pt", ".safetensors"}

    torch.save(state | {"colour": torch.zeros(1)}, path)
    refused("unknown keys: colour")
    torch.save({key: value for key, value in state.items() if key != "fc3.bias"}, path)
    refused("missing keys: fc3.bias")
    path.write_bytes(path.read_bytes()[:20_000])
    refused("damaged")
    path.write_bytes(pickle.dumps(print, protocol=2))
    refused("could run code")
    np.save(path.open("wb"), np.zeros(3))
    refused("no PyTorch file")
    path.unlink()
    run("import", "checkpoint", path, "old.safetensors").refused("there is no file")
