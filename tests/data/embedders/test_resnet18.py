"""The official embedder. Its weights are random here; that it is an embedder is tested in test_embedders.py."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from metad2a.data.embedders import resnet18
from metad2a.data.embedders.base import get_embedder
from metad2a.data.embedders.resnet18 import OFFICIAL_FINGERPRINT, WEIGHTS_VARIABLE, ResNet18
from metad2a.errors import ConfigError

IMAGE = np.zeros((1, 32, 32, 3), np.uint8)


@pytest.fixture
def weights(resnet18_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(resnet18_weights))
    return resnet18_weights


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make torch hub's cache an empty folder, and return where the weights belong in it."""
    pytest.importorskip("torchvision")
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"


def test_features_equal_the_official_pipeline(weights: Path) -> None:
    """ToTensor, Normalize by ImageNet32's statistics, and every child of the network but the last."""
    from torchvision import models, transforms

    net = models.resnet18(weights=None)
    net.load_state_dict(torch.load(weights, weights_only=True))
    extract = torch.nn.Sequential(*list(net.eval().children())[:-1])
    mean, std = ([v / 255 for v in values] for values in ((122.68, 116.66, 104.01), (66.22, 64.20, 67.86)))
    prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    images = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = extract(torch.stack([prepare(image) for image in images])).flatten(1)
    torch.testing.assert_close(get_embedder("resnet18").embed(images), expected, rtol=1e-4, atol=1e-5)


def test_the_fingerprint_names_weights_and_preprocessing(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:8]
    ours = ResNet18().fingerprint
    assert ours == OFFICIAL_FINGERPRINT.replace("f37072fd", digest) != OFFICIAL_FINGERPRINT

    other = torch.load(weights, weights_only=True)
    other["conv1.weight"] = -other["conv1.weight"]
    torch.save(other, tmp_path / "other.pth")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "other.pth"))
    assert ResNet18().fingerprint != ours

    monkeypatch.setenv(WEIGHTS_VARIABLE, str(weights))
    monkeypatch.setattr(resnet18, "_PREPROCESSING", "another")
    assert ResNet18().fingerprint != ours


def test_the_official_fingerprint_needs_no_torchvision() -> None:
    """Checkpoints and feature files in this world state it: changing it makes them unusable."""
    assert OFFICIAL_FINGERPRINT == "resnet18-32-f37072fd-0abfc2ff"
    code = (
        "import sys; from metad2a.data.embedders.resnet18 import OFFICIAL_FINGERPRINT as f; "
        "print(f, 'torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [OFFICIAL_FINGERPRINT, "False"]


def test_old_files_and_no_global_randomness(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's file is older than batch normalisation's counters, which no result depends on."""
    state = torch.load(weights, weights_only=True)
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, tmp_path / "old.pth")
    images = np.full((1, 32, 32, 3), 200, np.uint8)
    expected = ResNet18().embed(images)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "old.pth"))
    before = torch.get_rng_state()
    assert torch.equal(ResNet18().embed(images), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_file_in_the_hub_cache_is_taken(weights: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.parent.mkdir(parents=True)
    hub.write_bytes(weights.read_bytes())
    with pytest.raises(ConfigError, match=r"resnet18-f37072fd\.pth is damaged"):
        ResNet18().embed(IMAGE)
    monkeypatch.setattr(resnet18, "_OFFICIAL_DIGEST", hashlib.sha256(weights.read_bytes()).hexdigest()[:8])
    assert ResNet18().embed(IMAGE).shape == (1, 512)


def test_weights_are_downloaded(weights: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(resnet18, "_URL", weights.as_uri())
    with pytest.raises(ConfigError, match=r"could not be downloaded.*invalid hash value"):
        ResNet18().embed(IMAGE)
    monkeypatch.setattr(resnet18, "_OFFICIAL_DIGEST", digest)
    assert ResNet18().embed(IMAGE).shape == (1, 512)
    assert (hub.parent / weights.name).is_file()


def test_no_network(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet18, "_URL", "http://127.0.0.1:9/resnet18-f37072fd.pth")
    embedder = ResNet18()
    assert embedder.fingerprint == OFFICIAL_FINGERPRINT  # all that feature files need
    with pytest.raises(ConfigError, match=rf"put it at {re.escape(str(hub))}, or set {WEIGHTS_VARIABLE}=FILE"):
        embedder.embed(IMAGE)
    assert not list(hub.parent.iterdir())


def test_no_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ConfigError, match=r"needs torchvision.*pip install 'metad2a\[torchvision\]'"):
        ResNet18().embed(IMAGE)


@pytest.mark.parametrize("content", [b"<html>", {"conv1.weight": torch.zeros(1)}, torch.zeros(2)])
def test_a_file_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object) -> None:
    pytest.importorskip("torchvision")
    path = tmp_path / "x.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(path))
    with pytest.raises(ConfigError, match=r"x\.pth holds no weights of torchvision's ResNet-18"):
        ResNet18().embed(IMAGE)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "nowhere.pth"))
    with pytest.raises(ConfigError, match="there is no such file"):
        ResNet18()
