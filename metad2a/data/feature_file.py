"""Features of images in a file that is read without loading it: safetensors with a JSON header."""

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

import metad2a
from metad2a.errors import DataError
from metad2a.runtime import atomic_path
from metad2a.tensor_file import has_header, read_tensors

SCHEMA_VERSION = 1
SUFFIX = ".safetensors"
_HEADER = "metad2a_features"
_CHECKPOINT_HEADER = "metad2a"
_ALIGNMENT = 8  # bytes, of where the numbers begin


@dataclass(frozen=True)
class FeatureInfo:
    """What a file of features says of itself.

    Attributes:
        name: of the image set.
        classes: names, in the order of the rows.
        embedder: fingerprint of the embedder that made the features.
    """

    name: str
    classes: tuple[str, ...]
    embedder: str


def write_features(path: str | Path, info: FeatureInfo, blocks: Sequence[Float[Tensor, "_ _"]]) -> None:
    """Write the features of each class, atomically, one class in memory at a time.

    The tensor ``features`` (I, F) has a row an image, class by class; those of class ``c`` begin at row
    ``offsets[c]`` and end before ``offsets[c + 1]``.

    Args:
        path: ends in ``.safetensors``.
        info: goes into the header.
        blocks: (images, F) of each class; written as 32-bit floats.

    Raises:
        DataError: another file name, or a class that has no image, other features than the first, or features
            that are no numbers.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    _check_suffix(path)
    _check_blocks(info, blocks)
    offsets = np.concatenate([[0], np.cumsum([len(block) for block in blocks])]).astype("<i8")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_file_header(info, offsets, blocks[0].shape[1]))
        for name, block in zip(info.classes, blocks, strict=True):
            rows = block.to(torch.float32).contiguous()
            if not rows.isfinite().all():
                raise DataError(f"cannot write {path}: a feature of class '{name}' is not finite.")
            file.write(rows.numpy().data)
        file.write(offsets.data)


def read_features(path: str | Path) -> tuple[FeatureInfo, Float32[Tensor, "I F"], Int64[np.ndarray, " boundaries"]]:
    """Return what the file says of itself, the features, and the offsets of the classes.

    The features stay in the file: only rows that are looked at are read.

    Raises:
        DataError: there is no such file, or it is another one, of a newer version, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"feature file {path} does not exist.")
    kind = "a checkpoint" if has_header(path, _CHECKPOINT_HEADER) else "not written by metad2a"
    header, tensors = read_tensors(
        path,
        _HEADER,
        newest=SCHEMA_VERSION,
        stranger=f"holds no features of images: it is {kind}.",
        error=DataError,
    )
    try:
        info = FeatureInfo(str(header["name"]), tuple(map(str, header["classes"])), str(header["embedder"]))
        features, offsets = tensors["features"], tensors["offsets"].numpy()
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: the header is damaged ({error!r}). Get the file again.") from error
    if not _fit(info, features, offsets):
        raise DataError(f"{path} is damaged: its features, offsets and classes do not fit. Get it again.")
    return info, features, offsets


def holds_features(path: str | Path) -> bool:
    """Return whether ``path`` is a safetensors file of features, rather than of something else."""
    return has_header(path, _HEADER)


def _fit(info: FeatureInfo, features: Tensor, offsets: np.ndarray) -> bool:
    return (
        (features.dtype, features.ndim, offsets.dtype) == (torch.float32, 2, np.dtype("int64"))
        and offsets.shape == (len(info.classes) + 1,)
        and (offsets[0], offsets[-1]) == (0, len(features))
        and bool((np.diff(offsets) > 0).all())
    )


def _check_suffix(path: Path) -> None:
    if path.suffix != SUFFIX:
        raise DataError(f"{path}: the name of a feature file ends in {SUFFIX}.")


def _check_blocks(info: FeatureInfo, blocks: Sequence[Tensor]) -> None:
    if not blocks:
        raise DataError(f"image set '{info.name}' has no class with an image.")
    wanted = blocks[0].shape[1]
    for name, block in zip(info.classes, blocks, strict=True):
        if len(block) == 0 or block.shape[1] != wanted:
            raise DataError(
                f"image set '{info.name}': the features of class '{name}' are {tuple(block.shape)}; needed are "
                f"{wanted} numbers of each image, and an image."
            )


def _file_header(info: FeatureInfo, offsets: Int[np.ndarray, " boundaries"], dim: int) -> bytes:
    text = json.dumps(
        {"schema_version": SCHEMA_VERSION, "metad2a_version": metad2a.__version__} | asdict(info),
        ensure_ascii=False,
    )
    images = int(offsets[-1])
    end = images * dim * 4
    content = {
        "__metadata__": {_HEADER: text},
        "features": {"dtype": "F32", "shape": [images, dim], "data_offsets": [0, end]},
        "offsets": {"dtype": "I64", "shape": [len(offsets)], "data_offsets": [end, end + offsets.nbytes]},
    }
    # safetensors' own writer wants all tensors in memory at once; its format is this header and the numbers.
    header = json.dumps(content, ensure_ascii=False).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    return struct.pack("<Q", len(header)) + header
