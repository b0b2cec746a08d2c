"""Labels by inherited weights: built like any others, and named by the supernet they are of."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from metad2a.data.image_set import ImageSet
from metad2a.database.labelling import Labeller
from metad2a.database.planning import plan, sample_tasks
from metad2a.database.records import Job
from metad2a.database.sources import ImageSources
from metad2a.errors import CheckpointError, ConfigError, UnknownNameError
from metad2a.fitting.network import LabelledImages, fit_network
from metad2a.fitting.recipe import InheritedRecipe, Recipe
from metad2a.fitting.supernet_file import TrainedSupernet, image_keys
from metad2a.oracles.supernet import SupernetOracle, inherited_recipe
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.networks.supernet import Supernet

SOURCE = "noise"
CLASSES = tuple("abcde")


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", x=pixels, y=np.arange(60) % 5, classes=np.array(CLASSES))
    return tmp_path / "noise.npz"


@pytest.fixture
def supernet(tmp_path: Path, npz: Path) -> TrainedSupernet:
    """An untrained one that says it has seen the first 20 images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Supernet(5, width=10, downsampling=8)
    seen = image_keys(LabelledImages.of(ImageSet.from_npz(npz).take(range(20)), 8).images)
    trained = TrainedSupernet(net, CLASSES, 8, (120.0,) * 3, (60.0,) * 3, seen=np.sort(seen))
    trained.save(tmp_path / "net.safetensors")
    return trained


def job(npz: Path, recipe: Recipe, space: MobileNetV3 | NASBench201) -> Job:
    tasks = sample_tasks(
        SOURCE,
        1,
        classes_per_task=3,
        images_per_class=12,
        seed=0,
        valid_fraction=0.75,
        sources=ImageSources({SOURCE: str(npz)}),
    )
    return plan(space, tasks, archs_per_task=1, recipe=recipe)[0]


def test_a_label_is_what_the_oracle_says(npz: Path, supernet: TrainedSupernet, tmp_path: Path) -> None:
    recipe = inherited_recipe({"supernet": str(tmp_path / "net.safetensors"), "calibration": 8})
    wanted = job(npz, recipe, MobileNetV3())
    record = Labeller({SOURCE: str(npz)}).label(wanted)
    assert record.status == "ok", record.error
    assert record.seconds is not None
    train, valid = wanted.task.open(ImageSet.from_npz(npz))
    oracle = SupernetOracle(
        supernet, *(LabelledImages.of(part, 8) for part in (train, valid)), wanted.task.classes, calibration=8
    )
    assert 0 < oracle.images < len(valid), "some of the images were seen in training"
    [measured] = oracle.measure([MobileNetV3().parse(wanted.arch)])
    assert record.accuracy == measured.accuracy
    assert record.curve == [{"epoch": 0, "val/accuracy": measured.accuracy, "val/loss": measured.loss}]


def test_what_cannot_be_inherited_is_a_failure_with_a_reason(
    npz: Path, supernet: TrainedSupernet, tmp_path: Path
) -> None:
    recipe = inherited_recipe({"supernet": str(tmp_path / "net.safetensors")})
    labeller = Labeller({SOURCE: str(npz)})
    other = replace(recipe, supernet="0" * 16)
    for changed, space, words in (
        (other, MobileNetV3(), f"has the fingerprint {supernet.fingerprint}, not 0000"),
        (replace(recipe, place=str(tmp_path / "none.safetensors")), MobileNetV3(), "there is no supernet"),
        (recipe, NASBench201(), "space 'nasbench201' has no supernet"),
    ):
        record = labeller.label(job(npz, changed, space))
        assert record.status == "failed"
        assert words in str(record.error)


def test_the_recipe_is_the_supernet_and_not_its_place(supernet: TrainedSupernet, tmp_path: Path) -> None:
    recipe = inherited_recipe({"supernet": str(tmp_path / "net.safetensors")})
    assert (recipe.supernet, recipe.resolution) == (supernet.fingerprint, 8)
    assert recipe.scale == {"width": 10, "downsampling": 8}
    content = recipe.to_dict()
    assert str(tmp_path) not in json.dumps(content)
    again = Recipe.from_dict(content)
    assert isinstance(again, InheritedRecipe)
    assert again == recipe
    assert again.fingerprint == recipe.fingerprint == replace(recipe, name="other", place="").fingerprint
    assert replace(recipe, calibration=9).fingerprint != recipe.fingerprint
    assert replace(recipe, supernet="0" * 16).fingerprint != recipe.fingerprint


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ({"supernet": ""}, ConfigError, "no supernet is given"),
        ({"supernet": "none.safetensors"}, CheckpointError, "there is no supernet none.safetensors"),
        ({"supernet": "x", "calibration": 1}, ConfigError, "calibration is 1"),
        ({"supernet": "x", "calibration": "many"}, ConfigError, "a whole number"),
        ({"supernet": "x", "epochs": 3}, UnknownNameError, "'epochs'"),
    ],
)
def test_wrong_recipes_are_explained(content: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        inherited_recipe(content)


def test_nothing_is_trained_by_it() -> None:
    images = LabelledImages(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ConfigError, match="recipe 'inherited' trains nothing"):
        fit_network(torch.nn.Flatten(), images, images, InheritedRecipe("inherited"), seed=0)


def test_a_database_is_built_by_a_command(
    run: Callable[..., object], npz: Path, supernet: TrainedSupernet, tmp_path: Path
) -> None:
    command = (
        *("build-database", "out=built", "space=mobilenetv3", "recipe=inherited", "label_source=images"),
        *(
            "executor=inline",
            "archs_per_task=2",
            "label_source.mine.source=noise",
            f"label_source.mine.images={npz}",
        ),
        *(
            "label_source.mine.licence=none",
            "label_source.mine.tasks=2",
            "label_source.mine.classes_per_task=3",
        ),
        *("label_source.mine.images_per_class=12", "label_source.mine.valid_fraction=0.75"),
    )
    run(*command).refused("no supernet is given")  # type: ignore[attr-defined]
    given = (*command, f"recipe.supernet={tmp_path / 'net.safetensors'}")
    told = run(*given, "--dry-run").done().out  # type: ignore[attr-defined]
    assert "4 labels to compute now" in told
    run(*given).done()  # type: ignore[attr-defined]
    records = pd.read_parquet(tmp_path / "built" / "records.parquet")
    assert len(records) == 4
    assert set(records["status"]) == {"ok"}
    manifest = (tmp_path / "built" / "manifest.json").read_text()
    assert supernet.fingerprint in manifest
    assert str(tmp_path) not in manifest
    run("database", "verify", "built").done()  # type: ignore[attr-defined]
