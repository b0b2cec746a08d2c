"""metad2a train predictor, with every option that the paper does not have, and a search with what comes of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metad2a.models.checkpoint import Checkpoint
from metad2a.tracking.read import read_run

Run = Callable[..., Any]
OPTIONS = {
    "model.loss": "pairwise",
    "model.target": "ranks",
    "model.label": "curve",
    "model.graph_encoder": "gin",
    "model.arch_features": "true",
    "model.pretrain_epochs": 1,
}


@pytest.fixture(scope="module")
def variant(tmp_path_factory: pytest.TempPathFactory, invoke: Run, tiny_database: tuple[str, ...]) -> Path:
    """Return the run folder of a predictor with all options at once."""
    folder = tmp_path_factory.mktemp("variant")
    more = [text for text in tiny_database if not text.startswith("archs_per_task")]
    invoke(folder, "build-database", "out=tiny", "name=tiny", *more, "archs_per_task=5").done()
    options = [f"{key}={value}" for key, value in OPTIONS.items()]
    invoke(folder, "train", "predictor", f"database={folder / 'tiny'}", "debug=limit", *options).done()
    [made] = (folder / "runs/train").iterdir()
    return made


def test_the_checkpoint_says_what_it_is(variant: Path) -> None:
    assert read_run(variant)["status"] == "done"
    checkpoint = Checkpoint.load(variant / "checkpoints/best.safetensors")
    assert checkpoint.parts["predictor"].config["graph_encoder"] == "gin"
    assert checkpoint.parts["predictor"].config["arch_features"] > 400
    said = checkpoint.provenance["predictor"]["variant"]
    assert said == {"target": "ranks", "loss": "pairwise", "label": "curve", "pretrain_epochs": 1}
    assert float(checkpoint.parts["predictor"].state["feature_scale"]) != 1.0


def test_search_by_it_and_by_an_ensemble(
    run: Run, tmp_path: Path, npz: Path, variant: Path, trained: dict[str, Path]
) -> None:
    files = [folder / "checkpoints/best.safetensors" for folder in (trained["generator"], variant)]
    search = ("search", npz, *(text for file in files for text in ("--checkpoint", file)), "--candidates", 20)
    run(*search, "--json", "one.json").done()
    other = trained["predictor"] / "checkpoints/best.safetensors"
    run(*search, "--checkpoint", other, "--json", "two.json").done()
    one, two = (json.loads((tmp_path / f"{name}.json").read_text())["candidates"] for name in ("one", "two"))
    assert len(one) == len(two) == 20
    assert all(row["std"] is None for row in one)
    assert all(row["std"] > 0 for row in two)


def test_what_is_refused(run: Run, database: Path, variant: Path) -> None:
    train = ("train", "predictor", f"database={database}", "debug=limit")
    run(*train, "model.loss=hinge").refused("model.loss=hinge", "squared, pairwise")
    run(*train, "model.target=x").refused("model.target=x", "accuracy, ranks")
    run(*train, "model.graph_encoder=x").refused("gru, gin")
    run(*train, "model.pretrain_epochs=-1").refused("model.pretrain_epochs=-1")
    run(*train, "model.label=curve").refused("Set model.target=ranks")
    run(*train, "model.target=ranks").refused("no task of the database has 4 architectures")
    init = f"init={variant / 'checkpoints/best.safetensors'}"
    run(*train, init, "model.pretrain_epochs=1").refused("model.pretrain_epochs=1", "brings its own")


def test_fine_tuning_keeps_the_variant(run: Run, tmp_path: Path, variant: Path) -> None:
    database = variant.parents[2] / "tiny"
    init = f"init={variant / 'checkpoints/best.safetensors'}"
    run("train", "predictor", f"database={database}", "debug=limit", init, "model.target=ranks").done()
    [made] = (tmp_path / "runs/train").iterdir()
    config = Checkpoint.load(made / "checkpoints/best.safetensors").parts["predictor"].config
    assert (config["graph_encoder"], config["arch_features"] > 400) == ("gin", True)
