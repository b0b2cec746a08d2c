"""metad2a import of official data files, and what comes out in use. Forms: tests/database/importers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metad2a.data.embedders import resnet18
from metad2a.database.importers import official_features
from metad2a.models.checkpoint import Checkpoint
from metad2a.runtime import torch_rng
from metad2a.spaces.nasbench201 import OFFICIAL_TOPOLOGY, NASBench201

Run = Callable[..., Any]


def write_features(path: Path, classes: int, images: int) -> Path:
    rng = torch_rng("official", path.name)
    torch.save({c: [torch.randn(images, 512, generator=rng).relu()] for c in range(classes)}, path)
    return path


@pytest.fixture
def official_models(run: Run, official_state: Callable[..., dict[str, Tensor]], tmp_path: Path) -> str:
    """Return the file of an imported official generator and predictor of random weights."""
    for name, size in (("generator", 56), ("predictor", 24)):
        torch.save(official_state(name, hidden=size), tmp_path / f"{name}.pt")
    run("import", "checkpoint", "generator.pt", "predictor.pt", "official.safetensors").done()
    return "official.safetensors"


def test_search_from_official_features(
    run: Run, official_models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the images nor ResNet-18's weights are needed."""
    monkeypatch.setenv(resnet18.WEIGHTS_VARIABLE, str(tmp_path / "there are none"))
    write_features(tmp_path / "cifar10bylabel.pt", 10, 30)
    outcome = run("import", "features", "cifar10bylabel.pt", "cifar10.safetensors").done()
    assert "cifar10: features of 300 images of 10 classes" in outcome.out
    described = run("info", "cifar10.safetensors").done().out
    assert resnet18.OFFICIAL_FINGERPRINT in described
    assert "images: 300" in described

    search = ("search", "cifar10.safetensors", "--candidates", 12, "--json", "found.json", "--checkpoint")
    run(*search, official_models).done()
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["dataset"] == {"name": "cifar10", "classes": 10, "images_used": 300, "embedder": "resnet18"}
    assert len(found["candidates"]) == 12
    run(*search, "nasbench201").refused("embedder", "resnet18-32-f37072fd")
    run(*search[:1], official_models, *search[2:], official_models).refused("is a checkpoint")


@pytest.mark.slow
def test_evaluate_with_the_official_table(
    run: Run, official_models: str, space: NASBench201, tmp_path: Path
) -> None:
    write_features(tmp_path / "petsbylabel.pt", 3, 8)
    run("import", "features", "petsbylabel.pt", "pets.safetensors").done()
    texts = [space.format(arch) for arch in space.enumerate()]
    accuracies = np.linspace(10, 94, len(texts)).tolist()
    torch.save({"arch": {"str": texts}, "test-acc": {"cifar10": accuracies}}, tmp_path / "nasbench201.pt")
    assert "15625 architectures" in run("import", "nasbench201-table", "nasbench201.pt", "table.csv").done().out
    tables = ("oracle=table.csv", "oracle_column=cifar10", f"checkpoint=[{official_models}]")
    run("evaluate", "dataset=pets.safetensors", *tables, "seeds=1", "candidates=10", "json=out.json").done()
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["dataset"] == "pets"
    assert 10 <= found["metrics"]["top1"] <= 94


@pytest.fixture
def own_weights(resnet18_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let random weights of ResNet-18 count as the official ones, which are a download."""
    monkeypatch.setenv(resnet18.WEIGHTS_VARIABLE, str(resnet18_weights))
    monkeypatch.setattr(official_features, "OFFICIAL_FINGERPRINT", resnet18.ResNet18().fingerprint)


def test_meta_train_on_official_files(
    run: Run,
    igraph: Callable[..., Any],
    write_wnids: Callable[[Path], list[str]],
    own_weights: None,
    tmp_path: Path,
) -> None:
    """Databases and features fit together, whether the classes' names are there or not."""
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for which in ("generator", "predictor"):
        types = [[0, *rng.integers(2, 7, 6).tolist(), 1] for _ in range(420)]
        content = {"acc": rng.uniform(50, 90, 420).tolist(), "task": rng.integers(0, 6, 420).tolist()}
        graphs = [igraph(OFFICIAL_TOPOLOGY, kinds) for kinds in types]
        torch.save(content | {"graph": graphs}, data / f"meta_train_tasks_{which}.pt")
        torch.save(torch.randperm(420, generator=torch_rng(which)), data / f"meta_train_tasks_{which}_idx.pt")
    torch.save([rng.choice(12, 4, replace=False) + 1 for _ in range(6)], data / "meta_train_task_lst.pt")
    write_features(data / "imgnet32bylabel.pt", 12, 6)
    run("import", "metad2a-database", data, "db").refused("--which predictor or --which generator")
    for which in ("generator", "predictor"):
        if which == "predictor":
            write_wnids(data)
        run("import", "features", data / "imgnet32bylabel.pt", "imgnet32.safetensors").done()
        run("import", "metad2a-database", data, f"db-{which}", "--which", which).done()
        quick = ("debug=limit", "embedder=resnet18", "split=official", "images=[imgnet32.safetensors]")
        run("train", which, f"database=db-{which}", *quick, f"runs=runs-{which}").done()
        [weights] = tmp_path.glob(f"runs-{which}/train/*/checkpoints/best.safetensors")
        made = Checkpoint.load(weights)
        assert made.embedder["name"] == "resnet18"
        assert made.provenance[which]["database"] == ("official" if which == "predictor" else "official-generator")
    run("train", which, f"database=db-{which}", *quick, "embedder=pixels").refused(
        "imgnet32.safetensors are of the embedder", "embedder=pixels"
    )


def test_names_that_do_not_fit(
    run: Run, igraph: Callable[..., Any], write_wnids: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    graph = igraph(OFFICIAL_TOPOLOGY, [0, 2, 3, 4, 5, 6, 2, 1])
    torch.save(
        {"acc": [50.0] * 401, "task": [0] * 401, "graph": [graph] * 401}, data / "meta_train_tasks_generator.pt"
    )
    torch.save(torch.arange(401), data / "meta_train_tasks_generator_idx.pt")
    torch.save([[1, 2]], data / "meta_train_task_lst.pt")
    write_features(data / "imgnet32bylabel.pt", 2, 3)
    run("import", "metad2a-database", data, "db").done()
    wnids = write_wnids(data)
    run("import", "features", data / "imgnet32bylabel.pt", "imgnet32.safetensors").done()
    run(
        "train", "generator", "database=db", "debug=limit", "split=official", "images=[imgnet32.safetensors]"
    ).refused("lack 2 of 2 classes, e.g. 'label 1'", f"hold 2 classes, e.g. '{min(wnids[:2])}'")


def test_options_belong_to_their_kind(run: Run, tmp_path: Path) -> None:
    run("import", "features", "a.pt", "b.safetensors", "--which", "predictor").refused("--which means nothing")
    run("import", "nasbench201-table", "a.pt", "b.csv", "--wnids", "x").refused("--wnids means nothing")
    run("import", "metad2a-database", "a", "b", "--classes", "label").refused("--classes means nothing")
    run("import", "metad2a-mobilenetv3", tmp_path, "b", "--classes", "label").refused("lacks collected_database.pt")
    run("import", "features", "none.pt", "b.safetensors").refused("none.pt")
    assert not (tmp_path / "b.safetensors").exists()
