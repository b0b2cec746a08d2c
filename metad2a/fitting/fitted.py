"""Trained networks in a file: safetensors, with a card in its header that says all that is needed to use them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

import metad2a
from metad2a.data.image_set import ImageSet
from metad2a.errors import CheckpointError, UserError
from metad2a.fitting.network import EVALUATION_BATCH, evaluation_batch, normalizer
from metad2a.spaces.networks.lean import lean
from metad2a.spaces.registry import get_space
from metad2a.tensor_file import read_tensors, write_tensors

SCHEMA_VERSION = 1
SUFFIX = ".safetensors"
BEST_FILE, LAST_FILE = f"best{SUFFIX}", f"last{SUFFIX}"
CHECKPOINTS = "checkpoints"
_HEADER = "metad2a-network"


@dataclass(frozen=True)
class Card:
    """What a trained network is, and what it must be given.

    Attributes:
        space: name of the search space.
        arch: the space's text of the architecture.
        scale: size options the network was built with.
        classes: names, in the order of the network's outputs.
        resolution: pixels a side of its images.
        mean: of the training images' channels (RGB, 0 to 255); it is subtracted.
        std: their standard deviation, by which what is left is divided.
        dataset: name of the images that it was trained on.
        recipe: how, as plain data.
        seed: of the training.
        epoch: after which the weights were kept.
        accuracy: on the validation images, in percent.
        start: fingerprint of the supernet whose weights were the first ones; empty where it started from nothing.
    """

    space: str
    arch: str
    scale: dict[str, int]
    classes: tuple[str, ...]
    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset: str
    recipe: dict[str, Any]
    seed: int
    epoch: int
    accuracy: float
    start: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, with the versions of format and package."""
        return {"schema_version": SCHEMA_VERSION, "metad2a_version": metad2a.__version__} | asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Card":
        """Return the card that ``content`` describes; what is missing or of no use is a KeyError or ValueError."""
        values = {"start": ""} | dict(content)  # files of earlier versions do not say it
        values = {entry.name: values[entry.name] for entry in fields(cls)}
        for name in ("classes", "mean", "std"):
            values[name] = tuple(values[name])
        if not len(values["mean"]) == len(values["std"]) == 3 or not min(map(float, values["std"])) > 0:
            raise ValueError(f"mean {values['mean']} and std {values['std']} are not those of three channels")
        return cls(**values)


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network with its card.

    Attributes:
        network: (B, 3, s, s) normalised images -> (B, classes) scores, in evaluation mode.
        card: what it is.
    """

    network: nn.Module
    card: Card

    def save(self, path: str | Path) -> None:
        """Write weights and card into one file, atomically.

        Raises:
            CheckpointError: ``path`` does not end in ``.safetensors``.
            OutputError: it cannot be written.
        """
        save_network(path, self.network, self.card)

    @torch.inference_mode()
    def probabilities(self, images: UInt8[Tensor, "n 3 s s"]) -> Float[Tensor, "n classes"]:
        """Return the probability of each class, on the CPU, for images of ``card.resolution`` as they were read."""
        device = next(self.network.parameters()).device
        normalize = normalizer(torch.tensor(self.card.mean), torch.tensor(self.card.std), device)
        self.network.eval()
        size = evaluation_batch(images.shape[-1])
        with lean(self.network):
            scores = [self.network(normalize(batch.to(device))) for batch in images.split(size)]
        return torch.cat(scores).float().softmax(1).cpu()

    def predict_proba(self, images: ImageSet) -> Float[np.ndarray, "n classes"]:
        """Return the probability of each class of ``card.classes`` for each image.

        Raises:
            DataError: an image cannot be read.
        """
        return np.concatenate([self.probabilities(batch).numpy() for batch in self._batches(images)])

    def predict(self, images: ImageSet) -> Int[np.ndarray, " n"]:
        """Return the number in ``card.classes`` of the likeliest class of each image.

        Raises:
            DataError: an image cannot be read.
        """
        numbers: np.ndarray = self.predict_proba(images).argmax(1)
        return numbers

    def _batches(self, images: ImageSet) -> Iterator[UInt8[Tensor, "n 3 s s"]]:
        for start in range(0, len(images), EVALUATION_BATCH):
            rows = range(start, min(start + EVALUATION_BATCH, len(images)))
            yield torch.from_numpy(images.load(rows, self.card.resolution)).permute(0, 3, 1, 2)


def save_network(path: str | Path, network: nn.Module, card: Card) -> None:
    """See ``FittedNetwork.save``."""
    _check_suffix(Path(path))
    write_tensors(path, _HEADER, card.to_dict(), network.state_dict())


def load_fitted(source: str | Path, *, device: str = "cpu") -> FittedNetwork:
    """Read a trained network.

    Args:
        source: run folder of ``metad2a fit-network`` (its best weights), or a file that it wrote.
        device: where the network is to be.

    Raises:
        CheckpointError: there is none, or it is another file, of a newer version, or damaged.
        UnknownNameError: its search space is not installed.
    """
    path = Path(source)
    if path.is_dir():
        path = next(
            (place for place in (path / CHECKPOINTS / BEST_FILE, path / BEST_FILE) if place.is_file()), path
        )
    if not path.is_file():
        raise CheckpointError(
            f"there is no trained network {source}. Give a run folder of `metad2a fit-network`, or its "
            f"{CHECKPOINTS}/{BEST_FILE}."
        )
    _check_suffix(path)
    header, tensors = read_tensors(
        path,
        _HEADER,
        newest=SCHEMA_VERSION,
        stranger="holds no trained network: `metad2a fit-network` writes them, with a card.",
        error=CheckpointError,
    )
    try:
        card = Card.from_dict(header)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the card is damaged ({error!r}). Get the file again.") from error
    try:
        space = get_space(card.space)
        network = space.build(space.parse(card.arch), len(card.classes), **card.scale)
        network.load_state_dict(tensors)
    except (UserError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: the weights do not fit its card ({error}).") from error
    return FittedNetwork(network.to(device).to(memory_format=torch.channels_last).eval(), card)


def _check_suffix(path: Path) -> None:
    if path.suffix != SUFFIX:
        raise CheckpointError(f"{path}: the name of a trained network's file ends in {SUFFIX}.")
