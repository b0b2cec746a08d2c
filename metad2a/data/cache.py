"""Embedding image sets, and remembering the features of every image ever embedded on this machine."""

import hashlib
import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32, Int, UInt8

from metad2a.data.embedders.base import Embedder
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet, Indices, rank_within_class
from metad2a.data.sources import SQUARE_VERSION
from metad2a.errors import DataError
from metad2a.runtime import cache_dir, numpy_rng, progress

T = TypeVar("T")
Features = Mapping[str, Float32[np.ndarray, " F"]]

BATCH = 64
KEYS_A_QUERY = 400  # twice that is below the number of variables that any SQLite takes
_KNOWN = (
    "SELECT key, data FROM features WHERE key IN ({marks}) UNION ALL "
    "SELECT same.key, data FROM same JOIN features ON features.key = same.other WHERE same.key IN ({marks})"
)
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def choose_images(image_set: ImageSet, images_per_class: int, seed: int) -> Int[np.ndarray, " I"]:
    """Return the positions of up to ``images_per_class`` random images of every class, ascending.

    Raises:
        DataError: ``images_per_class`` is below 1.
    """
    if images_per_class < 1:
        raise DataError(f"cannot choose {images_per_class} images a class: give 1 or more.")
    ranks = rank_within_class(image_set.labels, numpy_rng("choose-images", seed))
    return np.flatnonzero(ranks < images_per_class)


def embed(
    image_set: ImageSet,
    embedder: Embedder,
    *,
    indices: Indices | None = None,
    cache: "FeatureCache | None",
    label: str = "",
) -> FeatureSet:
    """Return the features of images, computing only what no earlier call has computed.

    Images are known by what is stored of them, wherever that is, else by the pixels that the embedder would see: a
    copy in another file format, or as an array, is not embedded again.

    Args:
        image_set: the images.
        embedder: makes the features.
        indices: of the images wanted, all when not given; every class must have one.
        cache: remembers features by image content; None computes everything (equal images still once).
        label: of the progress bar.

    Raises:
        DataError: an image cannot be read, or a class has no image.
    """
    wanted = np.arange(len(image_set)) if indices is None else np.asarray(indices, dtype=np.int64)
    keys = [_key(embedder, content) for content in image_set.content_keys(wanted)]
    known = cache.get(keys, dim=embedder.dim) if cache else {}
    seen: dict[str, Float32[np.ndarray, " F"]] = {}
    # One image for each key that is new: copies of an image are embedded once.
    new = {key: index for key, index in zip(keys, wanted.tolist(), strict=True) if key not in known}
    todo = list(new)
    starts = range(0, len(todo), BATCH)
    for start in progress(starts, label=label or f"embedding {image_set.name}", total=len(starts)):
        batch = todo[start : start + BATCH]
        images = image_set.load([new[key] for key in batch], embedder.resolution)
        known.update(zip(batch, _embed_squares(images, batch, embedder, cache, seen), strict=True))
    features = np.stack([known[key] for key in keys]) if keys else np.empty((0, embedder.dim), np.float32)
    return FeatureSet(
        torch.from_numpy(features),
        image_set.labels[wanted],
        image_set.classes,
        embedder=embedder.fingerprint,
        name=image_set.name,
    )


def _embed_squares(
    images: UInt8[np.ndarray, "I S S 3"],
    keys: Sequence[str],
    embedder: Embedder,
    cache: "FeatureCache | None",
    seen: dict[str, Float32[np.ndarray, " F"]],
) -> list[Float32[np.ndarray, " F"]]:
    """Return the features of images as the embedder sees them, and remember them.

    Args:
        images: squares of the embedder's resolution.
        keys: of what is stored of each image.
        embedder: makes the features.
        cache: remembers them by ``keys``, too.
        seen: features by pixels; gets those that are new.
    """
    pixels = [_key(embedder, hashlib.blake2b(image.data, digest_size=16).hexdigest()) for image in images]
    if cache:
        seen.update(cache.get([key for key in pixels if key not in seen], dim=embedder.dim))
    first = {key: row for row, key in reversed([*enumerate(pixels)]) if key not in seen}
    fresh = dict(zip(first, embedder.embed(images[[*first.values()]]).numpy(), strict=True)) if first else {}
    seen.update(fresh)
    if cache:
        cache.put(fresh, same=dict(zip(keys, pixels, strict=True)))
    return [seen[key] for key in pixels]


def _key(embedder: Embedder, content: str) -> str:
    text = "\x1f".join((embedder.fingerprint, SQUARE_VERSION, content))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class FeatureCache:
    """Features by key in one SQLite file that several processes may use at once.

    A cache is never worth a failure: a damaged file is moved aside and begun anew, and where nothing can be
    stored it does nothing. Both are told by one warning. Deleting the folder is always safe.

    Args:
        folder: where the file is; ``features`` in the cache folder (``METAD2A_CACHE``) when not given.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.path = Path(folder if folder is not None else cache_dir() / "features") / "features.sqlite"
        self._usable = True

    def get(self, keys: Sequence[str], *, dim: int) -> dict[str, Float32[np.ndarray, " F"]]:
        """Return the features of those ``keys`` that are known, ``dim`` numbers each."""
        if not keys:
            return {}
        distinct = list(dict.fromkeys(keys))

        def read(db: sqlite3.Connection) -> dict[str, Float32[np.ndarray, " F"]]:
            found = {}
            for start in range(0, len(distinct), KEYS_A_QUERY):
                some = distinct[start : start + KEYS_A_QUERY]
                marks = ",".join("?" * len(some))
                rows = db.execute(_KNOWN.format(marks=marks), some * 2)
                found.update({key: np.frombuffer(data, "<f4") for key, data in rows if len(data) == 4 * dim})
            return found

        return self._safely(read, otherwise={})

    def put(self, features: Features, *, same: Mapping[str, str] | None = None) -> None:
        """Store features under their keys.

        Args:
            features: by key.
            same: other keys, each with the one whose features are the same.
        """
        rows = [(key, value.astype("<f4").tobytes()) for key, value in features.items()]

        def write(db: sqlite3.Connection) -> None:
            with db:
                db.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)
                db.executemany("INSERT OR REPLACE INTO same VALUES (?, ?)", (same or {}).items())

        self._safely(write, otherwise=None)

    def _safely(self, action: Callable[[sqlite3.Connection], T], *, otherwise: T) -> T:
        if not self._usable:
            return otherwise
        try:
            try:
                return self._with_file(action)
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF not in DAMAGED:
                    raise
                self._move_aside(error)
                return self._with_file(action)
        except (OSError, sqlite3.Error) as error:
            self._usable = False
            warnings.warn(
                f"features are not cached: {self.path} cannot be used ({error}). Everything works, but images "
                "are embedded again each time. Set METAD2A_CACHE to a folder that can be written.",
                stacklevel=4,
            )
            return otherwise

    def _with_file(self, action: Callable[[sqlite3.Connection], T]) -> T:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A connection a call: nothing to close, and threads and forked processes share none. The rollback
        # journal rather than WAL, because home folders of clusters are network file systems.
        with closing(sqlite3.connect(self.path, timeout=60)) as db:
            for table in ("features (key TEXT PRIMARY KEY, data BLOB)", "same (key TEXT PRIMARY KEY, other TEXT)"):
                db.execute(f"CREATE TABLE IF NOT EXISTS {table} WITHOUT ROWID")
            return action(db)

    def _move_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = self.path.with_suffix(".damaged")
        self.path.replace(aside)
        self.path.with_name(self.path.name + "-journal").unlink(missing_ok=True)
        warnings.warn(
            f"the feature cache {self.path} is damaged ({error}). It was moved to {aside.name} and begun anew; "
            "images are embedded again.",
            stacklevel=5,
        )
