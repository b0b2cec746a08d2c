"""What a search refuses, and which files make a model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metad2a.data.embedders.pixels import Pixels
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.errors import CheckpointError, ConfigError, DataError, UnknownNameError
from metad2a.models.checkpoint import Checkpoint
from metad2a.search import shipped_checkpoints
from metad2a.search.metad2a import MetaD2A

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_candidates": 0}, "at least one candidate"),
        ({"max_params": -1}, "max_params=-1 is not a positive number"),
        ({"images_per_class": 0}, "at least one image a class"),
    ],
)
def test_numbers_out_of_range(image_model: MetaD2A, images: ImageSet, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        image_model.search(images, **wrong)


def test_features_of_another_embedder(model: MetaD2A, image_model: MetaD2A, images: ImageSet) -> None:
    features = image_model.embed(images)
    with pytest.raises(CheckpointError, match="trained on features of the embedder 'pixels'"):
        model.search(features)
    with pytest.raises(CheckpointError, match=Pixels.fingerprint):
        model.predict(features, [])
    with pytest.raises(CheckpointError, match=r"\(test features\), these are of 'pixels'"):
        model.search(images)


def test_a_class_without_images(image_model: MetaD2A, images: ImageSet) -> None:
    with pytest.raises(DataError, match="class 'c' has no image"):
        image_model.search(images.take(np.flatnonzero(images.labels < 2)))


def test_one_file_or_two(tmp_path: Path, make_checkpoint: MakeCheckpoint, features: FeatureSet) -> None:
    both, generator, predictor = (tmp_path / f"{name}.safetensors" for name in ("both", "g", "p"))
    make_checkpoint().save(both)
    make_checkpoint("generator", target=None).save(generator)
    make_checkpoint("predictor").save(predictor)
    models = [
        MetaD2A.from_checkpoint(both, device="cpu"),
        MetaD2A.from_checkpoint(generator, predictor, device="cpu"),
        MetaD2A.from_checkpoint(predictor, generator, device="cpu"),
        MetaD2A.open(str(both), device="cpu"),
    ]
    first, *others = [model.search(features, n_candidates=8).to_dict()["candidates"] for model in models]
    assert all(candidates == first for candidates in others)
    assert models[0].name == models[3].name == str(both)
    assert models[1].name == f"{generator} + {predictor}"


def test_half_a_checkpoint(tmp_path: Path, make_checkpoint: MakeCheckpoint, features: FeatureSet) -> None:
    path = tmp_path / "half.safetensors"
    make_checkpoint("generator", target=None).save(path)
    with pytest.raises(CheckpointError, match="holds a generator only; give the predictor's file too"):
        MetaD2A.from_checkpoint(path)
    with pytest.raises(CheckpointError, match="hold generator and generator"):
        MetaD2A.from_checkpoint(path, path)
    with pytest.raises(CheckpointError, match="no checkpoint file was given"):
        MetaD2A.from_checkpoint()
    untargeted = MetaD2A(make_checkpoint(target=None), name="untargeted", device="cpu")
    with pytest.raises(CheckpointError, match="does not say how its scores relate to accuracy"):
        untargeted.search(features, n_candidates=2)


def test_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: MakeCheckpoint) -> None:
    monkeypatch.setattr(shipped_checkpoints, "shipped", lambda *parts: tmp_path.joinpath(*parts))
    folder = tmp_path / "data" / "pretrained"
    with pytest.raises(UnknownNameError, match=r"unknown checkpoint 'nasbench201'\. Known: none"):
        MetaD2A.from_pretrained("nasbench201")
    for name in ("nasbench201", "other"):
        make_checkpoint().save(folder / f"{name}.safetensors")
    assert shipped_checkpoints.pretrained_names() == ["nasbench201", "other"]
    for load in (MetaD2A.from_pretrained, MetaD2A.open):
        with pytest.raises(UnknownNameError, match=r"Did you mean 'nasbench201'\? Known: nasbench201, other"):
            load("nasbench-201")
        assert load("nasbench201").name == "nasbench201"
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        MetaD2A.open(tmp_path / "missing.safetensors")
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        MetaD2A.open("missing.safetensors")


def test_an_unknown_space(make_checkpoint: MakeCheckpoint) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown space 'nasbench101'\. Did you mean 'nasbench201'"):
        MetaD2A(make_checkpoint(space="nasbench101"), name="x")


def test_the_shipped_checkpoints_are_whole() -> None:
    for name in shipped_checkpoints.pretrained_names():
        model = MetaD2A.from_pretrained(name, device="cpu")
        assert "generator" in model.checkpoint.parts
        assert model.surrogate is not None or model.checkpoint.target is not None
        assert model.embedder().dim == model.checkpoint.embedder["dim"]
