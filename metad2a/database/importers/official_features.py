"""Importer of the features that Lee, Hyung and Hwang (ICLR 2021) made of images with ResNet-18."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metad2a.data.embedders.resnet18 import DIM, OFFICIAL_FINGERPRINT
from metad2a.data.feature_file import FeatureInfo, write_features
from metad2a.data.features import FeatureSet
from metad2a.data.imagenet.names import NUM_CLASSES, ImageNetNames
from metad2a.database.importers.provenance import file_facts, sidecar
from metad2a.database.importers.safe_pickle import read_restricted
from metad2a.database.records import versions
from metad2a.errors import DatabaseError
from metad2a.runtime import check_writable, write_json

IMAGENET32 = ("imgnet32bylabel.pt", "imagenet32bylabel.pt")
"""Names of the file whose classes are ImageNet32's: that of the authors, and that which their script writes."""

_LICENCE = "The file states none. The images behind it have terms of their own; ImageNet's are for research only."

_log = logging.getLogger(__name__)


def import_features(path: str | Path, out: str | Path, *, wnids: str | Path | None = None) -> FeatureSet:
    """Convert a ``...bylabel.pt`` file, class by class, to a feature file, and say beside it where it comes from.

    The classes are called by their numbers from 0; those of ImageNet32 by their WordNet ids or, when no file with
    them is given or lies beside the features, ``label 1`` to ``label 1000``, as in the imported databases.

    Args:
        path: a dictionary or list ``{class: [tensor (images, 512)]}``.
        out: ends in ``.safetensors``.
        wnids: ``imagenet32_label_to_wnid.json``; says that the classes are ImageNet32's, whatever the file's name.

    Raises:
        DatabaseError: a file is missing, damaged, refused, or holds something else.
        DataError: ``out`` has another ending, or a feature is not finite.
        OutputError: ``out`` cannot be written.
    """
    path = Path(path)
    check_writable(out)
    is_imagenet = wnids is not None or path.name in IMAGENET32
    names = ImageNetNames.read(wnids) if wnids is not None else ImageNetNames.beside(path.parent)
    blocks = _blocks(path, read_restricted(path, mapped=True))
    if is_imagenet and not set(blocks) <= set(range(NUM_CLASSES)):
        raise DatabaseError(f"{path} holds other classes than ImageNet32's 0 to {NUM_CLASSES - 1}.")
    # The features of label 1 are number 0.
    classes = tuple(names.of_label(number + 1) if is_imagenet else str(number) for number in blocks)
    info = FeatureInfo(path.stem.removesuffix("bylabel"), classes, OFFICIAL_FINGERPRINT)
    write_features(out, info, list(blocks.values()))
    write_json(
        sidecar(out),
        {
            "origin": "Features made by the authors of MetaD2A (Lee, Hyung and Hwang, ICLR 2021)",
            "licence": _LICENCE,
            "read": [file_facts(path)],
            "command": f"metad2a import features {path.name} OUT",
            "versions": versions(),
        },
    )
    return FeatureSet.load(out)


def _blocks(path: Path, content: Any) -> dict[int, Tensor]:
    """Return the features by class number, ascending; classes without images are left out."""
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict) or not content or not all(type(number) is int for number in content):
        raise DatabaseError(
            f"{path} holds no features by class: it must be a list or a dictionary "
            f"{{class: [tensor (images, {DIM})]}}."
        )
    blocks = {number: _block(path, number, content[number]) for number in sorted(content)}
    filled = {number: block for number, block in blocks.items() if len(block)}
    if not filled:
        raise DatabaseError(f"{path} holds no class with an image.")
    if empty := len(blocks) - len(filled):
        _log.warning("%s: %d of %d classes have no image and are left out", path, empty, len(blocks))
    return filled


def _block(path: Path, number: int, value: Any) -> Tensor:
    if isinstance(value, list) and not value:  # the authors' script saves before it has come to every class
        return torch.empty(0, DIM)
    block = value[0] if isinstance(value, list) and len(value) == 1 else None
    if isinstance(block, Tensor) and block.shape == (DIM,):  # of one image the same script drops the axis
        block = block[None]
    if not isinstance(block, Tensor) or block.ndim != 2 or block.shape[1] != DIM or not block.is_floating_point():
        found = f"a tensor {tuple(block.shape)} of {block.dtype}" if isinstance(block, Tensor) else "no such list"
        raise DatabaseError(
            f"{path}: class {number} is {found}; needed is a list with one tensor (images, {DIM}) of floats."
        )
    return block
