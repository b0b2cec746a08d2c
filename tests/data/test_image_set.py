from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metad2a.data.image_set import ImageSet, rank_within_class
from metad2a.data.sources import resize
from metad2a.errors import DataError, UnknownNameError, UserError

X = np.arange(6 * 4 * 5 * 3, dtype=np.uint8).reshape(6, 4, 5, 3)
Y = np.array([0, 1, 2, 0, 1, 2])


# --- arrays ---------------------------------------------------------------------------------------------------


def test_arrays() -> None:
    images = ImageSet.from_arrays(X, Y, name="six")
    assert repr(images) == "ImageSet('six', 6 images, 3 classes)"
    assert images.classes == ("0", "1", "2")
    assert images.counts.tolist() == [2, 2, 2]
    assert images.source is None
    assert np.array_equal(images.load([4, 1], 4), X[[4, 1], :, :4])


def test_lists_are_arrays() -> None:
    images = ImageSet.from_arrays(list(X), Y.tolist())
    assert images.load([], 4).shape == (0, 4, 4, 3)
    assert np.array_equal(images.load([2], 4), X[[2], :, :4])


@pytest.mark.parametrize("x", [X[..., 0], X[..., :1]])
def test_gray_arrays(x: np.ndarray) -> None:
    loaded = ImageSet.from_arrays(x, Y).load([1], 4)
    assert np.array_equal(loaded, np.repeat(X[[1], :, :4, :1], 3, -1))


def test_alpha_on_white() -> None:
    x = np.zeros((2, 1, 1, 4), np.uint8)
    x[1, 0, 0] = (100, 0, 255, 128)
    loaded = ImageSet.from_arrays(x, np.array([0, 1])).load([0, 1], 1)[:, 0, 0]
    assert loaded.tolist() == [[255, 255, 255], [177, 127, 255]]


def test_arrays_and_files_give_the_same_pixels(tmp_path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 61, 3), dtype=np.uint8)
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(photo).save(tmp_path / label / "1.png")
    folder = ImageSet.from_folder(tmp_path)
    arrays = ImageSet.from_arrays(np.stack([photo, photo]), np.array([0, 1]))
    for size in (17, 40, 96):
        difference = folder.load([0, 1], size).astype(int) - arrays.load([0, 1], size)
        assert np.abs(difference).max() <= 1


def test_array_content_keys() -> None:
    keys = ImageSet.from_arrays(X, Y).content_keys(range(6))
    assert len(set(keys)) == 6
    assert ImageSet.from_arrays(X[::-1], Y).content_keys([5]) == keys[:1]
    assert ImageSet.from_arrays(X.reshape(6, 5, 4, 3), Y).content_keys([0]) != keys[:1]


def test_resize_of_one_colour_is_that_colour() -> None:
    assert (resize(np.full((3, 5, 5, 3), 77, np.uint8), 9) == 77).all()


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X / 255, Y, r"float64, not uint8\. Convert them: \(x \* 255\)\.round\(\)"),
        (X.astype(np.float32), Y, r"Convert them: x\.round\(\)"),
        (X.astype(np.int64), Y, "int64, not uint8"),
        (X[0, 0], Y, r"shape \(5, 3\)"),
        (X[..., :2], Y, r"shape \(6, 4, 5, 2\)"),
        (X.transpose(0, 3, 1, 2), Y, "colours before pixels"),
        (X[:0], Y[:0], "at least one image"),
        (X, Y.astype(float), "labels are float64, not integers"),
        (X, np.array(list("abcabc")), "return_inverse"),
        (X, Y[:5], r"shape \(5,\), but there are 6 images"),
        (X, Y[:, None], r"shape \(6, 1\)"),
        (X, Y - 1, "image 0 has label -1"),
        (X, Y * 0, "one class"),
    ],
)
def test_array_errors(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        ImageSet.from_arrays(x, y, name="mine")
    assert "image set 'mine'" in str(error.value)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a", "b"], "label 2 has no name"),
        (["a", "b", "a"], "two classes are called 'a'"),
    ],
)
def test_class_name_errors(classes: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageSet.from_arrays(X, Y, classes=classes)


def test_class_numbers_without_images_are_left_out() -> None:
    numbered = ImageSet.from_arrays(X, Y * 2)
    assert numbered.classes == ("0", "2", "4")
    assert numbered.labels.tolist() == Y.tolist()
    named = ImageSet.from_arrays(X, Y * 2, classes=["a", "b", "c", "d", "e", "f"])
    assert named.classes == ("a", "c", "e")
    assert named.counts.sum() == len(X)


# --- npz ------------------------------------------------------------------------------------------------------


def test_npz(tmp_path) -> None:
    np.savez(tmp_path / "six.npz", x=X, y=Y.astype(np.int16), classes=np.array(["a", "b", "ž"]))
    images = ImageSet.open(str(tmp_path / "six.npz"))
    assert (images.name, images.classes) == ("six", ("a", "b", "ž"))
    assert images.labels.dtype == np.int64
    assert np.array_equal(ImageSet.open(images.source).load([3], 4), X[[3], :, :4])


def test_npz_class_names_as_bytes(tmp_path) -> None:
    np.savez(tmp_path / "six.npz", x=X, y=Y, classes=np.array([b"a", b"b", b"c"]))
    assert ImageSet.from_npz(tmp_path / "six.npz").classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, r"no array 'x' \(it has: y\)"),
        ({"x": X, "labels": Y}, r"no array 'y' \(it has: x, labels\)"),
        ({"x": np.array([1, None, "x"]), "y": Y}, "array of Python objects"),
        ({"x": X, "y": Y, "classes": np.array(["a", None, 3])}, "array of Python objects"),
        ({"x": X / 2, "y": Y}, "float64"),
    ],
)
def test_npz_errors(tmp_path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=message) as error:
        ImageSet.from_npz(tmp_path / "bad.npz")
    assert "bad" in str(error.value)


def broken_zip(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def text(_: bytes) -> bytes:
    return b"x,y\n1,2\n"


def empty(_: bytes) -> bytes:
    return b""


def flipped(whole: bytes) -> bytes:
    middle = len(whole) // 4
    return whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 64]) + whole[middle + 64 :]


@pytest.mark.parametrize("damage", [broken_zip, text, empty, flipped])
def test_damaged_npz(tmp_path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "bad.npz"
    np.savez_compressed(
        path, x=np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8), y=np.arange(64)
    )
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"bad\.npz"):
        ImageSet.from_npz(path)


def test_npy_named_npz(tmp_path) -> None:
    with (tmp_path / "bad.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match=r"bad\.npz is no \.npz file"):
        ImageSet.from_npz(tmp_path / "bad.npz")


def test_missing_npz(tmp_path) -> None:
    with pytest.raises(DataError, match=r"no\.npz does not exist"):
        ImageSet.open(str(tmp_path / "no.npz"))


# --- open -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no/such/place", "'no/such/place' do not exist. Give a folder"),
        ("embedded:digit", "Did you mean 'digits'"),
        ("embedded:digits?seed=1", "unknown embedded image set"),
        ("embedded:", "Known: digits, glyphs"),
    ],
)
def test_open_errors(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        ImageSet.open(spec)


def test_open_a_file_of_another_kind(tmp_path) -> None:
    (tmp_path / "x.txt").write_text("1,2")
    with pytest.raises(DataError, match=r"x\.txt' is a file of no supported kind"):
        ImageSet.open(str(tmp_path / "x.txt"))


def test_open_folder(make_folder) -> None:
    assert ImageSet.open(str(make_folder())).classes == ("cat", "dog")


def test_digits() -> None:
    digits = ImageSet.open("embedded:digits")
    assert (len(digits), digits.num_classes, digits.name) == (1797, 10, "digits")
    assert ImageSet.open(digits.source).content_keys([7]) == digits.content_keys([7])
    images = digits.load(range(1797), 8)
    assert (images.min(), images.max()) == (0, 255)
    # Zeros are hollow, ones are not.
    centre = images[:, 3:5, 3:5, 0].mean((1, 2))
    assert centre[digits.labels == 0].mean() < 50 < 150 < centre[digits.labels == 1].mean()


def test_unknown_embedded_name() -> None:
    with pytest.raises(UnknownNameError):
        ImageSet.embedded("cats")


# --- parts ----------------------------------------------------------------------------------------------------


def test_take_keeps_classes_and_shares_images() -> None:
    part = ImageSet.from_arrays(X, Y).take([5, 0])
    assert part.labels.tolist() == [2, 0]
    assert part.counts.tolist() == [1, 0, 1]
    assert np.array_equal(part.load([0, 1], 4), X[[5, 0], :, :4])
    assert np.array_equal(part.take([1]).load([0], 4), X[[0], :, :4])


def test_keep_classes_numbers_anew() -> None:
    part = ImageSet.from_arrays(X, Y, classes=["a", "b", "c"]).keep_classes([2, 0])
    assert part.classes == ("c", "a")
    assert part.labels.tolist() == [1, 0, 1, 0]
    assert np.array_equal(part.load(range(4), 4), X[[0, 2, 3, 5], :, :4])


@pytest.mark.parametrize(("numbers", "message"), [([3], "not 3"), ([-1], "not -1"), ([1, 1], "two classes")])
def test_keep_classes_errors(numbers: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageSet.from_arrays(X, Y).keep_classes(numbers)


@given(
    counts=st.lists(st.integers(2, 30), min_size=2, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_split_is_stratified(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(labels), dtype=np.uint8)[:, None, None]
    images = ImageSet.from_arrays(x, labels)
    a, b = images.split(fraction, seed)
    again, _ = images.split(fraction, seed)
    assert np.array_equal(a.counts + b.counts, images.counts)
    assert min(a.counts.min(), b.counts.min()) >= 1
    assert (np.abs(a.counts - images.counts * fraction) <= 1).all()
    pixels = [part.load(range(len(part)), 1)[:, 0, 0, 0] for part in (a, b, again)]
    assert sorted(np.concatenate(pixels[:2]).tolist()) == list(range(len(labels)))
    assert np.array_equal(pixels[0], pixels[2])
    assert np.array_equal(labels[pixels[0]], a.labels)


def test_split_depends_on_the_seed() -> None:
    digits = ImageSet.embedded("digits")
    first, second = (digits.split(0.5, seed)[0].content_keys(range(50)) for seed in (0, 1))
    assert first != second


def test_split_errors() -> None:
    images = ImageSet.from_arrays(X, Y)
    with pytest.raises(DataError, match="between 0 and 1"):
        images.split(1.0, 0)
    with pytest.raises(DataError, match="class '2' has fewer than two images"):
        images.take([0, 1, 2, 3, 4]).split(0.5, 0)


def test_rank_within_class_is_a_permutation_of_every_class() -> None:
    labels = np.array([1, 0, 1, 1, 0, 2])
    ranks = rank_within_class(labels, np.random.default_rng(0))
    assert [sorted(ranks[labels == c].tolist()) for c in range(3)] == [[0, 1], [0, 1, 2], [0]]
