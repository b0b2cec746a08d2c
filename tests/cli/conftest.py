"""A small world for the commands: a really built database, and both models really meta-trained on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Invoke = Callable[..., Any]
TINY_DATABASE = (
    "executor=inline",
    "archs_per_task=3",
    "label_source.glyphs.tasks=4",
    "label_source.glyphs.classes_per_task=3",
    "label_source.glyphs.images_per_class=12",
    "recipe.epochs=1",
    "recipe.batch_size=8",
    "recipe.resolution=8",
    "recipe.scale.channels=2",
    "recipe.scale.cells=1",
)


@pytest.fixture(scope="session")
def tiny_database() -> tuple[str, ...]:
    """Return overrides of ``build-database`` for four glyph tasks with three cells each, trained in no time."""
    return TINY_DATABASE


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory, invoke: Invoke) -> Path:
    """Return a database of four glyph tasks with three really trained cells each."""
    folder = tmp_path_factory.mktemp("database")
    invoke(folder, "build-database", "out=tiny", "name=tiny", *TINY_DATABASE).done()
    return folder / "tiny"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, invoke: Invoke, database: Path) -> dict[str, Path]:
    """Return the run folders of a generator and a predictor, meta-trained for two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    runs: dict[str, Path] = {}
    for kind in ("generator", "predictor"):
        invoke(folder, "train", kind, f"database={database}", "debug=limit").done()
        [runs[kind]] = set((folder / "runs/train").iterdir()) - set(runs.values())
    return runs


@pytest.fixture(scope="session")
def checkpoints(trained: dict[str, Path]) -> list[str]:
    """Return the options that make ``search`` use the two models."""
    files = [str(folder / "checkpoints/best.safetensors") for folder in trained.values()]
    return [text for file in files for text in ("--checkpoint", file)]


@pytest.fixture(scope="session")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with three classes of ten 8-pixel images."""
    path = tmp_path_factory.mktemp("images") / "tiny.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8), y=np.arange(30) % 3)
    return path
