"""Models of timm. Their weights are random here; that they are embedders is tested in test_embedders.py."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from metad2a.data.embedders.base import get_embedder
from metad2a.data.embedders.timm_models import Timm
from metad2a.data.embedders.weights import WEIGHTS_VARIABLE
from metad2a.errors import ConfigError, UnknownNameError

timm = pytest.importorskip("timm")


@pytest.fixture
def make_weights(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes random weights of a model."""

    def make(model: str, **options: Any) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            state = timm.create_model(model, **options).state_dict()
        path = tmp_path / f"{model}.safetensors"
        save_file({name: value.contiguous() for name, value in state.items()}, path)
        return path

    return make


@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "test_convnext", "levit_128s"])
def test_features_are_those_of_timm(model: str, make_weights: Callable[..., Path]) -> None:
    """Its own transform of an image that is a square of the right size, and its own network without a head."""
    weights = make_weights(model)
    net = timm.create_model(model, num_classes=0).eval()
    kept = net.state_dict().keys()
    net.load_state_dict({name: value for name, value in load_file(weights).items() if name in kept})
    config = timm.data.resolve_model_data_config(net)
    side = config["input_size"][1]
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        expected = net((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std)
    embedder = get_embedder(f"timm:{model}?weights={weights}")
    assert (embedder.resolution, embedder.dim) == (side, expected.shape[1])
    torch.testing.assert_close(embedder.embed(images), expected, rtol=1e-4, atol=1e-5)


def test_a_transformer_takes_other_resolutions(make_weights: Callable[..., Path]) -> None:
    weights = make_weights("test_vit")
    small = Timm("test_vit", resolution=64, weights=weights)
    assert small.embed(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, small.dim)
    assert small.fingerprint != Timm("test_vit", weights=weights).fingerprint


def test_the_fingerprint_is_of_what_decides_features(
    timm_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Timm("test_resnet", weights=timm_weights).fingerprint
    state = load_file(timm_weights)
    # The same numbers: another kind of file, as training programs write it, without the classifier.
    bare = {name: value for name, value in state.items() if not name.startswith("fc.")}
    torch.save({"state_dict": bare, "epoch": 3}, tmp_path / "other.pth")
    assert Timm("test_resnet", weights=tmp_path / "other.pth").fingerprint == ours
    assert Timm("test_resnet.r160_in1k", weights=timm_weights).fingerprint == ours, "its default tag"
    assert Timm("test_resnet", weights=timm_weights, resolution=160).fingerprint == ours, "its default resolution"

    assert Timm("test_resnet", weights=timm_weights, resolution=96).fingerprint != ours
    save_file(state | {"conv1.0.weight": -state["conv1.0.weight"]}, tmp_path / "w.safetensors")
    assert Timm("test_resnet", weights=tmp_path / "w.safetensors").fingerprint != ours
    resolve = timm.data.resolve_model_data_config
    monkeypatch.setattr(
        timm.data, "resolve_model_data_config", lambda net: resolve(net) | {"mean": (0.1, 0.2, 0.3)}
    )
    assert Timm("test_resnet", weights=timm_weights).fingerprint != ours


def test_half_precision_and_no_global_randomness(timm_weights: Path, tmp_path: Path) -> None:
    halves = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_file(timm_weights).items()
    }
    save_file(halves, tmp_path / "half.safetensors")
    before = torch.get_rng_state()
    features = Timm("test_resnet", 64, tmp_path / "half.safetensors").embed(np.zeros((1, 64, 64, 3), np.uint8))
    assert features.dtype == torch.float32
    assert torch.equal(torch.get_rng_state(), before)


def test_the_weights_can_lie_elsewhere(timm_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = get_embedder(f"timm:test_resnet?weights={timm_weights}")
    assert embedder.name == "timm:test_resnet?weights=test_resnet.safetensors"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"no file test_resnet.safetensors. Set {WEIGHTS_VARIABLE} to the file"):
        get_embedder(embedder.name)
    renamed = tmp_path / "renamed.safetensors"
    renamed.write_bytes(timm_weights.read_bytes())
    for place in (timm_weights, timm_weights.parent, renamed):
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(place))
        assert get_embedder(embedder.name).fingerprint == embedder.fingerprint
    (tmp_path / "test_resnet.safetensors").write_bytes(b"one that came with something else")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(timm_weights.parent))
    assert get_embedder(embedder.name).fingerprint == embedder.fingerprint
    (tmp_path / "test_resnet.safetensors").unlink()
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError, match=rf"nor does {WEIGHTS_VARIABLE}={re.escape(str(tmp_path))} lead to it"):
        get_embedder(embedder.name)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("resnet1", "timm has no model 'resnet1'. Did you mean 'resnet18'?"),
        ("resnet18.a1_in2k", "timm's resnet18 has no tag 'a1_in2k'. Did you mean 'a1_in1k'?"),
    ],
)
def test_unknown_models(model: str, words: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(words)) as caught:
        get_embedder(f"timm:{model}")
    assert len(str(caught.value)) < 200, "there are too many models for a list of all"


def test_without_a_file_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    words = r"weights of 'timm:test_resnet' could not be downloaded .*: timm:test_resnet\?weights=FILE"
    with pytest.raises(ConfigError, match=words):
        get_embedder("timm:test_resnet")


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("time.sleep", mock.Mock(side_effect=AssertionError("it waits and tries again")))
    with pytest.raises(ConfigError, match=r"could not be downloaded \(http://127.0.0.1:9 does not answer \("):
        get_embedder("timm:test_resnet")
    assert not constants.HF_HUB_OFFLINE


def test_weights_of_the_hub_are_those_of_a_file(timm_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if they had been downloaded: the features and the fingerprint are the same, so checkpoints are too."""
    from timm.models import _builder

    def downloaded(*_: object, **__: object) -> dict[str, torch.Tensor]:
        return load_file(timm_weights)

    monkeypatch.setattr(_builder, "load_state_dict_from_hf", downloaded)
    assert get_embedder("timm:test_resnet").fingerprint == Timm("test_resnet", weights=timm_weights).fingerprint


def test_no_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"needs timm.*pip install 'metad2a\[timm\]'"):
        get_embedder("timm:test_resnet")


@pytest.mark.parametrize("resolution", [0, -5, 1])
def test_resolutions_that_cannot_be_used(
    timm_weights: Path, make_weights: Callable[..., Path], resolution: int
) -> None:
    with pytest.raises(
        ConfigError, match=f"does not take RGB images of {resolution} pixels .*another .resolution="
    ):
        Timm("test_vit", resolution, make_weights("test_vit"))


def test_files_of_something_else(timm_weights: Path, tmp_path: Path, make_weights: Callable[..., Path]) -> None:
    def refused(path: Path, words: str) -> None:
        with pytest.raises(ConfigError, match=rf"{path.name} holds no weights of timm's test_resnet: .*{words}"):
            Timm("test_resnet", weights=path)

    state = load_file(timm_weights)
    refused(make_weights("test_vit"), r"\d+ of its tensors are missing, e\.g\. 'conv1")
    save_file(state | {"more": torch.zeros(1)}, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "1 of its tensors are unknown, e\\.g\\. 'more'")
    save_file(state | {"conv1.0.weight": torch.zeros(1)}, tmp_path / "b.safetensors")
    refused(tmp_path / "b.safetensors", "size mismatch for conv1.0.weight")
    (tmp_path / "c.safetensors").write_bytes(b"<html>")
    refused(tmp_path / "c.safetensors", "SafetensorError")
    (tmp_path / "d.pth").write_bytes(b"<html>")
    refused(tmp_path / "d.pth", "it is no file of torch.save, or holds more than tensors")
    torch.save({"epoch": 3}, tmp_path / "e.pth")
    refused(tmp_path / "e.pth", "something else than tensors by name")
