"""Small pictures of the classes."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from metad2a.data.image_set import ImageSet
from metad2a.errors import DataError
from metad2a.reporting.thumbnails import GAP, SIDE, class_pictures

COLOURS = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250]], np.uint8)


def plain(counts: list[int]) -> ImageSet:
    """Return images of one colour a class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = np.broadcast_to(COLOURS[labels % 3][:, None, None], (len(labels), 8, 8, 3))
    return ImageSet.from_arrays(pixels, labels, classes=[f"class {n}" for n in range(len(counts))])


def opened(strip: str) -> np.ndarray:
    kind, _, data = strip.partition("base64,")
    assert kind == "data:image/jpeg;"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_each_class_shows_its_own_images() -> None:
    pictures = class_pictures(plain([7, 2, 1]), each=3)
    assert [(one.name, one.count, one.shown) for one in pictures] == [
        ("class 0", 7, 3),
        ("class 1", 2, 2),
        ("class 2", 1, 1),
    ]
    for number, one in enumerate(pictures):
        strip = opened(one.strip)
        assert strip.shape == (SIDE, one.shown * (SIDE + GAP) - GAP, 3)
        middle = strip[SIDE // 2, SIDE // 2].astype(int)
        assert abs(middle - COLOURS[number]).max() < 30


def test_of_many_classes_some_are_shown() -> None:
    pictures = class_pictures(plain([1] * 50))
    assert len(pictures) == 12
    assert (pictures[0].name, pictures[-1].name) == ("class 0", "class 49")


def test_an_image_that_cannot_be_read_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> np.ndarray:
        raise DataError("truncated")

    monkeypatch.setattr(ImageSet, "load", broken)
    assert [(one.strip, one.shown, one.count) for one in class_pictures(plain([2, 2]))] == [("", 0, 2)] * 2
