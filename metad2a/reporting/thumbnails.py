"""A few small pictures of each class, as text that a page can hold."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from metad2a.data.image_set import ImageSet
from metad2a.errors import DataError

CLASSES, EACH = 12, 5
SIDE, GAP = 64, 4  # pixels
_QUALITY = 85


@dataclass(frozen=True)
class ClassPictures:
    """One class of a data set.

    Attributes:
        name: of the class.
        count: of its images.
        strip: a few of them beside each other, as a data URI; empty when they cannot be read.
        shown: how many.
    """

    name: str
    count: int
    strip: str
    shown: int


def class_pictures(images: ImageSet, *, classes: int = CLASSES, each: int = EACH) -> list[ClassPictures]:
    """Return pictures of up to ``classes`` classes, spread evenly over all, with up to ``each`` images of each."""
    chosen = np.unique(np.linspace(0, images.num_classes - 1, min(classes, images.num_classes)).round().astype(int))
    return [_pictures(images, int(number), each) for number in chosen]


def _pictures(images: ImageSet, number: int, each: int) -> ClassPictures:
    members = np.flatnonzero(images.labels == number)
    shown = members[np.linspace(0, len(members) - 1, min(each, len(members))).round().astype(int)]
    try:
        strip = _jpeg(_beside(images.load(shown, SIDE))) if len(shown) else ""
    except DataError:  # a search reads other images, perhaps; a report must not fail for one it only shows
        strip = ""
    return ClassPictures(images.classes[number], len(members), strip, len(shown) if strip else 0)


def _beside(pictures: UInt8[np.ndarray, "I H W 3"]) -> UInt8[np.ndarray, "H X 3"]:
    """Return the pictures in a row, with white between them."""
    padded = np.pad(pictures, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
    return np.concatenate(list(padded), axis=1)[:, :-GAP]


def _jpeg(picture: UInt8[np.ndarray, "H W 3"]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
