"""Shared fixtures. Tests are offline and write only below their own temporary folder."""

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two test processes share two cores; more threads would only fight."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAD2A_NO_PROGRESS", "1")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("METAD2A_RUN_ID", raising=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data for development (METAD2A_TEST_DATA, default ../shared/data); the test skips where it is absent."""
    folder = Path(os.environ.get("METAD2A_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder} (set METAD2A_TEST_DATA)")
    return folder
