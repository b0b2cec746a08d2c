"""What is shipped: the demo database and the checkpoints, as they are in the checkout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metad2a.data.features import FeatureSet
from metad2a.database.published import MetaDatabase
from metad2a.models.checkpoint import Checkpoint
from metad2a.runtime import shipped, torch_rng
from metad2a.search.metad2a import MetaD2A
from metad2a.search.shipped_checkpoints import pretrained_names
from metad2a.search.told_apart import told_apart
from metad2a.spaces.nasbench201 import NASBench201

Run = Callable[..., Any]
MB = 2**20


def test_search_works_out_of_the_box(run: Run, tmp_path: Path) -> None:
    options = ["--candidates", 30, "--images-per-class", 2, "--json", "found.json"]
    run("search", "embedded:digits", *options).done()
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["schema_version"], found["space"], found["checkpoint"]) == (1, "nasbench201", "nasbench201")
    assert found["dataset"] == {
        "name": "digits",
        "classes": 10,
        "images_used": 20,
        "embedder": "efficientnet-lite0",
    }
    space = NASBench201()
    archs = {space.parse(candidate["arch"]) for candidate in found["candidates"]}
    assert len(archs) == found["generation"]["unique"] == 30
    assert all(0 < candidate["predicted"] <= 100 for candidate in found["candidates"])


def test_mobilenetv3_is_searched_out_of_the_box(run: Run, tmp_path: Path) -> None:
    scale = ["--scale", "width=35", "--scale", "downsampling=8", "--resolution", 16, "--max-flops", "2e6"]
    options = ["--candidates", 30, "--images-per-class", 2, "--json", "found.json"]
    front = ["--pareto", "flops"]
    out = run("search", "embedded:digits", "--space", "mobilenetv3", *scale, *front, *options).done().out
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["checkpoint"] == "mobilenetv3"
    assert len(found["candidates"]) == 30
    assert all(candidate["flops"] <= 2e6 for candidate in found["candidates"])
    first, front_table = out.split("no other one beats")
    ranks = found["pareto"]["flops"]
    for text, shown in ((first, range(1, 11)), (front_table, ranks)):
        rows = [line.split("│") for line in text.splitlines() if line.startswith("│")]
        predicted = told_apart([found["candidates"][rank - 1]["predicted"] for rank in shown])
        assert [cells[3].strip() for cells in rows if cells[1].strip()] == list(map(str, predicted))


def test_the_checkpoints_are_whole_and_small() -> None:
    parts = {
        "mobilenetv3": {"generator", "surrogate"},
        "nasbench201": {"generator", "surrogate"},
        "nasbench201-metad2a": {"generator", "predictor"},
    }
    assert pretrained_names() == sorted(parts)
    files = [shipped("data", "pretrained", f"{name}.safetensors") for name in parts]
    assert sum(path.stat().st_size for path in files) <= 40 * MB
    for name, path in zip(parts, files, strict=True):
        checkpoint = Checkpoint.load(path)
        assert set(checkpoint.parts) == parts[name]
        assert ("predictor" in checkpoint.parts) == (checkpoint.target is not None)
        assert len(checkpoint.train_archs) > 100
        assert checkpoint.provenance.keys() == checkpoint.parts.keys()
        MetaD2A.from_pretrained(name, device="cpu").embedder()  # of the same features as the installed one


def test_the_default_is_not_trained_on_cells_that_were_chosen_by_a_benchmark() -> None:
    provenance = MetaD2A.from_pretrained("nasbench201", device="cpu").checkpoint.provenance
    assert {part["database"] for part in provenance.values()} == {"open"}


def test_the_demo_database_is_whole_and_small() -> None:
    folder = shipped("data", "demo")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2 * MB
    database = MetaDatabase.load("demo")  # compares the checksums
    assert database.space == "nasbench201"
    assert len(database.records) == database.manifest["counts"]["records"] > 100
    assert set(database.manifest["sources"]) == set(database.tasks["source"])
    assert database.manifest["command"].startswith("metad2a build-database ")


def test_both_are_named(run: Run) -> None:
    text = run("ls").done().out
    assert "checkpoints: mobilenetv3, nasbench201" in text
    assert "databases: demo" in text
    assert "  generator: parameters 323,631, " in run("info", "nasbench201").done().out
    assert "name: demo" in run("info", "demo").done().out


def test_tight_limits_still_fill_the_list() -> None:
    """The shipped generator prefers large cells; 729 of 15,625 are this small."""
    model = MetaD2A.from_pretrained("nasbench201", device="cpu")
    rng = torch_rng("features")
    features = FeatureSet(
        torch.rand(20, 1280, generator=rng),
        np.repeat(np.arange(10), 2),
        [str(number) for number in range(10)],
        embedder=str(model.checkpoint.embedder["fingerprint"]),
        name="random",
    )
    result = model.search(features, n_candidates=200, max_params=80_000)
    assert len(result.candidates) == 200
    assert max(candidate.params for candidate in result.candidates) <= 80_000
