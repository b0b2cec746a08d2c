"""metad2a fit-network init=SUPERNET, and the recipes of fine-tuning."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.fitting.fitted import load_fitted
from metad2a.fitting.network import seeded
from metad2a.fitting.recipes import get_recipe
from metad2a.fitting.supernet_file import TrainedSupernet
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.supernet import Supernet

Run = Callable[..., Any]
SPACE = MobileNetV3()
ARCH = SPACE.format(SPACE.sample(1, np.random.default_rng(0))[0])
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
TINY = (
    *("space=mobilenetv3", "recipe.epochs=2", "recipe.batch_size=8", "recipe.resolution=8", "recipe.cutout=2"),
    *("recipe.images_per_epoch=8", "device=cpu"),
)


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory, npz: Path) -> Path:
    with seeded(0):
        net = Supernet(3, width=10, downsampling=8)
    path = tmp_path_factory.mktemp("supernet") / "supernet.safetensors"
    TrainedSupernet(net, ("a", "b", "c"), 8, (127.0,) * 3, (64.0,) * 3).save(path)
    return path


@pytest.mark.parametrize("recipe", ["finetune", "finetune_short"])
def test_a_network_is_fine_tuned_and_goes_on(
    recipe: str, run: Run, tmp_path: Path, npz: Path, supernet: Path
) -> None:
    if recipe == "finetune":
        pytest.importorskip("torchvision")
    shutil.copy(supernet, tmp_path / "here.safetensors")
    out = run("fit-network", ARCH, npz, f"recipe={recipe}", "init=here.safetensors", *TINY).done().out
    fingerprint = TrainedSupernet.load(supernet).fingerprint
    assert f"from supernet {fingerprint}" in out
    [folder] = (tmp_path / "runs/fit-network").iterdir()
    card = load_fitted(folder).card
    assert (card.start, card.recipe["name"]) == (fingerprint, recipe)
    assert card.scale == {"width": 10, "downsampling": 8}
    before = json.loads((folder / "result.json").read_text())
    (tmp_path / "elsewhere").mkdir()
    run("resume", folder).done()
    assert json.loads((folder / "result.json").read_text())["curve"] == before["curve"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((ARCH, "+recipe.scale.width=100"), ("the supernet's networks have width 10, not 100",)),
        ((ARCH, "+recipe.scale.cells=1"), ("unknown scale option", "cells")),
        ((CELL, "space=nasbench201"), ("'mobilenetv3', not of 'nasbench201'", "space=mobilenetv3")),
        ((ARCH, "init=nowhere.safetensors"), ("there is no supernet", "metad2a train supernet")),
        ((ARCH, "init=ofa_mbv3_d234_e346_k357_w1.0"), ("there are no supernet weights", "model zoo")),
        ((ARCH, "init=other.safetensors"), ("other.safetensors is no safetensors file",)),
        ((ARCH.replace("k3", "k9", 1),), ("expected one of 3, 5, 7, found '9",)),
        ((f"d5{ARCH[2:]}",), ("character 2 (stage 1) expected one of 2, 3, 4, found '5",)),
        ((ARCH, "recipe.auto_augment=cifar100"), ("auto_augment is 'cifar100'", "cifar10, imagenet, svhn")),
        ((ARCH, "recipe.drop_path=1"), ("drop_path is 1", "[0, 1)")),
        ((ARCH, "recipe.cutout=8"), ("cutout is 8", "below resolution")),
        ((ARCH, "recipe.dropout=no"), ("dropout is 'no'", "a number")),
        ((ARCH, "recipe.drop_paths=0.1"), ("Did you mean 'recipe.drop_path'",)),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...], words: tuple[str, ...], run: Run, tmp_path: Path, npz: Path, supernet: Path
) -> None:
    (tmp_path / "other.safetensors").write_text("other")
    arch, *overrides = arguments
    run("fit-network", arch, npz, "recipe=finetune_short", f"init={supernet}", *TINY, *overrides).refused(*words)
    assert not list(tmp_path.rglob("result.json"))


def test_the_recipe_is_that_of_nsganetv2() -> None:
    recipe = get_recipe("finetune")
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.momentum) == (150, 96, 0.01, 0.9)
    assert (recipe.weight_decay, recipe.nesterov, recipe.schedule, recipe.warmup) == (3e-4, False, "cosine", 0)
    assert (recipe.cutout, recipe.auto_augment, recipe.resolution, recipe.flip) == (16, "cifar10", 224, True)
    assert (recipe.drop_path, recipe.dropout, recipe.clip_norm) == (0.2, 0.2, 5)
