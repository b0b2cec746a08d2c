"""Runs scripts of scripts/reproduce, on folders of the authors' form with random content."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metad2a.runtime import torch_rng
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import FIRST_OPERATION, OFFICIAL_TOPOLOGY, NASBench201

OPERATIONS = (3, 5, 6)  # types: skip connection, 3x3 convolution, pooling
State = Callable[..., dict[str, Tensor]]


@pytest.fixture
def run(run_script: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs a script of this folder."""
    return lambda name, *arguments: run_script(f"reproduce/{name}", *arguments)


class Files:
    """Writes files of the authors' form."""

    def save(self, content: object, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)

    def save_features(self, folder: Path, name: str, classes: int, images: int = 6) -> None:
        rng = torch_rng("official", name)
        content = {c: [torch.randn(images, 512, generator=rng).relu()] for c in range(classes)}
        self.save(content, folder / "data" / f"{name}bylabel.pt")

    def models(self, folder: Path) -> tuple[Path, Path]:
        results = folder / "results"
        return results / "generator/model/ckpt_400.pt", results / "predictor/model/ckpt_max_corr.pt"

    def save_database(
        self, folder: Path, igraph: Callable[..., Any], which: str, tasks: int = 6
    ) -> list[list[int]]:
        """Write a meta-training database of 420 random cells; return their vertex types."""
        rng = np.random.default_rng(0)
        types = [[0, *rng.integers(2, 7, 6).tolist(), 1] for _ in range(420)]
        content = {
            "acc": rng.uniform(50, 90, 420).tolist(),
            "task": rng.integers(0, tasks, 420).tolist(),
            "graph": [igraph(OFFICIAL_TOPOLOGY, kinds) for kinds in types],
        }
        self.save(content, folder / "data" / f"meta_train_tasks_{which}.pt")
        self.save(
            torch.randperm(420, generator=torch_rng(which)), folder / "data" / f"meta_train_tasks_{which}_idx.pt"
        )
        self.save(
            [rng.choice(12, 4, replace=False) + 1 for _ in range(tasks)], folder / "data" / "meta_train_task_lst.pt"
        )
        return types


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def official(files: Files, tmp_path: Path, official_state: State) -> Path:
    """Return a folder as the authors' code for NAS-Bench-201 leaves it: random models, features of CIFAR-10."""
    folder = tmp_path / "official"
    generator, predictor = files.models(folder)
    state = official_state("generator")
    # So it writes cells of three operations only, and not all of its graphs are valid.
    state["add_vertex.2.bias"][list(OPERATIONS)] += 40
    state["add_edge.2.bias"] += 2
    files.save(state, generator)
    files.save(official_state("predictor", hidden=24), predictor)
    files.save_features(folder, "cifar10", 3)
    return folder


@pytest.fixture
def table(files: Files, official: Path, space: NASBench201) -> dict[str, float]:
    """Write the authors' table of the cells of three operations, with made-up accuracies; return CIFAR-10's."""
    cells = product([kind - FIRST_OPERATION for kind in OPERATIONS], repeat=6)
    texts = [space.format(Architecture(space.name, cell)) for cell in cells]
    accuracies = np.random.default_rng(0).uniform(10, 95, len(texts)).tolist()
    columns = {"cifar10": accuracies, "cifar100": [accuracy / 2 for accuracy in accuracies]}
    files.save({"arch": {"str": texts}, "test-acc": columns}, official / "data" / "nasbench201.pt")
    return dict(zip(texts, accuracies, strict=True))
