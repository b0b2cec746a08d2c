"""Trained supernets in a file: safetensors, with all that is needed to use them in its JSON header."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

import metad2a
from metad2a.errors import CheckpointError, UnknownNameError
from metad2a.spaces.networks.supernet import Supernet
from metad2a.tensor_file import has_header, read_tensors, write_tensors

SCHEMA_VERSION = 1
SUFFIX = ".safetensors"
SUPERNET_FILE = f"supernet{SUFFIX}"
_HEADER = "metad2a-supernet"
_SEEN, _WEIGHTS = "seen", "net."
_NAMED = 5  # classes of many, in a message
_TOLD = ("classes", "resolution", "mean", "std", "scores", "provenance")


@dataclass(frozen=True)
class TrainedSupernet:
    """A trained supernet, and what it must be given.

    Attributes:
        net: the shared weights.
        classes: names, in the order of the rows of its head.
        resolution: pixels a side of its images.
        mean: of the channels (RGB, 0 to 255); it is subtracted.
        std: their standard deviation, by which what is left is divided.
        seen: ``image_keys`` of the images that it was trained on, sorted; empty where nobody knows.
        scores: measured at the end of its training, by name.
        provenance: where it comes from: data, recipe, seed, version.
    """

    net: Supernet
    classes: tuple[str, ...]
    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seen: Int64[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, np.int64))
    scores: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that depend on all that decides the accuracy of its networks."""
        digest = hashlib.blake2b(digest_size=8)
        told = [self.classes, self.resolution, self.mean, self.std, self.net.size]
        digest.update(json.dumps(told).encode())
        for name, tensor in sorted(self.net.state_dict().items()):
            if "running_" not in name and "num_batches" not in name:  # replaced before a network is used
                digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def rows(self, classes: Sequence[str]) -> list[int]:
        """Return the rows of the head that tell ``classes`` apart.

        Raises:
            UnknownNameError: it was not trained on one of them.
        """
        places = {name: row for row, name in enumerate(self.classes)}
        for name in classes:
            if name not in places:
                some = ", ".join(self.classes[:_NAMED]) + (", ..." if len(places) > _NAMED else "")
                raise UnknownNameError(
                    f"unknown class of the supernet '{name}': it was trained on {len(places)} others ({some}). "
                    "Give images of those, or train one on your images: `metad2a train supernet dataset=IMAGES`."
                )
        return [places[name] for name in classes]

    def of_width(self, width: int | None) -> "TrainedSupernet":
        """Return it, if its networks have this width in percent; None is any.

        Raises:
            CheckpointError: they have another one.
        """
        own = self.net.size["width"]
        if width not in (None, own):
            raise CheckpointError(
                f"the supernet's networks have width {own}, not {width}. Give one of width {width}."
            )
        return self

    def has_seen(self, images: UInt8[Tensor, "n 3 s s"]) -> Bool[np.ndarray, " n"]:
        """Return which ``images`` of its resolution it was trained on, pixel for pixel."""
        return np.isin(image_keys(images), self.seen)

    def save(self, path: str | Path) -> None:
        """Write the file, atomically.

        Raises:
            CheckpointError: ``path`` does not end in ``.safetensors``.
            OutputError: it cannot be written.
        """
        if Path(path).suffix != SUFFIX:
            raise CheckpointError(f"{path}: the name of a supernet's file ends in {SUFFIX}.")
        header = {
            "schema_version": SCHEMA_VERSION,
            "metad2a_version": metad2a.__version__,
            "size": self.net.size,
        } | {name: getattr(self, name) for name in _TOLD}
        tensors = {_WEIGHTS + name: value for name, value in self.net.state_dict().items()}
        write_tensors(path, _HEADER, header, tensors | {_SEEN: torch.from_numpy(self.seen)})

    @classmethod
    def load(cls, path: str | Path) -> "TrainedSupernet":
        """Read a file that ``save`` wrote.

        Raises:
            CheckpointError: there is none, or it is another file, of a newer version, or damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise CheckpointError(
                f"there is no supernet {path}. `metad2a train supernet` makes one: its run folder has "
                f"checkpoints/{SUPERNET_FILE}."
            )
        header, tensors = read_tensors(
            path,
            _HEADER,
            newest=SCHEMA_VERSION,
            stranger="holds no supernet: `metad2a train supernet` writes them.",
            error=CheckpointError,
        )
        try:
            told = {name: header[name] for name in _TOLD}
            told |= {name: tuple(told[name]) for name in ("classes", "mean", "std")}
            net = Supernet(len(told["classes"]), **header["size"])
            seen = tensors.pop(_SEEN).numpy()
            net.load_state_dict({name.removeprefix(_WEIGHTS): value for name, value in tensors.items()})
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} is damaged: {error}. Get the file again.") from error
        return cls(net.eval(), seen=seen, **told)


def is_supernet(path: str | Path) -> bool:
    """Return whether ``path`` is a file that ``TrainedSupernet.save`` wrote, of whatever version."""
    return has_header(path, _HEADER)


def image_keys(images: UInt8[Tensor, "n 3 s s"]) -> Int64[np.ndarray, " n"]:
    """Return a number for each image that depends on its pixels alone."""
    pixels = images.cpu().contiguous().numpy()
    digests = b"".join(hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in pixels)
    return np.frombuffer(digests, np.int64).copy()
