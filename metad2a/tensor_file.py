"""Files of our own: tensors in the safetensors format, and what they mean in a JSON header among its metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import metad2a
from metad2a.errors import UserError
from metad2a.runtime import atomic_path


def write_tensors(path: str | Path, key: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a file, atomically.

    Args:
        path: of the file.
        key: of the header among the metadata, which says what kind of file it is.
        header: plain data; ``schema_version`` and ``metad2a_version`` among it.
        tensors: by name.

    Raises:
        OutputError: it cannot be written.
        TypeError: a value of the header is not JSON.
    """
    text = json.dumps(header, allow_nan=False, ensure_ascii=False)
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(own, temporary, metadata={key: text})


def read_tensors(
    path: Path, key: str, *, newest: int, stranger: str, error: type[UserError]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the header and the tensors; of these only what is looked at is read from the file.

    Args:
        path: of the file.
        key: see ``write_tensors``.
        newest: the highest ``schema_version`` that the caller reads.
        stranger: what is said of a file without such a header.
        error: class of all errors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if key not in metadata:
                raise error(f"{path} {stranger}")
            header = _header(path, metadata[key], newest, error)
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as problem:
        raise error(f"{path} is no safetensors file, or a damaged one: {problem}. Get the file again.") from problem


def _header(path: Path, text: str, newest: int, error: type[UserError]) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(text)
        version, writer = int(header["schema_version"]), header.get("metad2a_version", "of unknown version")
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise error(f"{path}: the header is damaged ({problem!r}). Get the file again.") from problem
    if version > newest:
        raise error(
            f"{path} was written by metad2a {writer} in format {version}; this is metad2a {metad2a.__version__}, "
            f"which reads formats up to {newest}. Upgrade metad2a."
        )
    return header


def has_header(path: str | Path, key: str) -> bool:
    """Return whether ``path`` is a file with such a header, of whatever version."""
    try:
        with safe_open(path, framework="pt") as file:
            return key in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False
