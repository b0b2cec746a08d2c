"""Files of an embedder's weights: where they are, what is in them, what they are told apart by."""

import hashlib
import os
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metad2a.errors import ConfigError

WEIGHTS_VARIABLE = "METAD2A_EMBEDDER_WEIGHTS"

_WRAPPERS = ("state_dict", "model")  # what training programs call the weights in their checkpoints
_COUNTER = "num_batches_tracked"  # of batch normalisation: no feature depends on it


def find_weights(path: str | Path, *, of: str) -> Path:
    """Return the weights file of an embedder.

    It lies where ``path`` says, else the environment variable ``METAD2A_EMBEDDER_WEIGHTS`` names it, or the folder
    that holds a file of that name. For a ``path`` without a folder, as in checkpoints, the variable comes first
    where it leads to a file of that name. Which of two is right no name decides, but the fingerprint.

    Args:
        path: as it stands behind ``weights=``.
        of: the embedder, for the message.

    Raises:
        ConfigError: it is nowhere.
    """
    path = Path(path).expanduser()
    named = os.environ.get(WEIGHTS_VARIABLE)
    elsewhere = [Path(named).expanduser() / path.name, Path(named).expanduser()] if named else []
    of_that_name = [place for place in elsewhere if place.name == path.name]
    places = [*(of_that_name if path.parent == Path() else []), path, *elsewhere]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        looked = f", nor does {WEIGHTS_VARIABLE}={named} lead to it" if named else ""
        raise ConfigError(
            f"the embedder '{of}' needs its weights, but there is no file {path}{looked}. "
            f"Set {WEIGHTS_VARIABLE} to the file, or to the folder that holds it."
        )
    return found


def read_weights(path: Path, *, of: str) -> dict[str, Tensor]:
    """Return the tensors in a ``.safetensors`` file, or in one that ``torch.save`` wrote.

    Args:
        path: of the file; nothing but tensors is unpickled.
        of: what they must be weights of, for the message.

    Raises:
        ConfigError: it holds no tensors by name.
    """
    try:
        found = _load(path)
    except pickle.UnpicklingError as error:  # whose own words advise to load it unsafely
        raise no_weights(path, of, "it is no file of torch.save, or holds more than tensors") from error
    except Exception as error:  # the file can be anything, so reading it can fail in any way
        raise no_weights(path, of, f"{type(error).__name__}: {error}") from error
    for name in _WRAPPERS:
        inner = found.get(name) if isinstance(found, Mapping) else None
        found = inner if isinstance(inner, Mapping) else found
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise no_weights(path, of, "it holds something else than tensors by name")
    return dict(found)


def load_state(
    net: nn.Module, state: Mapping[str, Tensor], path: Path, *, of: str, without: Collection[str]
) -> None:
    """Put weights into a network; each of its tensors must be among them.

    Args:
        net: may be on the meta device.
        state: tensors by name; those that batch normalisation counts with may be missing.
        path: of their file, for the message.
        of: what they must be weights of, for the message.
        without: modules that the network lacks and the file may have: its classifier.

    Raises:
        ConfigError: tensors are missing, are too many, or have other shapes.
    """
    known = net.state_dict().keys()
    missing = [name for name in known if name not in state and not name.endswith(_COUNTER)]
    extra = [name for name in state if name not in known and name.partition(".")[0] not in without]
    for problem, names in (("are missing", missing), ("are unknown", extra)):
        if names:
            raise no_weights(path, of, f"{len(names)} of its tensors {problem}, e.g. '{names[0]}'")
    kept = {name: value for name, value in state.items() if name in known}
    floats = {name: value.float() if value.is_floating_point() else value for name, value in kept.items()}
    try:
        net.load_state_dict(floats, strict=False, assign=True)
    except RuntimeError as error:
        raise no_weights(path, of, " ".join(str(error).split("\n\t")[1:2])) from error


def no_weights(path: Path, of: str, why: str) -> ConfigError:
    """Return the error for a file without the weights ``of`` a network."""
    lines = why.strip().splitlines() or ["it is empty"]
    return ConfigError(f"{path} holds no weights of {of}: {lines[0]}")


def digest_of(state: Mapping[str, Tensor]) -> str:
    """Return a text that depends on every name and number of a network's ``state_dict``, not on its file."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(state):
        if not name.endswith(_COUNTER):
            values = state[name].detach().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load(path: Path) -> Any:
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)
