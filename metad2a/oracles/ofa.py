"""Once-for-All's published predictor of ImageNet accuracies, as an oracle."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

import metad2a
from metad2a.errors import DataError
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.mobile import MobileSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.mobilenetv3 import DOWNSAMPLING, EXPANSIONS, KERNELS, LAYERS, STAGES
from metad2a.spaces.networks.mobilenetv3_costs import used_layers
from metad2a.tensor_file import has_header, read_tensors, write_tensors

SCHEMA_VERSION = 1
SUFFIX = ".safetensors"
RESOLUTIONS = tuple(range(112, 225, 16))
"""Pixels a side that the predictor knows."""
WIDTH = 120
"""Of the networks whose accuracies it predicts, in percent."""
_HEADER = "metad2a_accuracy_predictor"
_PLACES = STAGES * LAYERS * (len(KERNELS) + len(EXPANSIONS))
_WIDTHS = (_PLACES + len(RESOLUTIONS), 400, 400, 400, 1)
_ROWS = 4096  # architectures a batch


class AccuracyPredictor:
    """Predicts the ImageNet accuracy of any mobile network of Once-for-All at one resolution.

    Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient Deployment", ICLR 2020: four linear
    layers that read kernel and expansion of each layer of a sub-network, and the pixels of its images. They learned
    accuracies of inherited weights on 10,000 images of ImageNet's training set that were held out: these are some
    points above those on its validation set.

    Args:
        state: weights by the names of the published file: ``0.weight`` (400, 128), ``0.bias`` ... ``6.bias``.
        resolution: one of ``RESOLUTIONS``.
        name: for reports.
        space: of the architectures; ``MobileNetV3`` when None.

    Raises:
        DataError: the weights have other names or shapes, or the predictor knows no such resolution.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        *,
        resolution: int = 224,
        name: str = "ofa",
        space: MobileSpace | None = None,
    ) -> None:
        if resolution not in RESOLUTIONS:
            known = ", ".join(map(str, RESOLUTIONS))
            raise DataError(f"{name}: no accuracy at '{resolution}' pixels a side is known. Give one of {known}.")
        check_state(state, name)
        self.name = f"{name}:{resolution}"
        self.resolution = resolution
        self._space = space or MobileNetV3()
        layers = [nn.Linear(before, after) for before, after in pairwise(_WIDTHS)]
        self._net = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))[:-1]
        self._net.load_state_dict(dict(state))
        self._net.double()

    @property
    def scale(self) -> dict[str, int]:
        """The scale options of the networks whose accuracies it predicts."""
        return {"width": WIDTH, "downsampling": DOWNSAMPLING}

    @classmethod
    def from_file(cls, path: str | Path, resolution: str | int, space: SearchSpace) -> "AccuracyPredictor":
        """Open a file that ``metad2a import ofa`` wrote.

        Args:
            path: ends in ``.safetensors``.
            resolution: pixels a side of the images, also as text: the column of this oracle.
            space: of the architectures.

        Raises:
            DataError: there is no such file, it is another one or damaged; or the networks of ``space`` are no
                mobile ones, or the resolution is unknown.
        """
        path = Path(path)
        if not isinstance(space, MobileSpace):
            raise DataError(
                f"the oracle {path} knows architectures of '{MobileNetV3.name}', not of '{space.name}'. "
                f"Take the space '{MobileNetV3.name}', or a checkpoint for it, or give a table as the oracle."
            )
        if not path.is_file():
            raise DataError(f"there is no oracle {path}. `metad2a import ofa` makes one of Once-for-All's file.")
        _, state = read_tensors(
            path,
            _HEADER,
            newest=SCHEMA_VERSION,
            stranger="is no accuracy predictor. Make one of Once-for-All's file with `metad2a import ofa`.",
            error=DataError,
        )
        pixels = int(resolution) if str(resolution).isdecimal() else -1
        if pixels not in RESOLUTIONS:
            known = ", ".join(map(str, RESOLUTIONS))
            raise DataError(
                f"the oracle {path} has no column '{resolution}': its columns are pixels a side, {known}."
            )
        return cls(state, resolution=pixels, name=path.name, space=space)

    @torch.inference_mode()
    def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> Float[np.ndarray, " A"]:
        """See ``metad2a.oracles.base.Oracle.evaluate``; the same whatever the seed.

        Raises:
            ArchitectureError: one of them is none of the space.
        """
        found = [np.empty(0)]
        for start in range(0, len(archs), _ROWS):
            codes = torch.from_numpy(self.codes(archs[start : start + _ROWS])).double()
            found.append(100 * self._net(codes)[:, 0].numpy())
        # The last digits depend on what else is in the batch.
        return np.concatenate(found).clip(0, 100).round(6)

    def codes(self, archs: Sequence[Architecture]) -> Float32[np.ndarray, "A 128"]:
        """Return what the predictor reads: kernel of each layer, expansion of each layer, and the resolution.

        Each is a one among zeros; of a layer that is not used all are zero.
        """
        depths, *decided = self._space.stages(archs)
        used = used_layers(depths)[..., None]
        kernels, expansions = (
            np.eye(len(options))[positions] * used
            for options, positions in zip((KERNELS, EXPANSIONS), decided, strict=True)
        )
        pixels = np.eye(len(RESOLUTIONS))[np.full(len(archs), RESOLUTIONS.index(self.resolution))]
        parts = [kernels.reshape(len(archs), -1), expansions.reshape(len(archs), -1), pixels]
        return np.concatenate(parts, axis=1).astype(np.float32)


def is_predictor(path: str | Path) -> bool:
    """Return whether ``path`` is a file that ``write_predictor`` wrote, of whatever version."""
    return has_header(path, _HEADER)


def check_state(state: Mapping[str, Any], name: str) -> None:
    """Refuse what are not the weights of the predictor.

    Raises:
        DataError: the names or shapes are others.
    """
    expected: dict[str, tuple[int, ...]] = {}
    for place, (before, after) in enumerate(pairwise(_WIDTHS)):
        expected |= {f"{2 * place}.weight": (after, before), f"{2 * place}.bias": (after,)}
    shapes = {key: tuple(value.shape) for key, value in state.items() if isinstance(value, Tensor)}
    wrong = sorted(expected.items() ^ shapes.items())
    if wrong or len(shapes) < len(state):
        what = f"'{wrong[0][0]}' is {shapes.get(wrong[0][0], 'missing')}" if wrong else "it holds more than weights"
        raise DataError(
            f"{name} is not Once-for-All's accuracy predictor, a network of {'-'.join(map(str, _WIDTHS))}: {what}."
        )


def write_predictor(path: str | Path, state: Mapping[str, Tensor]) -> None:
    """Write the weights to a ``.safetensors`` file, atomically.

    Raises:
        DataError: these are not the weights of the predictor.
        OutputError: the file cannot be written.
    """
    check_state(state, "what is to be written")
    versions = {"schema_version": SCHEMA_VERSION, "metad2a_version": metad2a.__version__}
    header = versions | {"space": MobileNetV3.name, "width": WIDTH}
    write_tensors(path, _HEADER, header, {key: tensor.float() for key, tensor in state.items()})
