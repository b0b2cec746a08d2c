"""Searchers against curves that were measured before, with other code, on CIFAR-10 of NAS-Bench-201.

They run in a process of their own: checking the types of a million calls would take minutes.
"""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_searchers.py"
REFERENCE = runpy.run_path(str(SCRIPT))["REFERENCE"]
SEEDS = 200  # of the reference
FEW = 60
ROUNDED = 0.005


def measure(shared_data: Path, seeds: int, *methods: str) -> dict[str, Any]:
    table = shared_data / "nasbench201" / "nasbench201_cifar10.csv"
    command = [sys.executable, SCRIPT, table, "cifar10_test_accuracy_200", "--json", "--seeds", str(seeds)]
    done = subprocess.run([*command, "--methods", *methods], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def curves(shared_data: Path) -> dict[str, Any]:
    return measure(shared_data, FEW, *REFERENCE)


@pytest.mark.parametrize("name", REFERENCE)
def test_curves_are_those_of_the_reference(curves: dict[str, Any], name: str) -> None:
    """Both means are of samples, so their difference has the variance of both."""
    expected, deviation = REFERENCE[name]
    band = 3 * np.array(deviation) * np.sqrt(1 / SEEDS + 1 / FEW) + ROUNDED
    np.testing.assert_array_less(np.abs(np.array(curves[name]["mean"]) - expected), band)


def test_five_hundred_queries_take_no_time(curves: dict[str, Any]) -> None:
    for name in ("evolution", "reinforce", "local_search"):
        assert curves[name]["cpu_seconds"] < 0.2, "of 300 queries"


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCE)
def test_the_mean_of_many_seeds_lies_within_the_reference(shared_data: Path, name: str) -> None:
    expected, deviation = REFERENCE[name]
    band = 3 * np.array(deviation) / np.sqrt(SEEDS) + ROUNDED
    found = measure(shared_data, 2000, name)[name]
    np.testing.assert_array_less(np.abs(np.array(found["mean"]) - expected), band)


@pytest.mark.slow
def test_models_find_more_than_chance_and_in_time(shared_data: Path) -> None:
    """No curves are known; but a model must be worth its time."""
    pytest.importorskip("botorch")
    found = measure(shared_data, 6, "bayesian", "bananas")
    for name in found:
        assert found[name]["cpu_seconds"] < 60
        assert found[name]["mean"][1] > REFERENCE["random"][0][1] + 0.2
