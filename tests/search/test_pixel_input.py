import warnings

import numpy as np
import pytest

from metad2a.errors import DataError
from metad2a.search.pixel_input import PixelInput


def pictures(rows: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found: np.ndarray = PixelInput.of(rows, shape).images(rows)
        return found


def test_uint8_are_pixels() -> None:
    rows = np.arange(2 * 12, dtype=np.uint8).reshape(2, 12)
    assert np.array_equal(pictures(rows, (2, 2, 3)), rows.reshape(2, 2, 2, 3))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0.0, 0.2, 0.5, 0.8], [0, 51, 128, 204]),  # shares of white
        ([0.0, 4.0, 8.0, 16.0], [0, 64, 128, 255]),  # as in scikit-learn's digits
        ([-1.0, 0.0, 0.5, 1.0], [0, 128, 191, 255]),
        ([0, 100, 200, 255], [0, 100, 200, 255]),
        ([7, 7, 7, 7], [0, 0, 0, 0]),
        ([-1e308, 0.0, 0.0, 1e308], [0, 128, 128, 255]),
    ],
)
def test_other_numbers_are_scaled(numbers: list[float], expected: list[int]) -> None:
    assert pictures(np.array([numbers])).ravel().tolist() == expected


def test_the_scale_is_that_of_the_training() -> None:
    learned = PixelInput.of(np.array([[0.0, 10.0, 20.0, 30.0]]), None)
    assert learned.images(np.array([[-5.0, 3.0, 15.0, 99.0]])).ravel().tolist() == [0, 26, 128, 255]


def test_rows_that_make_no_square_are_filled_up() -> None:
    rows = np.full((2, 5), 255, np.uint8)
    with pytest.warns(UserWarning, match="5 features, which make no square picture.*3 x 3"):
        learned = PixelInput.of(rows, None)
    assert learned.images(rows)[1].tolist() == [[255, 255, 255], [255, 255, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("features", "shape", "words"),
    [
        (3072, None, r"image_shape=\(32, 32, 3\)"),
        (12, (3, 5), "makes 15 numbers, but X has 12"),
        (12, (12,), "no shape of pictures"),
        (12, (3, 2, 2), "1 .gray., 3 .RGB. or 4"),
        (12, (0, 12), "no shape of pictures"),
    ],
)
def test_refuses_impossible_shapes(features: int, shape: tuple[int, ...] | None, words: str) -> None:
    with pytest.raises(DataError, match=words):
        PixelInput.of(np.zeros((2, features)), shape)


def test_refuses_another_scale_than_in_training() -> None:
    learned = PixelInput.of(np.full((1, 4), 9, np.uint8), None)
    with pytest.raises(DataError, match=r"uint8 pixels, but these are within 0\.\.1"):
        learned.images(np.array([[0.0, 0.5, 1.0, 0.2]]))
    assert learned.images(np.array([[0.0, 1.0, 1.0, 0.0]])).ravel().tolist() == [0, 1, 1, 0]
