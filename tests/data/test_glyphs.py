import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metad2a.data.glyphs import FACES, _faces_of, _mask, glyph_classes, glyphs
from metad2a.data.image_set import ImageSet
from metad2a.errors import DataError, UnknownNameError

CHARS = ["A", "g", "Ж", "∞"]


def test_many_classes_of_many_alphabets() -> None:
    classes = glyph_classes()
    assert len(classes) > 1500
    assert len(set(classes)) == len(classes)
    assert all(len(char) == 1 and char.isprintable() for char in classes)
    assert {"A", "g", "7", "Ж", "Ω", "∞", "€"} <= set(classes)


def test_look_alikes_are_one_class() -> None:
    classes = glyph_classes()
    assert {"A", "O"} <= set(classes)
    copies = "\N{GREEK CAPITAL LETTER ALPHA}\N{CYRILLIC CAPITAL LETTER A}\N{CYRILLIC CAPITAL LETTER O}o"
    assert not set(copies) & set(classes)


def test_every_class_has_ink_in_every_face() -> None:
    for char in glyph_classes()[::20]:
        assert len(_faces_of()[char]) >= 4
        for face in _faces_of()[char]:
            assert _mask(char, face).max() > 100


def test_no_class_is_the_box_of_a_missing_character() -> None:
    box = _mask("\N{CJK UNIFIED IDEOGRAPH-4E00}", FACES[0])  # DejaVu Sans has no such character
    assert not any(np.array_equal(_mask(char, FACES[0]), box) for char in glyph_classes())


def test_images_are_varied_and_show_their_character() -> None:
    images = glyphs(CHARS, images_per_class=30).load(range(120), 32).astype(int)
    assert len(np.unique(images.reshape(120, -1), axis=0)) == 120
    assert images.std((1, 2)).max(-1).min() > 5, "an image without visible ink"
    assert images.mean((1, 2)).std(0).min() > 30, "all of one colour"


def test_classes_can_be_told_apart() -> None:
    """A linear model on the pixels learns them: the labels mean something."""
    from sklearn.linear_model import LogisticRegression

    images = glyphs(["I", "O", "∴", "▬"], images_per_class=150)
    x = images.load(range(600), 32).astype(float).mean(-1)
    x = np.abs(x - np.median(x, axis=(1, 2), keepdims=True)).reshape(600, -1) / 255
    train = np.arange(600) % 3 > 0
    model = LogisticRegression(max_iter=300).fit(x[train], images.labels[train])
    assert model.score(x[~train], images.labels[~train]) > 0.7


@settings(max_examples=20)
@given(st.lists(st.integers(0, 39), min_size=1, max_size=300))
def test_an_image_does_not_depend_on_the_others(rows: list[int]) -> None:
    images = glyphs(CHARS, images_per_class=10, seed=3)
    assert np.array_equal(images.load(rows, 32), images.load(range(40), 32)[rows])


def test_an_image_does_not_depend_on_classes_or_number() -> None:
    small, large = glyphs(CHARS, images_per_class=2), glyphs(["Ж", "A"], images_per_class=5)
    assert np.array_equal(small.load([4, 5], 32), large.load([0, 1], 32))
    assert small.content_keys([4, 5]) == large.content_keys([0, 1])


def test_seeds_differ() -> None:
    a, b = (glyphs(CHARS, seed=seed) for seed in (0, 1))
    assert not np.array_equal(a.load([0], 32), b.load([0], 32))
    assert not set(a.content_keys(range(80))) & set(b.content_keys(range(80)))
    assert len(set(a.content_keys(range(80)))) == 80


def test_another_process_draws_the_same() -> None:
    code = (
        "import hashlib; from metad2a.data.glyphs import glyphs;"
        "print(hashlib.sha256(glyphs(['A', '∞'], images_per_class=3).load(range(6), 32)).hexdigest())"
    )
    import hashlib

    here = hashlib.sha256(glyphs(["A", "∞"], images_per_class=3).load(range(6), 32)).hexdigest()
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


@pytest.mark.parametrize(
    "images", [glyphs(CHARS, images_per_class=3, seed=2), glyphs(["&", "=", "?", "%", "+"], images_per_class=2)]
)
def test_source_opens_the_same_images(images: ImageSet) -> None:
    again = ImageSet.open(images.source)
    assert again.classes == images.classes
    assert again.content_keys(range(len(again))) == images.content_keys(range(len(images)))


def test_default_is_all_classes_and_draws_nothing() -> None:
    images = ImageSet.open("embedded:glyphs")
    assert images.classes == glyph_classes()
    assert len(images) == 20 * images.num_classes


def test_a_task_takes_seconds() -> None:
    images = glyphs(glyph_classes()[:20], images_per_class=200)
    start = time.perf_counter()
    images.load(range(len(images)), 32)
    assert time.perf_counter() - start < 20  # about 1 s on a quiet core


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["A", "文"]}, "cannot draw the class '文'"),
        ({"classes": ["A", "two"]}, "cannot draw the class 'two'"),
        ({"classes": ["A", "A"]}, "two classes are called 'A'"),
        ({"classes": []}, "at least one class"),
        ({"images_per_class": 0}, "at least one class and one image"),
    ],
)
def test_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        glyphs(**options)


def test_query_errors() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'seed'"):
        ImageSet.open("embedded:glyphs?sed=1")
    with pytest.raises(DataError, match="Give whole numbers"):
        ImageSet.open("embedded:glyphs?seed=one")
