import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metad2a.data.image_set import ImageSet
from metad2a.errors import DataError
from metad2a.fitting.parts import Parts, split_parts


def numbered(counts: list[int], name: str = "numbered") -> ImageSet:
    """Return images of one pixel, each of its own shade."""
    labels = np.repeat(np.arange(len(counts)), counts)
    shades = np.arange(len(labels))
    x = np.stack([shades % 256, shades // 256, shades * 0], axis=1).astype(np.uint8)[:, None, None]
    return ImageSet.from_arrays(x, labels, name=name)


def shades(part: ImageSet) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in part.load(range(len(part)), 1).reshape(-1, 3).tolist()}


@given(st.lists(st.integers(1, 40), min_size=2, max_size=6).filter(lambda counts: max(counts) >= 3))
def test_every_image_is_in_one_part_and_every_class_is_learned(counts: list[int]) -> None:
    images = numbered(counts)
    parts = split_parts(images)
    found = [shades(part) for part in (parts.train, parts.valid, parts.test)]
    assert sum(map(len, found)) == len(set.union(*found)) == len(images)
    for count, train, valid, test in zip(
        counts, parts.train.counts, parts.valid.counts, parts.test.counts, strict=True
    ):
        assert train >= 1
        assert (test >= 1) == (count >= 2)
        assert (valid >= 1) == (count >= 3)
    assert parts.train.classes == parts.valid.classes == parts.test.classes == images.classes


def test_shares_are_those_asked_for() -> None:
    parts = split_parts(numbered([100, 200]), valid_fraction=0.1, test_fraction=0.3)
    assert [part.counts.tolist() for part in (parts.train, parts.valid, parts.test)] == [
        [60, 120],
        [10, 20],
        [30, 60],
    ]


def test_the_seed_decides_which() -> None:
    images = numbered([20, 20])
    first, again, other = (split_parts(images, seed=seed) for seed in (1, 1, 2))
    assert shades(first.test) == shades(again.test) != shades(other.test)


def test_a_test_set_of_its_own() -> None:
    images, test = numbered([10, 2]), numbered([4, 4], "test")
    parts = split_parts(images, test=test, test_fraction=-1.0)
    assert parts.test is test
    assert (parts.train.counts + parts.valid.counts).tolist() == [10, 2]
    with pytest.raises(DataError, match="'three' have 3 classes, the training images 'numbered' 2"):
        split_parts(images, test=numbered([4, 4, 4], "three"))
    renamed = ImageSet.from_arrays(np.zeros((2, 1, 1), np.uint8), [0, 1], classes=["x", "y"])
    with pytest.raises(DataError, match="or of other names"):
        split_parts(images, test=renamed)


@pytest.mark.parametrize("fractions", [(0.0, 0.2), (0.2, 0.0), (1.0, 0.2), (0.5, 0.5), (float("nan"), 0.2)])
def test_fractions_that_cannot_be(fractions: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="cannot divide image set 'numbered'"):
        split_parts(numbered([10, 10]), valid_fraction=fractions[0], test_fraction=fractions[1])


def test_too_few_images() -> None:
    with pytest.raises(DataError, match="none is left for the validation"):
        split_parts(numbered([2, 2]))
    with pytest.raises(DataError, match="has no image of class '1'"):
        split_parts(numbered([5, 5]).take([0, 1, 2, 3, 4]))
    with pytest.raises(DataError, match="fewer than two classes"):
        split_parts(numbered([5, 5]).keep_classes([0]))


def test_classes_that_cannot_be_measured_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        split_parts(numbered([9, 1, 2, 1, 1, 1]))
    assert "no validation image of '1', '2', '3', 2 more classes" in caplog.text
    assert "no test image of '1', '3', '4', 1 more classes" in caplog.text


def test_test_images_that_were_learned_are_told(caplog: pytest.LogCaptureFixture) -> None:
    images = numbered([9, 9])
    clean = split_parts(images)
    leaking = Parts(clean.train, clean.valid, images)
    assert clean.load(1).tell_leaks() == 0
    assert not caplog.text
    assert leaking.load(1).tell_leaks() == len(clean.train)
    assert f"{len(clean.train)} of 18 test images are among the training images" in caplog.text
