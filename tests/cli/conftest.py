"""A small world for the commands: a really built database, and both models really meta-trained on it."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from metad2a.cli import main as command_line

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


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def done(self) -> "Outcome":
        """Check that it worked."""
        assert self.code == 0, self.out + self.err
        return self

    def refused(self, *words: str) -> None:
        """Check that it ended with one message, without a traceback, that holds ``words``."""
        assert self.code == 1, self.out + self.err
        assert "Traceback" not in self.out + self.err
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        for word in words:
            assert word in lines[0]


def invoke_in(folder: Path, *arguments: object) -> Outcome:
    """Run a command in this process as if ``folder`` were the working folder."""
    out, err = io.StringIO(), io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["metad2a", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"METAD2A_NO_PROGRESS": "1", "COLUMNS": "200"}),
    ):
        try:
            command_line.main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        finally:
            # Hydra's handlers write to the streams and files of this one command.
            root.handlers[:], root.level = handlers, level
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Outcome]:
    """Return a function that runs a command in a folder."""
    return invoke_in


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Outcome]:
    """Return a function that runs a command in the test's own folder."""
    return lambda *arguments: invoke_in(tmp_path, *arguments)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAD2A_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_database() -> tuple[str, ...]:
    """Return overrides of ``build-database`` for four glyph tasks with three cells each, trained in no time."""
    return TINY_DATABASE


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database of four glyph tasks with three really trained cells each."""
    folder = tmp_path_factory.mktemp("database")
    invoke_in(folder, "build-database", "out=tiny", "name=tiny", *TINY_DATABASE).done()
    return folder / "tiny"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, database: Path) -> dict[str, Path]:
    """Return the run folders of a generator and a predictor, meta-trained for two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    runs: dict[str, Path] = {}
    for kind in ("generator", "predictor"):
        invoke_in(folder, "train", kind, f"database={database}", "debug=limit").done()
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
