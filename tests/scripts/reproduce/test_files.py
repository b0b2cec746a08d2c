"""What all scripts say of files that are missing or others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("script", "arguments", "names"),
    [
        (
            "cifar",
            (),
            (
                "results/generator/model/ckpt_400.pt",
                "results/predictor/model/ckpt_max_corr.pt",
                "data/nasbench201.pt",
                "data/cifar10bylabel.pt",
                "data/cifar100bylabel.pt",
            ),
        ),
        ("cifar", ("--generator", "gone.pt", "--dataset", "cifar100"), ("gone.pt", "data/cifar100bylabel.pt")),
        ("generation", (), ("data/cifar10bylabel.pt", "data/meta_train_tasks_generator_idx.pt")),
        ("unseen", ("pets", "svhn=x"), ("data/svhnbylabel.pt", "pets/train/ or train.npz", "x/test/ or test.npz")),
        ("mobilenetv3", (), ("results/generator/model/ckpt_120.pt", "data/aircraft100bylabel.pt")),
        ("meta_training", (), ("data/imgnet32bylabel.pt", "data/meta_train_task_lst.pt")),
        (
            "meta_training",
            ("--space", "mobilenetv3"),
            ("data/generator/processed/collected_database.pt", "data/predictor/processed/collected_database.pt"),
        ),
    ],
)
def test_all_that_is_missing_is_told_at_once(
    run: Run, tmp_path: Path, script: str, arguments: tuple[str, ...], names: tuple[str, ...]
) -> None:
    outcome = run(script, tmp_path / "nothing", *arguments)
    assert outcome.code == 1
    assert outcome.err.startswith("error: missing, below ")
    assert "Traceback" not in outcome.err
    for name in names:
        [line] = [line for line in outcome.err.splitlines() if line.strip().startswith(f"{name} ")]
        assert len(line.split(name)[1].split()) > 3  # what it holds
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_called_missing(run: Run, official: Path) -> None:
    outcome = run("cifar", official, "--dataset", "cifar10")
    assert outcome.code == 1
    assert "data/nasbench201.pt" in outcome.err
    assert "ckpt" not in outcome.err
    assert "cifar10bylabel" not in outcome.err


def test_a_file_of_something_else_is_told(files: Any, run: Run, official: Path) -> None:
    files.save({"no": torch.ones(2)}, files.models(official)[1])
    run("generation", official, "--skip-novelty").refused("ckpt_max_corr.pt: neither an official generator nor")


@pytest.mark.parametrize("script", ["cifar", "generation", "unseen", "mobilenetv3", "meta_training"])
def test_help_says_what_is_done(run: Run, script: str) -> None:
    text = run(script, "--help").done().out
    assert "OFFICIAL_FOLDER" in text
    assert len(text.splitlines()) > 15
