"""Down-sampled ImageNet as files of arrays: the batches of Chrabaszcz et al., and ``.npz`` with ``x`` and ``y``."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from metad2a.data.imagenet.names import NUM_CLASSES, ImageNetNames
from metad2a.data.imagenet.originals import BYTES_AT_ONCE, Block, Originals
from metad2a.data.npz_rows import NpzRows, npz_array, npz_names
from metad2a.data.restricted_pickle import read_arrays
from metad2a.data.sources import ArrayImages, resize, used_classes
from metad2a.errors import DataError

BATCH = re.compile(r"(train_data_batch_\d+|val_data)(\.npz)?")
_TRAIN_BATCHES = 10
_PUBLISHED = (
    "The published batches are dictionaries with 'data' (N, 3*S*S) uint8, red before green before blue, and "
    f"'labels' (N,) from 1 to {NUM_CLASSES}."
)


class Batches(Originals):
    """Down-sampled ImageNet (Chrabaszcz, Loshchilov and Hutter, 2017) in its published files.

    A pickled batch is in memory as a whole while it is read (400 MB of ImageNet32), of an ``.npz`` some rows.

    Args:
        paths: of the batches, in order.
        names: of the classes by label.

    Raises:
        DataError: a file is missing, damaged, refused, or no such batch.
    """

    layout = "down-sampled batches"

    def __init__(self, paths: Sequence[Path], names: ImageNetNames) -> None:
        self._paths = list(paths)
        labels, widths = [], []
        for path in self._paths:
            width, found = _labels(path)
            labels.append(found)
            widths.append(width)
        self._counts = [len(found) for found in labels]
        self.side = self._side = round((widths[0] / 3) ** 0.5)
        if any(width != 3 * self._side**2 for width in widths):
            raise DataError(f"{paths[0].parent}: the images have {widths} numbers. {_PUBLISHED}")
        used = np.unique(np.concatenate(labels))
        number = {label: names.of_label(label) for label in used.tolist()}
        self.classes = tuple(sorted(number.values()))
        place = np.full(NUM_CLASSES + 1, -1)
        place[used] = [self.classes.index(number[label]) for label in used.tolist()]
        self.labels = place[np.concatenate(labels)]
        self.identity = " ".join(f"{path.name}:{path.stat().st_size}" for path in self._paths)

    def read(self, wanted: Int[np.ndarray, " W"], size: int) -> Iterator[Block]:
        """See ``Originals.read``."""
        side, first = self._side, 0
        for path, count in zip(self._paths, self._counts, strict=True):
            inside = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, first + count)] - first
            first += count
            for rows in _rows(path, inside, BYTES_AT_ONCE // (3 * max(side, size) ** 2)):
                squares = rows.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
                yield Block(resize(np.ascontiguousarray(squares), size))


def open_batches(folder: Path, parts: tuple[str, ...], names: ImageNetNames) -> Batches:
    """Return the batches of some ``parts`` (``train``, ``val``) in ``folder``.

    Raises:
        DataError: one is missing; see ``Batches`` too.
    """
    wanted = {
        "train": [f"train_data_batch_{number}" for number in range(1, _TRAIN_BATCHES + 1)],
        "val": ["val_data"],
    }
    paths, missing = [], []
    for stem in [stem for part in parts for stem in wanted[part]]:
        found = [folder / f"{stem}{end}" for end in ("", ".npz") if (folder / f"{stem}{end}").is_file()]
        paths += found[:1]
        missing += [] if found else [stem]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)} (each a pickle without an ending, or .npz). It has "
            f"{', '.join(sorted(path.name for path in folder.iterdir() if BATCH.fullmatch(path.name)))}."
        )
    return Batches(paths, names)


def _labels(path: Path) -> tuple[int, Int[np.ndarray, " N"]]:
    """Return how many numbers an image of a batch has, and the labels."""
    if path.suffix == ".npz":
        missing = {"data", "labels"} - set(npz_names(path))
        if missing:
            raise DataError(f"{path} has no array '{min(missing)}'. {_PUBLISHED}")
        data: Any = NpzRows(path, "data")
        labels = npz_array(path, "labels")
    else:
        batch = _batch(path)
        data, labels = batch["data"], np.asarray(batch["labels"])
    if (
        data.dtype != np.uint8
        or len(data.shape) != 2
        or labels.shape != data.shape[:1]
        or labels.dtype.kind not in "iu"
    ):
        raise DataError(
            f"{path}: 'data' is {data.dtype} {data.shape}, 'labels' {labels.dtype} {labels.shape}. {_PUBLISHED}"
        )
    if len(labels) == 0 or labels.min() < 1 or labels.max() > NUM_CLASSES:
        raise DataError(f"{path} has {len(labels)} labels, not all from 1 to {NUM_CLASSES}. {_PUBLISHED}")
    return data.shape[1], labels.astype(np.int64)


def _rows(path: Path, wanted: Int[np.ndarray, " W"], at_once: int) -> Iterator[np.ndarray]:
    if len(wanted) == 0:
        return
    if path.suffix == ".npz":
        yield from NpzRows(path, "data").read(wanted, max(1, at_once))
        return
    data = _batch(path)["data"]
    for start in range(0, len(wanted), max(1, at_once)):
        yield data[wanted[start : start + max(1, at_once)]]


def _batch(path: Path) -> dict[str, Any]:
    content = read_arrays(path)
    if not isinstance(content, dict) or not isinstance(content.get("data"), np.ndarray) or "labels" not in content:
        raise DataError(f"{path} is no batch of down-sampled ImageNet. {_PUBLISHED}")
    return content


class NpzImages(Originals):
    """An ``.npz`` with ``x`` (N,H,W[,C]) uint8, ``y`` (N,) and, if there are names, ``classes``.

    Args:
        path: of the file.

    Raises:
        DataError: it is missing or damaged, or its arrays cannot be used.
    """

    layout = "npz"

    def __init__(self, path: Path) -> None:
        self._path = path
        names = npz_names(path)
        missing = [name for name in ("x", "y") if name not in names]
        if missing:
            raise DataError(f"{path} has no array '{missing[0]}' (it has: {', '.join(names) or 'nothing'}).")
        self._x = NpzRows(path, "x")
        classes = npz_array(path, "classes").ravel().tolist() if "classes" in names else None
        self.labels, self.classes = used_classes(
            npz_array(path, "y"), self._x.shape[0], classes and [str(name) for name in classes], name=path.stem
        )
        self.side = min(self._x.shape[1:3])
        self.identity = f"{path.name}:{path.stat().st_size}"

    def read(self, wanted: Int[np.ndarray, " W"], size: int) -> Iterator[Block]:
        """See ``Originals.read``."""
        row = max(int(np.prod(self._x.shape[1:])), 3 * size * size)
        for x in self._x.read(wanted, max(1, BYTES_AT_ONCE // row)):
            yield Block(ArrayImages(x, name=self._path.stem).load(np.arange(len(x)), size))
