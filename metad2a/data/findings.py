"""What can be found in a data set, and what is done about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Level = Literal["refused", "look", "handled"]
EXAMPLES = 3
FEW = 10  # images of a class, below which it is told of
UNEVEN = 20  # times that the largest class is larger than the smallest
LONG = 2  # times that one side is longer than the other, above which most of an image is cut off
SMALL = 16  # pixels of the shorter side, below which there is little to see
LARGE = 25_000_000  # pixels, above which decoding takes long


@dataclass(frozen=True)
class Finding:
    """One thing about a data set.

    Attributes:
        kind: short name that does not change.
        level: ``refused``: nothing can be done with the data set before it is repaired; ``look``: it can be used,
            but somebody should look at this; ``handled``: it is taken care of.
        what: was found.
        count: how often.
        action: what will be done about it, and what to do.
        examples: a few of them.
    """

    kind: str
    level: Level
    what: str
    count: int
    action: str
    examples: tuple[str, ...]

    @property
    def rank(self) -> int:
        """Places the worst first."""
        return list(_KINDS).index(self.kind)


@dataclass
class Tally:
    """How often something was found, and the first few examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def add(self, example: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


def finding(kind: str, found: Tally | Sequence[str | Path]) -> list[Finding]:
    """Return the finding of what was ``found``; none if that is nothing."""
    if not len(found):
        return []
    level, what, action = _KINDS[kind]
    examples = found.examples if isinstance(found, Tally) else map(str, found[:EXAMPLES])
    return [Finding(kind, level, what, len(found), action, tuple(examples))]


# The worst first.
_KINDS: dict[str, tuple[Level, str, str]] = {
    # --- refused: opening the data set stops with an error
    "one class": (
        "refused",
        "fewer than two classes have images that can be read",
        "Nothing can be searched for. Add classes, or repair the files.",
    ),
    "empty": (
        "refused",
        "class folders without an image",
        "Search stops: a class that lost its images is no mistake to pass over. Remove the folders or add images.",
    ),
    "strangers": (
        "refused",
        "files in class folders that are no images",
        "Search stops. Remove them, convert them, or hide them (a dot before the name).",
    ),
    "loose": (
        "refused",
        "images beside the class folders",
        "Search stops, as they have no class. Move them into sub-folders.",
    ),
    "missing": (
        "refused",
        "files of the list that are not there",
        "Search stops. Get them, or remove their lines.",
    ),
    "unreadable class": (
        "refused",
        "classes of which no image can be read",
        "Search stops. Repair or remove their files.",
    ),
    # --- look: it works, but
    "unreadable": (
        "look",
        "files that cannot be read",
        "Search stops at the first one that it draws (of a class of up to --images-per-class images it draws all), "
        "and so does training. Repair or remove them.",
    ),
    "across": (
        "look",
        "images that are in several classes",
        "Each counts in every class it is in, and no network can be right about them all. Remove the wrong ones.",
    ),
    "within": (
        "look",
        "copies of images of the same class",
        "Embedded once, counted as often as they are there. For training, remove them: a copy of a training image "
        "among the test images flatters the result.",
    ),
    "single": (
        "look",
        "classes with one image",
        "Search uses it. Training cannot, as it needs images to learn from and others to test on. Add images.",
    ),
    "few": (
        "look",
        f"classes with fewer than {FEW} images",
        "Search uses all of them; what it says of so few is less sure. Add images if there are any.",
    ),
    "uneven": (
        "look",
        f"the largest class has {UNEVEN} times the images of the smallest, or more",
        "Search takes up to --images-per-class of each, so large classes do not drown small ones. Accuracy on test "
        "images will be about the large ones.",
    ),
    "long": (
        "look",
        f"images with a side more than {LONG} times the other",
        "Only the central square is used: less than half. Cut them to what matters if it lies elsewhere.",
    ),
    "small": ("look", f"images of less than {SMALL} pixels", "Scaled up. There is little to see in them."),
    # --- handled
    "large": (
        "handled",
        f"images of more than {LARGE / 1e6:.0f} million pixels",
        "Scaled down; decoding them takes longer.",
    ),
    "gray": ("handled", "gray images", "Gray becomes red, green and blue alike."),
    "palette": ("handled", "images with a palette", "Converted to RGB."),
    "transparent": ("handled", "images with an alpha channel or a transparent colour", "Laid on white."),
    "cmyk": ("handled", "images for print (CMYK)", "Converted to RGB."),
    "colours": ("handled", "images in other colour spaces", "Converted to RGB."),
    "sixteen bits": ("handled", "images of 16 bits", "Scaled to 8 bits."),
    "turned": ("handled", "images that are stored turned (EXIF)", "Turned upright."),
    "animated": ("handled", "images of several pictures", "The first picture counts."),
    "misnamed": ("handled", "files whose name means another format", "Read by what is in them."),
    "ignored": ("handled", "hidden files, and files beside the class folders that are no images", "Ignored."),
}
