"""ResNet-18 with ImageNet weights: the embedder of the official MetaD2A implementation."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from metad2a.data.embedders.base import Embedder
from metad2a.data.embedders.reference import whole
from metad2a.data.embedders.weights import find_weights, load_state, read_weights
from metad2a.errors import ConfigError

NAME = "resnet18"
DIM = 512
RESOLUTION = 32
WEIGHTS_VARIABLE = "METAD2A_RESNET18_WEIGHTS"

_MEAN, _STD = (122.68, 116.66, 104.01), (66.22, 64.20, 67.86)  # of ImageNet32's pixels in 0..255, by channel
_PREPROCESSING = f"(x-{_MEAN})/{_STD}, mean pool, v1"
_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"  # torchvision's IMAGENET1K_V1
_OFFICIAL_DIGEST = "f37072fd"
_BATCH = 64


def _fingerprint(digest: str) -> str:
    preprocessing = hashlib.blake2b(_PREPROCESSING.encode(), digest_size=4).hexdigest()
    return f"{NAME}-{RESOLUTION}-{digest}-{preprocessing}"


OFFICIAL_FINGERPRINT = _fingerprint(_OFFICIAL_DIGEST)
"""Of the embedder with the official weights: known without having them, since their name states their hash."""


class ResNet18(Embedder):
    """The pooled last feature map of torchvision's ResNet-18 (He et al., CVPR 2016), ImageNet weights.

    What the official implementation's ``process_dataset.py`` computes for its meta-training images (ImageNet32):
    32 pixels a side, colours standardised by ImageNet32's statistics. For its meta-test sets it uses the
    statistics of each set instead; an embedder knows one image at a time, so here all images are treated like
    those of meta-training.

    The weights are those of ``torchvision.models.ResNet18_Weights.IMAGENET1K_V1`` in torch hub's cache, to which
    they are downloaded when they are not there yet; or those of the file ``weights``, else of the file that the
    environment variable ``METAD2A_RESNET18_WEIGHTS`` names. They are read when the first image is embedded: who has
    feature files needs none.

    Args:
        weights: a file of ``torch.save`` or ``.safetensors``, in the layout of torchvision; see ``find_weights``.

    Raises:
        ConfigError: the file is not there.
    """

    dim = DIM
    resolution = RESOLUTION

    def __init__(self, weights: str | Path | None = None) -> None:
        asked = None if weights is None else Path(weights)
        given = whole(NAME, resolution=None, weights=asked)
        self._file = _named_file() if asked is None else find_weights(asked, of=given)
        digest = _OFFICIAL_DIGEST if self._file is None else _digest(self._file)
        self.name = NAME if digest == _OFFICIAL_DIGEST else given  # these any machine can download
        self.fingerprint = _fingerprint(digest)

    @cached_property
    def _net(self) -> nn.Module:
        net = _empty_network()
        _load(net, self._file or _cached_file())
        return net

    def embed(self, images: UInt8[np.ndarray, "I S S 3"]) -> Float[Tensor, "I F"]:
        """Return the float32 features of RGB ``images`` of ``resolution`` pixels a side, on the CPU.

        Raises:
            ConfigError: torchvision is not installed, or the weights are not to be had.
        """
        features = torch.empty(len(images), self.dim)  # outside inference mode, so that others may train on it
        mean, std = torch.tensor(_MEAN), torch.tensor(_STD)
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                batch = torch.from_numpy(images[start : start + _BATCH])
                features[start : start + _BATCH] = self._net(((batch - mean) / std).permute(0, 3, 1, 2))
        return features


def _empty_network() -> Any:
    try:
        from torchvision.models import resnet18
    except (ImportError, RuntimeError, OSError) as error:  # a build for another torch fails in any of these ways
        raise ConfigError(
            f"the embedder '{NAME}' needs torchvision, which cannot be imported ({error}). "
            "Install it: pip install 'metad2a[torchvision]', from where your PyTorch came from."
        ) from error
    with torch.device("meta"):  # no random weights, and no draw from the global stream
        net = resnet18(weights=None)
    net.fc = nn.Identity()
    return net.eval().requires_grad_(False)


def _named_file() -> Path | None:
    named = os.environ.get(WEIGHTS_VARIABLE)
    if not named:
        return None
    path = Path(named).expanduser()
    if not path.is_file():
        raise ConfigError(f"{WEIGHTS_VARIABLE} names {path}, but there is no such file.")
    return path


def _cached_file() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(_URL).name
    if not path.is_file():
        _download(path)
    if _digest(path) != _OFFICIAL_DIGEST:
        raise ConfigError(f"{path} is damaged: its SHA-256 does not begin with {_OFFICIAL_DIGEST}. Delete it.")
    return path


def _download(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(_URL, str(path), hash_prefix=_OFFICIAL_DIGEST, progress=False)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"the weights of '{NAME}' could not be downloaded from {_URL} ({error}). Get that file elsewhere and "
            f"put it at {path}, or set {WEIGHTS_VARIABLE}=FILE."
        ) from error


def _digest(path: Path) -> str:
    """Return the first 8 hexadecimal digits of the file's SHA-256, as torchvision puts them into its names."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def _load(net: nn.Module, path: Path) -> None:
    of = "torchvision's ResNet-18"
    load_state(net, read_weights(path, of=of), path, of=of, without={"fc"})
