"""The embedder that the page "Choose an embedder" adds does what the page says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metad2a.models.checkpoint import Checkpoint

Run = Callable[..., str]


@pytest.fixture(scope="module")
def package(install_page: Callable[[str], Path]) -> Path:
    return install_page("choose-an-embedder")


def test_the_conformance_test_of_the_page_passes(
    package: Path, check_contract: Callable[[Path, str, int], None]
) -> None:
    check_contract(package, "test_moments.py", 7)


def test_it_is_listed_and_meta_trained_with(package: Path, run_python: Run) -> None:
    listed = run_python(package, "-m", "metad2a.cli.main", "ls", "embedders")
    assert ", moments (from moments), pixels" in listed
    assert "\n- moments\n" in listed
    train = ("train", "predictor", "experiment=demo", "debug=limit", "embedder=moments", "schedule.epochs=1")
    run_python(package, "-m", "metad2a.cli.main", *train)
    [file] = package.glob("runs/train/*/checkpoints/best.safetensors")
    assert Checkpoint.load(file).embedder["name"] == "moments"
