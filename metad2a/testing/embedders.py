"""What every embedder must do.

Subclass the contract in a test file and give it the embedder:

class TestMyEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self):
        return MyEmbedder()
"""

import numpy as np
import pytest
import torch

from metad2a.data.embedders.base import Embedder
from metad2a.runtime import numpy_rng


class EmbedderContract:
    """Tests of an embedder; the subclass has a fixture ``embedder``."""

    @pytest.fixture
    def again(self, embedder: Embedder) -> Embedder:
        """The embedder, made once more; override it where the constructor needs arguments."""
        return type(embedder)()

    @pytest.fixture
    def images(self, embedder: Embedder) -> np.ndarray:
        """Three unlike images: noise, a gradient, one colour."""
        size = embedder.resolution
        images = np.empty((3, size, size, 3), np.uint8)
        images[0] = numpy_rng("embedder-contract").integers(0, 256, images[0].shape)
        images[1] = np.linspace(0, 255, size)[:, None]
        images[2] = (255, 128, 0)
        return images

    def test_says_what_it_is(self, embedder: Embedder) -> None:
        assert embedder.name
        assert embedder.fingerprint
        assert embedder.dim > 0
        assert embedder.resolution > 0

    def test_features_are_finite_float32_on_the_cpu(self, embedder: Embedder, images: np.ndarray) -> None:
        features = embedder.embed(images)
        assert features.shape == (len(images), embedder.dim)
        assert features.dtype == torch.float32
        assert features.device.type == "cpu"
        assert not features.requires_grad
        assert not features.is_inference(), "nothing can be trained on tensors made in inference mode"
        assert features.isfinite().all()

    def test_unlike_images_have_unlike_features(self, embedder: Embedder, images: np.ndarray) -> None:
        features = embedder.embed(images)
        distances = torch.cdist(features, features) + torch.eye(len(images))
        assert distances.min() > 1e-3

    def test_no_images_have_no_features(self, embedder: Embedder, images: np.ndarray) -> None:
        assert embedder.embed(images[:0]).shape == (0, embedder.dim)

    def test_same_images_same_features(self, embedder: Embedder, images: np.ndarray) -> None:
        before = images.copy()
        first = embedder.embed(images)
        assert torch.equal(first, embedder.embed(images))
        assert np.array_equal(images, before), "embed changed its input"

    def test_batch_equals_singles(self, embedder: Embedder, images: np.ndarray) -> None:
        singles = torch.cat([embedder.embed(images[i : i + 1]) for i in range(len(images))])
        torch.testing.assert_close(embedder.embed(images), singles, rtol=1e-3, atol=1e-4)

    def test_a_new_instance_is_the_same_embedder(
        self, embedder: Embedder, again: Embedder, images: np.ndarray
    ) -> None:
        assert again.name == embedder.name
        assert again.fingerprint == embedder.fingerprint
        torch.testing.assert_close(again.embed(images), embedder.embed(images))
