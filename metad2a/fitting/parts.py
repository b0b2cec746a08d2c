"""The three parts of a data set: images to learn from, to choose by, and to measure on."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from metad2a.data.image_set import ImageSet, rank_within_class
from metad2a.errors import DataError
from metad2a.fitting.network import LabelledImages
from metad2a.runtime import numpy_rng

VALID_FRACTION, TEST_FRACTION = 0.15, 0.2
_NAMED_AT_MOST = 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """Image sets of the same classes that share no image.

    Attributes:
        train: to learn from; every class has an image in it.
        valid: to choose by: epochs, candidates.
        test: to measure what was chosen; nothing may depend on it.
    """

    train: ImageSet
    valid: ImageSet
    test: ImageSet

    def load(self, resolution: int) -> "LoadedParts":
        """Load all images at ``resolution`` pixels a side.

        Raises:
            DataError: one cannot be read.
        """
        return LoadedParts(
            train=LabelledImages.of(self.train, resolution),
            valid=LabelledImages.of(self.valid, resolution),
            test=LabelledImages.of(self.test, resolution),
            classes=self.train.classes,
            name=self.train.name,
        )


@dataclass(frozen=True)
class LoadedParts:
    """The same in memory, as a recipe wants it."""

    train: LabelledImages
    valid: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    name: str

    def tell_leaks(self) -> int:
        """Return how many test images are training images too, pixel for pixel, and warn of them."""
        known = set(_digests(self.train))
        shared = sum(digest in known for digest in _digests(self.test))
        if shared:
            _log.warning(
                "%s: %d of %d test images are among the training images, pixel for pixel: the test accuracy is "
                "too good. Remove duplicates from the data set.",
                self.name,
                shared,
                len(self.test),
            )
        return shared


def split_parts(
    images: ImageSet,
    *,
    test: ImageSet | None = None,
    valid_fraction: float = VALID_FRACTION,
    test_fraction: float = TEST_FRACTION,
    seed: int = 0,
) -> Parts:
    """Divide ``images`` by class, at random.

    Every class has an image to learn from. One of two images is the other for the test, one of three has one in
    each part; which classes lack one in a part is logged.

    Args:
        images: with labels.
        test: a test set of its own, of the same classes; then ``images`` are divided into two parts only.
        valid_fraction: of every class, to choose by.
        test_fraction: of every class, to measure on; means nothing where ``test`` is given.
        seed: of the division, and of nothing else: trainings with several seeds see the same parts.

    Raises:
        DataError: a fraction cannot be used, a class has no image, the classes of ``test`` are others, or a part
            would be empty.
    """
    share = 0.0 if test is not None else test_fraction
    _check(images, test, valid_fraction, share)
    counts = images.counts
    to_test = _share(counts, share, counts) if share else np.zeros_like(counts)
    to_valid = _share(counts, valid_fraction, counts - to_test)
    ranks = rank_within_class(images.labels, numpy_rng("fit-parts", seed))
    limits = to_test[images.labels], (to_test + to_valid)[images.labels]
    part = (ranks >= limits[0]).astype(int) + (ranks >= limits[1])
    tested, valid, train = (images.take(np.flatnonzero(part == number)) for number in range(3))
    parts = Parts(train, valid, test if test is not None else tested)
    _check_filled(parts)
    return parts


def _share(counts: Int[np.ndarray, " C"], fraction: float, left: Int[np.ndarray, " C"]) -> Int[np.ndarray, " C"]:
    """Return how many of ``counts`` a part gets: at least one of the ``left``, of which one stays."""
    return np.clip(np.rint(counts * fraction), np.minimum(1, left - 1), left - 1).astype(np.int64)


def _check(images: ImageSet, test: ImageSet | None, valid_fraction: float, test_fraction: float) -> None:
    if not 0 < valid_fraction < 1 or (test is None and not 0 < test_fraction < 1):
        raise DataError(
            f"cannot divide image set '{images.name}': valid_fraction={valid_fraction} and "
            f"test_fraction={test_fraction} must be between 0 and 1."
        )
    if valid_fraction + test_fraction >= 1:
        raise DataError(
            f"cannot divide image set '{images.name}': valid_fraction={valid_fraction} and "
            f"test_fraction={test_fraction} leave nothing to learn from. Their sum must be below 1."
        )
    if images.num_classes < 2 or images.counts.min() == 0:
        empty = next((name for name, n in zip(images.classes, images.counts, strict=True) if not n), None)
        problem = "has fewer than two classes" if empty is None else f"has no image of class '{empty}'"
        raise DataError(f"image set '{images.name}' {problem}: there is nothing to learn.")
    if test is not None and test.classes != images.classes:
        raise DataError(
            f"the test images '{test.name}' have {test.num_classes} classes, the training images "
            f"'{images.name}' {images.num_classes}, or of other names. Both need the same ones."
        )


def _check_filled(parts: Parts) -> None:
    for name, part in (("validation", parts.valid), ("test", parts.test)):
        lacking = [part.classes[number] for number in np.flatnonzero(part.counts == 0)]
        if not len(part):
            raise DataError(
                f"image set '{parts.train.name}' has too few images: none is left for the {name}. At least one "
                "class needs three images, or two where the test images are a set of their own (test=DATASET)."
            )
        if lacking:
            _log.warning("no %s image of %s: too few images.", name, ", ".join(_shortened(lacking)))


def _shortened(names: list[str]) -> Iterator[str]:
    yield from (f"'{name}'" for name in names[:_NAMED_AT_MOST])
    if len(names) > _NAMED_AT_MOST:
        yield f"{len(names) - _NAMED_AT_MOST} more classes"


def _digests(part: LabelledImages) -> Iterator[bytes]:
    for image in part.images.contiguous().numpy():
        yield hashlib.blake2b(image.tobytes(), digest_size=12).digest()
