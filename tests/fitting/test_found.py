import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from metad2a.data.glyphs import glyphs
from metad2a.data.image_set import ImageSet
from metad2a.errors import ArchitectureError, CheckpointError, ConfigError, UnknownNameError
from metad2a.fitting import fitted as fitted_file
from metad2a.fitting.fitted import FittedNetwork, load_fitted
from metad2a.fitting.found import FoundFit, fit_found, scores
from metad2a.fitting.loop import Fit, Interrupted
from metad2a.fitting.network import LabelledImages, fit_network, seeded
from metad2a.fitting.parts import LoadedParts, split_parts
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.recipes import get_recipe, recipe_names
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()
CELL = SPACE.parse("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|")
RECIPE = Recipe(
    name="test",
    epochs=4,
    batch_size=16,
    learning_rate=0.1,
    crop_padding=1,
    label_smoothing=0.1,
    resolution=8,
    scale={"channels": 4, "cells": 1},
)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return glyphs(["A", "g", "8"], images_per_class=40)


@pytest.fixture(scope="module")
def parts(images: ImageSet) -> LoadedParts:
    return split_parts(images).load(RECIPE.resolution)


@pytest.fixture(scope="module")
def whole(parts: LoadedParts, tmp_path_factory: pytest.TempPathFactory) -> tuple[FoundFit, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return fit_found(SPACE, CELL, parts, RECIPE, seed=3, folder=folder), folder


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {name: load_file(folder / f"{name}.safetensors") for name in ("best", "last")}


def same(one: FoundFit, other: FoundFit) -> bool:
    first, second = (fit.to_dict() | {"seconds": 0} for fit in (one, other))
    return first == second


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return all(
        first[name].keys() == second[name].keys()
        and all(torch.equal(first[name][key], second[name][key]) for key in first[name])
        for name in first
    )


def test_it_is_the_training_of_fit_network(parts: LoadedParts, whole: tuple[FoundFit, Path]) -> None:
    with seeded(3):
        net = SPACE.build(CELL, 3, **RECIPE.scale)
    plain = fit_network(net, parts.train, parts.valid, RECIPE, seed=3)
    fit, folder = whole
    assert fit.curve == plain.curve
    last = load_file(folder / "last.safetensors")
    assert all(torch.equal(last[key], value) for key, value in net.state_dict().items())
    assert fit.last == plain.accuracy


def test_the_best_epoch_is_that_of_validation(whole: tuple[FoundFit, Path], parts: LoadedParts) -> None:
    fit, folder = whole
    accuracies = [row["val/accuracy"] for row in fit.curve]
    card = fit.fitted.card
    assert card.accuracy == max(accuracies) == pytest.approx(fit.valid.accuracy)
    assert card.epoch == 1 + accuracies.index(max(accuracies))
    assert fit.valid.images == len(parts.valid)
    assert json.loads((folder / "card.json").read_text()) == json.loads(json.dumps(card.to_dict()))


def test_in_memory_it_is_the_same(whole: tuple[FoundFit, Path], parts: LoadedParts) -> None:
    fit = fit_found(SPACE, CELL, parts, RECIPE, seed=3)
    assert same(fit, whole[0])
    for mine, kept in zip(fit.fitted.network.parameters(), whole[0].fitted.network.parameters(), strict=True):
        assert torch.equal(mine, kept)


def test_training_never_looks_at_the_test_images(whole: tuple[FoundFit, Path], parts: LoadedParts) -> None:
    class Forbidden(LabelledImages):
        def __init__(self) -> None:
            """Have nothing to look at."""

        def __getattr__(self, name: str) -> Any:
            raise AssertionError("the test images were looked at")

    blind = LoadedParts(parts.train, parts.valid, Forbidden(), parts.classes, parts.name)
    assert same(fit_found(SPACE, CELL, blind, RECIPE, seed=3), whole[0])


@pytest.mark.parametrize("moment", ["step", "best"])
def test_interrupted_and_resumed_equals_uninterrupted(
    moment: str,
    whole: tuple[FoundFit, Path],
    parts: LoadedParts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C within an epoch; killed just when the best weights were written but not yet the state."""
    steps = 0

    def ctrl_c(module: nn.Module, inputs: Any) -> None:
        nonlocal steps
        steps += module.training
        if steps == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        if moment == "step":
            hook = nn.modules.module.register_module_forward_pre_hook(
                lambda module, inputs: ctrl_c(module, inputs) if type(module).__name__ == "CellNetwork" else None
            )
        else:
            patch.setattr(Fit, "save", _killed_at_epoch(2))
            hook = None
        with pytest.raises(KeyboardInterrupt):
            fit_found(SPACE, CELL, parts, RECIPE, seed=3, folder=tmp_path)
        if hook is not None:
            hook.remove()
    assert steps == (7 if moment == "step" else 0)
    started: list[int] = []
    rows: list[Any] = []
    again = fit_found(
        SPACE, CELL, parts, RECIPE, seed=3, folder=tmp_path, on_start=started.append, on_epoch=rows.append
    )
    assert started[0] > 0
    assert rows == whole[0].curve[-len(rows) :]
    assert len(rows) < RECIPE.epochs
    assert same(again, whole[0])
    assert same_weights(tmp_path, whole[1])
    assert same(fit_found(SPACE, CELL, parts, RECIPE, seed=3, folder=tmp_path), whole[0])  # nothing left to do


def _killed_at_epoch(epoch: int) -> Any:
    save = Fit.save

    def killed(self: Fit) -> None:
        if self.state.epoch == epoch:
            raise KeyboardInterrupt
        save(self)

    return killed


def test_a_state_without_its_best_weights_is_refused(
    whole: tuple[FoundFit, Path], parts: LoadedParts, tmp_path: Path
) -> None:
    shutil.copy(whole[1] / "last.pt", tmp_path)
    with pytest.raises(CheckpointError, match=r"best\.safetensors is missing"):
        fit_found(SPACE, CELL, parts, RECIPE, seed=3, folder=tmp_path)


def test_interrupted_is_a_ctrl_c() -> None:
    assert issubclass(Interrupted, KeyboardInterrupt)


# --- files ----------------------------------------------------------------------------------------------------


def test_weights_are_read_back(whole: tuple[FoundFit, Path], parts: LoadedParts, images: ImageSet) -> None:
    fit, folder = whole
    for source in (folder, folder / "best.safetensors"):
        loaded = load_fitted(source)
        assert loaded.card == fit.fitted.card
        assert scores(loaded, parts.test).to_dict() == scores(fit.fitted, parts.test).to_dict()
        chances = loaded.predict_proba(images)
        assert chances.shape == (120, 3)
        assert chances.sum(1) == pytest.approx(1, abs=1e-5)
        assert np.array_equal(loaded.predict(images), chances.argmax(1))
    assert load_fitted(folder / "last.safetensors").card.epoch == RECIPE.epochs
    mean = parts.train.images.double().mean((0, 2, 3))
    assert fit.fitted.card.mean == pytest.approx(mean.tolist())


def test_the_card_says_all_that_a_network_needs(whole: tuple[FoundFit, Path], parts: LoadedParts) -> None:
    """By hand, without our classes: what an exported module relies on."""
    fit, folder = whole
    card = json.loads((folder / "card.json").read_text())
    net = SPACE.build(SPACE.parse(card["arch"]), len(card["classes"]), **card["scale"])
    net.load_state_dict(load_file(folder / "best.safetensors"))
    net.eval()
    mean, std = (torch.tensor(card[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        found = net((parts.valid.images.float() - mean) / std).argmax(1)
    assert 100 * float((found == parts.valid.labels).double().mean()) == pytest.approx(fit.valid.accuracy)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _text(path: Path) -> None:
    path.write_text("no weights")


def _foreign(path: Path) -> None:
    save_file({"x": torch.zeros(2)}, path)


def _header(path: Path, **changes: Any) -> None:
    card = load_fitted(path).card.to_dict() | changes
    metadata = {fitted_file._HEADER: json.dumps(card)}
    save_file(load_file(path), path, metadata=metadata)


DAMAGES = {
    "truncated": (_truncated, "is no safetensors file, or a damaged one"),
    "text": (_text, "is no safetensors file, or a damaged one"),
    "foreign": (_foreign, "holds no trained network"),
    "newer": (lambda path: _header(path, schema_version=2), "Upgrade metad2a"),
    "classes": (lambda path: _header(path, classes=["one", "two"]), "do not fit its card"),
    "arch": (lambda path: _header(path, arch="|rubbish|"), "do not fit its card"),
    "std": (lambda path: _header(path, std=[0, 1, 1]), "the card is damaged"),
    "mean": (lambda path: _header(path, mean=None), "the card is damaged"),
    "space": (lambda path: _header(path, space="nowhere"), "nowhere"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused(damage: str, whole: tuple[FoundFit, Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(whole[1] / "best.safetensors", tmp_path / "copy.safetensors"))
    change, message = DAMAGES[damage]
    change(path)
    with pytest.raises((CheckpointError, UnknownNameError), match=message):
        load_fitted(path)


def test_files_that_are_not_there(whole: tuple[FoundFit, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no trained network"):
        load_fitted(tmp_path)
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors"):
        load_fitted(whole[1] / "card.json")
    fitted: FittedNetwork = whole[0].fitted
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors"):
        fitted.save(tmp_path / "x.pt")
    fitted.save(tmp_path / "copy.safetensors")
    assert load_fitted(tmp_path / "copy.safetensors").card == fitted.card


def test_a_space_that_cannot_build_it(parts: LoadedParts) -> None:
    with pytest.raises(ArchitectureError, match="unknown scale option"):
        fit_found(SPACE, CELL, parts, replace(RECIPE, scale={"width": 50}))


# --- recipes --------------------------------------------------------------------------------------------------


def test_shipped_recipes_are_found_by_name() -> None:
    assert {"short", "nasbench201", "metatest", "demo"} <= set(recipe_names())
    assert all(get_recipe(name).name == name for name in recipe_names())
    with pytest.raises(UnknownNameError, match="Did you mean 'short'"):
        get_recipe("shrt")


def test_a_recipe_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("{name: mine, epochs: 3, batch_size: 8, learning_rate: 1}")
    assert get_recipe(str(file)) == Recipe(name="mine", epochs=3, batch_size=8, learning_rate=1.0)
    for content, message in (("- a list", "holds no keys"), ("a: [", "is no YAML"), ("{name: x}", "lacks epochs")):
        file.write_text(content)
        with pytest.raises(ConfigError, match=message):
            get_recipe(str(file))
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        get_recipe(str(tmp_path / "none.yaml"))


def test_the_benchmarks_recipe_is_the_benchmarks() -> None:
    recipe = get_recipe("nasbench201")
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (200, 256, 0.1)
    assert (recipe.momentum, recipe.nesterov, recipe.weight_decay) == (0.9, True, 5e-4)
    assert (recipe.schedule, recipe.warmup, recipe.label_smoothing) == ("cosine", 0, 0)
    assert (recipe.flip, recipe.crop_padding, recipe.resolution) == (True, 4, 32)
    assert recipe.scale == {"channels": 16, "cells": 5}
