"""Labelled images, whatever they are stored in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from metad2a.data.csv_list import read_list
from metad2a.data.encoded import FileImages
from metad2a.data.folder import scan
from metad2a.data.npz_file import read_npz
from metad2a.data.options import absolute, with_options
from metad2a.data.prepared import Prepared
from metad2a.data.sources import ArrayImages, ImageFacts, ImageSource, used_classes
from metad2a.errors import DataError, unknown_name
from metad2a.runtime import numpy_rng

EMBEDDED = ("digits", "glyphs")
"""Images that need no file."""

Indices = Sequence[int] | Int[np.ndarray, " I"]


class ImageSet:
    """Images with class labels; pixels are read only when they are asked for.

    Usually made by ``open`` or one of the ``from_`` constructors. Sets made from it (``take``, ``split``,
    ``keep_classes``) share its images.

    Args:
        images: where the pixels are.
        labels: class number of each image, in ``0..len(classes)-1``.
        classes: names, each once.
        name: of the set, for people.
        source: what ``open`` must be given to get the whole set again; None for images that are only in memory.
        rows: position in ``images`` of each image of the set; all of them, in order, when not given.

    Raises:
        DataError: two classes have the same name.
    """

    def __init__(
        self,
        images: ImageSource,
        labels: Int[np.ndarray, " I"],
        classes: Sequence[str],
        *,
        name: str,
        source: str | None = None,
        rows: Int[np.ndarray, " I"] | None = None,
    ) -> None:
        self.name = name
        self.source = source
        self.classes = tuple(classes)
        self.labels = labels.astype(np.int64)
        self._images = images
        self._rows = np.arange(len(images)) if rows is None else rows
        if len(set(self.classes)) < len(self.classes):
            twice = next(c for c in self.classes if self.classes.count(c) > 1)
            raise DataError(f"image set '{name}': two classes are called '{twice}'. Rename or merge them.")

    # --- constructors -----------------------------------------------------------------------------------------

    @classmethod
    def open(cls, spec: str) -> "ImageSet":
        """Return the images that ``spec`` names.

        Args:
            spec: a folder, prepared or not, ``file.npz``, ``list.csv``, ``torchvision:NAME``, ``hf:NAME`` or
                ``embedded:NAME``; ``docs/how-to/use-your-images.md`` has their options.

        Raises:
            DataError: there are none, or they cannot be used.
            UnknownNameError: there are no images of this name, or there is no such option.
        """
        from metad2a.data.forms import open_images

        return open_images(spec)

    @classmethod
    def from_folder(cls, path: str | Path) -> "ImageSet":
        """Return the images of a folder with one sub-folder per class.

        Images are found at any depth below their class folder and opened when asked for. EXIF orientation is
        applied, transparent parts become white, gray, palette, CMYK and 16-bit images become RGB. Hidden files
        are ignored; any other file that is no image is an error.

        Raises:
            DataError: the folder is missing, empty, has fewer than two classes or a file that is no image.
        """
        folder = Path(path).absolute()  # the files are opened later, perhaps from another working folder
        found = scan(folder)
        return cls(FileImages(found.paths), found.labels, found.classes, name=folder.name, source=str(folder))

    @classmethod
    def from_prepared(cls, path: str | Path) -> "ImageSet":
        """Return the images of a folder that ``metad2a data prepare`` made; they are read when asked for.

        Raises:
            DataError: the folder holds no prepared images, or they are damaged.
        """
        prepared = Prepared.open(path)
        name = prepared.folder.name
        images = ArrayImages(prepared.images, name=name)
        return cls(images, prepared.labels, prepared.classes, name=name, source=str(prepared.folder))

    @classmethod
    def from_npz(cls, path: str | Path) -> "ImageSet":
        """Return the images of an ``.npz`` file: ``x`` (N,H,W[,C]) uint8, ``y`` (N,), optionally ``classes``.

        Raises:
            DataError: the file is missing or broken, or its arrays cannot be used.
        """
        path = Path(path)
        arrays = read_npz(path)
        names = arrays["classes"].tolist() if "classes" in arrays else None
        source = str(path.absolute())
        return cls.from_arrays(arrays["x"], arrays["y"], classes=names, name=path.stem, source=source)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        path_column: str | None = None,
        label_column: str | None = None,
        root: str | Path | None = None,
        suffix: str = "",
    ) -> "ImageSet":
        """Return the images of a file that lists paths and labels; they are opened when asked for.

        Args:
            path: the file; its first line names its columns.
            path_column: of the paths; one with a usual name when not given.
            label_column: of the labels; one with a usual name when not given.
            root: folder that paths start from; that of the list when not given.
            suffix: stands behind every path, as ``.jpg`` where names have no end.

        Raises:
            DataError: the list cannot be read, lacks a column, a path or a label, or a file is not there.
        """
        path = Path(path).expanduser().absolute()
        root = absolute(str(root)) if root else ""
        found = read_list(path, path_column=path_column, label_column=label_column, root=root, suffix=suffix)
        said = {"path": path_column, "label": label_column, "root": root, "suffix": suffix}
        source = with_options(str(path), {key: value for key, value in said.items() if value})
        return cls(FileImages(found.paths), found.labels, found.classes, name=path.stem, source=source)

    @classmethod
    def from_torchvision(cls, dataset: Any, *, name: str = "", source: str | None = None) -> "ImageSet":
        """Return the images of a data set of ``torchvision.datasets``, made without a transform.

        Files are opened when asked for; what torchvision keeps in memory stays there.

        Args:
            dataset: its items are an image and a class number.
            name: of the set; that of the data set's class when not given.
            source: what ``open`` must be given to get the set again, if that is possible.

        Raises:
            DataError: its items are something else, or it has fewer than two classes.
        """
        from metad2a.data.torchvision_sets import images_of

        return images_of(dataset, name=name, source=source)

    @classmethod
    def from_huggingface(
        cls,
        dataset: Any,
        *,
        image: str | None = None,
        label: str | None = None,
        name: str = "",
        source: str | None = None,
    ) -> "ImageSet":
        """Return the images of a ``datasets.Dataset``; they are read when asked for.

        Args:
            dataset: one split, not streamed.
            image: its column of images; the only one when not given.
            label: its column of labels; the only one when not given.
            name: of the set; that of the data set when not given.
            source: what ``open`` must be given to get the set again, if that is possible.

        Raises:
            DataError: it has no such columns, or several; or fewer than two classes.
        """
        from metad2a.data.huggingface_sets import images_of

        return images_of(dataset, image=image, label=label, name=name, source=source)

    @classmethod
    def from_arrays(
        cls,
        x: np.ndarray | Sequence[Any],
        y: np.ndarray | Sequence[int],
        *,
        classes: Sequence[str] | None = None,
        name: str = "arrays",
        source: str | None = None,
    ) -> "ImageSet":
        """Return images that are in memory.

        Args:
            x: (N,H,W) gray or (N,H,W,C), C = 1 (gray), 3 (RGB) or 4 (RGB and alpha); uint8.
            y: class numbers of the images, integers from 0; those that no image has are left out.
            classes: names of the classes; the numbers when not given.
            name: of the set.
            source: what ``open`` must be given to get the set again, if that is possible.

        Raises:
            DataError: wrong type, shape, length or values.
        """
        images = ArrayImages(np.asarray(x), name=name)
        labels, names = used_classes(np.asarray(y), len(images), classes, name=name)
        return cls(images, labels, names, name=name, source=source)

    @classmethod
    def embedded(cls, name: str) -> "ImageSet":
        """Return images that need no file: ``digits``, or ``glyphs`` (with options: ``glyphs?seed=1``).

        Raises:
            UnknownNameError: there are no such images.
            DataError: an option is wrong.
        """
        from metad2a.data.digits import digits
        from metad2a.data.glyphs import glyphs_from_query

        base, _, query = name.partition("?")
        if base not in EMBEDDED or (query and base == "digits"):
            raise unknown_name("embedded image set", name, EMBEDDED)
        return digits() if base == "digits" else glyphs_from_query(query)

    # --- what is in it ----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"ImageSet('{self.name}', {len(self)} images, {self.num_classes} classes)"

    @property
    def num_classes(self) -> int:
        """The number of classes, those without an image included (``take`` can leave some)."""
        return len(self.classes)

    @property
    def counts(self) -> Int[np.ndarray, " C"]:
        """The number of images of each class."""
        return np.bincount(self.labels, minlength=self.num_classes)

    def load(self, indices: Indices, size: int) -> UInt8[np.ndarray, "I {size} {size} 3"]:
        """Return images as RGB squares of ``size`` pixels a side, uint8.

        An image that is not square gives its central square: its shorter side becomes ``size``, and what the
        longer side has more is cut off equally at both ends. Resizing is bicubic and antialiased.

        Raises:
            DataError: an image cannot be read.
        """
        return self._images.load(self._at(indices), size)

    def content_keys(self, indices: Indices) -> list[str]:
        """Return a text for each image that depends on its content alone, not on its name or place.

        Raises:
            DataError: an image cannot be read.
        """
        return self._images.content_keys(self._at(indices))

    def facts(self, indices: Indices) -> list[ImageFacts]:
        """Return what images are before anything is done to them; those that cannot be read say why."""
        return self._images.facts(self._at(indices))

    def where(self, index: int) -> str:
        """Return what to call an image in a message: its path, or its number."""
        return self._images.where(int(self._rows[index]))

    def _at(self, indices: Indices) -> Int[np.ndarray, " I"]:
        return self._rows[np.asarray(indices, dtype=np.int64)]

    # --- parts of it ------------------------------------------------------------------------------------------

    def take(self, indices: Indices) -> "ImageSet":
        """Return the set of the images at ``indices``; the classes stay, even those left without an image."""
        return self._part(indices, self.labels[np.asarray(indices, dtype=np.int64)], self.classes)

    def keep_classes(self, numbers: Sequence[int] | Int[np.ndarray, " C"]) -> "ImageSet":
        """Return the set of the images of some classes, which are numbered anew in the order given.

        Raises:
            DataError: a number is no class, or is given twice.
        """
        kept = np.asarray(numbers, dtype=np.int64)
        unknown = kept[(kept < 0) | (kept >= self.num_classes)]
        if len(unknown):
            raise DataError(f"image set '{self.name}' has classes 0..{self.num_classes - 1}, not {unknown[0]}.")
        renumbered = np.full(self.num_classes, -1)
        renumbered[kept] = np.arange(len(kept))
        indices = np.flatnonzero(renumbered[self.labels] >= 0)
        return self._part(indices, renumbered[self.labels[indices]], [self.classes[n] for n in kept])

    def split(self, fraction: float, seed: int) -> tuple["ImageSet", "ImageSet"]:
        """Return two sets that share no image: about ``fraction`` of every class, and the rest.

        Every class has an image in both.

        Raises:
            DataError: ``fraction`` is not between 0 and 1, or a class has fewer than two images.
        """
        if not 0 < fraction < 1:
            raise DataError(f"cannot split image set '{self.name}' at {fraction}: give a number between 0 and 1.")
        if self.counts.min() < 2:
            lonely = self.classes[int(self.counts.argmin())]
            raise DataError(
                f"cannot split image set '{self.name}': class '{lonely}' has fewer than two images. "
                "Add images or leave the class out."
            )
        first = np.clip(np.rint(self.counts * fraction), 1, self.counts - 1)
        ranks = rank_within_class(self.labels, numpy_rng("split-images", seed))
        in_first = ranks < first[self.labels]
        return self.take(np.flatnonzero(in_first)), self.take(np.flatnonzero(~in_first))

    def _part(self, indices: Indices, labels: Int[np.ndarray, " I"], classes: Sequence[str]) -> "ImageSet":
        rows = self._at(indices)
        return ImageSet(self._images, labels, classes, name=self.name, source=self.source, rows=rows)


def rank_within_class(labels: Int[np.ndarray, " I"], rng: np.random.Generator) -> Int[np.ndarray, " I"]:
    """Return the place (from 0) of each image in a random order of its class."""
    order = np.lexsort((rng.random(len(labels)), labels))
    ordered = labels[order]
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return ranks
