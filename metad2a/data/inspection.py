"""What is in a data set, and what will be done about it, before anything is computed."""

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from metad2a.data.csv_list import read_list
from metad2a.data.encoded import FileImages
from metad2a.data.findings import EXAMPLES, FEW, LARGE, LONG, SMALL, UNEVEN, Finding, Tally, finding
from metad2a.data.folder import survey
from metad2a.data.forms import csv_of, open_images
from metad2a.data.image_set import ImageSet
from metad2a.data.prepared import is_prepared
from metad2a.data.sources import ImageFacts
from metad2a.runtime import progress

SCHEMA_VERSION = 1
AT_ONCE = 1024  # images that are looked at between two steps of the progress bar


@dataclass(frozen=True)
class Sizes:
    """How large the images are, in pixels.

    Attributes:
        width: smallest, median and largest.
        height: smallest, median and largest.
        distinct: pairs of width and height that occur.
        commonest: the one that most images have.
        share: of the images that have it.
    """

    width: tuple[int, int, int]
    height: tuple[int, int, int]
    distinct: int
    commonest: tuple[int, int]
    share: float


@dataclass(frozen=True)
class Inspection:
    """What is in a data set.

    Attributes:
        name: of the data set.
        source: what ``ImageSet.open`` takes to get it; None for images that are only in memory.
        images: number of images, the unreadable ones included.
        counts: images of each class that can be read, in the order of the classes.
        sizes: None when no image can be read.
        modes: number of images of each mode (Pillow's names).
        formats: number of images of each file format; empty for what is in no files.
        findings: what is worth knowing, the worst first.
        seconds: that looking took.
    """

    name: str
    source: str | None
    images: int
    counts: Mapping[str, int]
    sizes: Sizes | None
    modes: Mapping[str, int]
    formats: Mapping[str, int]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def usable(self) -> bool:
        """Whether a search can begin: nothing stops it from opening the set, and two classes can be read."""
        return not any(found.level == "refused" for found in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {"schema_version": SCHEMA_VERSION, "usable": self.usable} | asdict(self)


def inspect(images: str | Path | ImageSet) -> Inspection:
    """Look at every image of a data set and say what is there.

    Each is read, hashed and decoded once, in threads, and forgotten; one that cannot be read stops nothing.

    Args:
        images: the data set, or what ``ImageSet.open`` takes.

    Raises:
        DataError: there is no such data set, or it has no classes at all.
        UnknownNameError: there are no images of this name, or there is no such option.
    """
    opened, findings = (images, []) if isinstance(images, ImageSet) else _open(str(images))
    start = time.perf_counter()
    seen = _look(opened)
    counts = np.bincount(opened.labels[seen.readable], minlength=opened.num_classes)
    findings += [*seen.findings(), *_duplicates(opened, seen), *_classes(opened, counts)]
    return Inspection(
        name=opened.name,
        source=opened.source,
        images=len(opened),
        counts=dict(zip(opened.classes, counts.tolist(), strict=True)),
        sizes=_sizes(seen.sizes[seen.readable]),
        modes=dict(seen.modes.most_common()),
        formats=dict(seen.formats.most_common()),
        findings=tuple(sorted(findings, key=lambda found: found.rank)),
        seconds=time.perf_counter() - start,
    )


def _open(spec: str) -> tuple[ImageSet, list[Finding]]:
    """Return the images, and what would stop ``ImageSet.open``."""
    listed = csv_of(spec)
    if listed:
        path = listed[0].absolute()
        files = read_list(path, complete=False, **listed[1])
        found = ImageSet(FileImages(files.paths), files.labels, files.classes, name=path.stem, source=spec)
        return found, finding("missing", files.missing)
    folder = Path(spec).expanduser().absolute()
    if not folder.is_dir() or is_prepared(folder):
        return open_images(spec), []
    inside = survey(folder)
    images = ImageSet(FileImages(inside.paths), inside.labels, inside.classes, name=folder.name, source=str(folder))
    return images, [
        *finding("empty", inside.empty),
        *finding("strangers", inside.strangers),
        *finding("loose", inside.loose),
        *finding("ignored", inside.ignored),
    ]


# --- looking at every image -----------------------------------------------------------------------------------


class _Seen:
    """What was seen of each image, in arrays: a data set may have millions."""

    def __init__(self, total: int) -> None:
        self.sizes = np.zeros((total, 2), np.int32)
        self.keys = np.zeros(total, "V16")
        self.readable = np.zeros(total, bool)
        self.modes: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self._tallies: dict[str, Tally] = {}

    def add(self, position: int, facts: ImageFacts, where: str) -> None:
        """Count one image."""
        if facts.problem:
            self._tally("unreadable", f"{where}: {facts.problem}")
            return
        self.readable[position] = True
        self.sizes[position] = facts.width, facts.height
        self.keys[position] = hashlib.blake2b(facts.key.encode(), digest_size=16).digest()
        self.modes[facts.mode] += 1
        if facts.format:
            self.formats[facts.format] += 1
        for kind in _peculiarities(facts):
            self._tally(kind, where)

    def _tally(self, kind: str, example: str) -> None:
        self._tallies.setdefault(kind, Tally()).add(example)

    def findings(self) -> list[Finding]:
        """Return what was found in single images."""
        return [found for kind, tally in self._tallies.items() for found in finding(kind, tally)]


def _look(images: ImageSet) -> _Seen:
    seen = _Seen(len(images))
    starts = range(0, len(images), AT_ONCE)
    for start in progress(starts, label=f"looking at {images.name}", total=len(starts)):
        indices = range(start, min(start + AT_ONCE, len(images)))
        for index, facts in zip(indices, images.facts(indices), strict=True):
            seen.add(index, facts, images.where(index))
    return seen


def _peculiarities(facts: ImageFacts) -> list[str]:
    longer, shorter = max(facts.width, facts.height), min(facts.width, facts.height)
    said = {
        "gray": facts.mode in ("1", "L", "LA", "La"),
        "palette": facts.mode in ("P", "PA"),
        "transparent": facts.transparent,
        "cmyk": facts.mode == "CMYK",
        "colours": facts.mode in ("YCbCr", "LAB", "HSV"),
        "sixteen bits": facts.mode.startswith("I"),
        "turned": facts.turned,
        "animated": facts.animated,
        "misnamed": facts.misnamed,
        "long": longer > LONG * shorter,
        "small": shorter < SMALL,
        "large": facts.width * facts.height > LARGE,
    }
    return [kind for kind, is_so in said.items() if is_so]


# --- what only the whole set shows ----------------------------------------------------------------------------


def _sizes(sizes: Int[np.ndarray, "I 2"]) -> Sizes | None:
    if not len(sizes):
        return None
    pairs, counts = np.unique(sizes, axis=0, return_counts=True)
    width, height = (
        (int(side.min()), int(np.median(side)), int(side.max())) for side in (sizes[:, 0], sizes[:, 1])
    )
    most = int(counts.argmax())
    commonest = (int(pairs[most, 0]), int(pairs[most, 1]))
    return Sizes(width, height, len(pairs), commonest, round(float(counts[most] / len(sizes)), 4))


def _duplicates(images: ImageSet, seen: _Seen) -> list[Finding]:
    """Return the images that occur more than once: within a class, and in several classes."""
    rows = np.flatnonzero(seen.readable)
    if not len(rows):
        return []
    _, group, counts = np.unique(seen.keys[rows], return_inverse=True, return_counts=True)
    order = np.lexsort((images.labels[rows], group))
    order = order[counts[group[order]] > 1]
    copies = rows[order]
    same_image = group[order][1:] == group[order][:-1]
    same_class = images.labels[copies][1:] == images.labels[copies][:-1]
    found = []
    for kind, second in (("across", same_image & ~same_class), ("within", same_image & same_class)):
        places = np.flatnonzero(second)
        pairs = [copies[place : place + 2].tolist() for place in places[:EXAMPLES].tolist()]
        examples = [f"{images.where(one)} = {images.where(other)}" for one, other in pairs]
        found += finding(kind, Tally(len(places), examples))
    return found


def _classes(images: ImageSet, counts: Int[np.ndarray, " C"]) -> list[Finding]:
    """Return what is odd about the numbers of images."""
    named = [f"{name} ({count})" for name, count in zip(images.classes, counts.tolist(), strict=True)]
    found = []
    if (counts > 0).sum() < 2:
        found += finding("one class", [name for name, count in zip(named, counts, strict=True) if count])
    has_images = np.bincount(images.labels, minlength=images.num_classes) > 0
    found += finding("unreadable class", [named[c] for c in np.flatnonzero((counts == 0) & has_images)])
    found += finding("single", [named[c] for c in np.flatnonzero(counts == 1)])
    found += finding("few", [named[c] for c in np.flatnonzero((counts > 1) & (counts < FEW))])
    used = counts[counts > 0]
    if len(used) > 1 and used.max() >= UNEVEN * used.min():
        found += finding(
            "uneven", [named[int(counts.argmax())], named[int(np.where(counts, counts, used.max()).argmin())]]
        )
    return found
