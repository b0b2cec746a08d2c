import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metad2a.data import encoded
from metad2a.data.cache import choose_images
from metad2a.data.encoded import read_square
from metad2a.data.image_set import ImageSet
from metad2a.errors import DataError


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def halves(left: tuple[int, ...], right: tuple[int, ...]) -> np.ndarray:
    """An 8 x 8 image whose left and right halves have one colour each."""
    pixels = np.empty((8, 8, len(left)), np.uint8)
    pixels[:, :4], pixels[:, 4:] = left, right
    return pixels


RED, BLUE = (255, 0, 0), (0, 0, 255)


# --- the folder -----------------------------------------------------------------------------------------------


def test_classes_labels_and_order(make_folder) -> None:
    images = ImageSet.from_folder(make_folder(images=3))
    assert images.name == "pets"
    assert images.classes == ("cat", "dog")
    assert images.labels.dtype == np.int64
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert images.counts.tolist() == [3, 3]
    assert len(images) == 6
    first = np.asarray(Image.open(make_folder(images=3, name="again") / "cat" / "0.png"))
    assert np.array_equal(images.load([0], 12)[0], first[:, 2:14])


def test_source_opens_the_same_images(make_folder, monkeypatch, tmp_path) -> None:
    make_folder()
    monkeypatch.chdir(tmp_path)
    images = ImageSet.open("pets")
    monkeypatch.chdir("/")
    again = ImageSet.open(images.source)
    assert again.content_keys(range(6)) == images.content_keys(range(6))


def test_images_are_found_at_any_depth_through_links_and_non_ascii_names(make_folder, tmp_path) -> None:
    folder = make_folder(images=1)
    deep = folder / "Žluťoučký kůň" / "один" / "два"
    deep.mkdir(parents=True)
    save(deep / "画像.PNG", halves(RED, BLUE))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    save(elsewhere / "x.png", halves(RED, RED))
    (folder / "linked").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "loop").symlink_to(elsewhere, target_is_directory=True)
    (deep / "file-link.png").symlink_to(elsewhere / "x.png")
    images = ImageSet.from_folder(folder)
    assert images.classes == ("cat", "dog", "linked", "Žluťoučký kůň")
    assert images.counts.tolist() == [1, 1, 1, 2]
    assert images.load(range(len(images)), 8).shape == (5, 8, 8, 3)


def test_a_class_that_links_to_what_it_lies_in_does_not_get_the_images_of_all(make_folder) -> None:
    folder = make_folder(images=2)
    (folder / "cat" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "cat" / "root").symlink_to("/", target_is_directory=True)
    (folder / "dog" / "cats").symlink_to(folder / "cat", target_is_directory=True)
    assert ImageSet.from_folder(folder).counts.tolist() == [2, 4], "another class may be linked to"


def test_one_image_a_class(make_folder) -> None:
    images = ImageSet.from_folder(make_folder(images=1))
    assert choose_images(images, 50, 0).tolist() == [0, 1]
    assert images.load([0, 1], 8).shape == (2, 8, 8, 3)
    with pytest.raises(DataError, match="fewer than two images"):
        images.split(0.5, 0)


def test_five_thousand_classes(tmp_path) -> None:
    image = save(tmp_path / "image.png", halves(RED, BLUE))
    for number in range(5000):
        place = tmp_path / "many" / f"{number:04d}"
        place.mkdir(parents=True)
        for name in ("a.png", "b.png"):
            (place / name).hardlink_to(image)
    start = time.process_time()
    images = ImageSet.from_folder(tmp_path / "many")
    chosen = choose_images(images, 50, 0)
    assert len(set(images.content_keys(chosen))) == 1
    images.load(chosen[::20], 8)
    assert time.process_time() - start < 10, "about a second on a free machine"
    assert (images.num_classes, len(chosen), images.classes[4999]) == (5000, 10_000, "4999")


def test_class_names_are_normalised(tmp_path) -> None:
    for name in ("cafe\N{COMBINING ACUTE ACCENT}", "tea"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "1.png", halves(RED, BLUE))
    assert ImageSet.from_folder(tmp_path).classes == ("café", "tea")


def test_two_classes_whose_names_look_the_same(tmp_path) -> None:
    for name in ("cafe\N{COMBINING ACUTE ACCENT}", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="two sub-folders called 'café', in two forms of Unicode"):
        ImageSet.from_folder(tmp_path)


def test_hidden_files_and_files_beside_the_classes_are_ignored(make_folder) -> None:
    folder = make_folder(images=2)
    for name in ("cat/.DS_Store", "cat/Thumbs.db", "dog/desktop.ini", "README.md", ".hidden.png"):
        (folder / name).write_bytes(b"no image")
    (folder / ".git").mkdir()
    (folder / "cat" / ".ipynb_checkpoints").mkdir()
    (folder / "cat" / ".ipynb_checkpoints" / "x.png").write_bytes(b"no image")
    assert len(ImageSet.from_folder(folder)) == 4


def test_an_image_without_extension_is_an_image(make_folder) -> None:
    folder = make_folder(images=1)
    (folder / "cat" / "0.png").rename(folder / "cat" / "photo")
    assert ImageSet.from_folder(folder).load([0], 4).shape == (1, 4, 4, 3)


def test_only_what_is_asked_for_is_opened(make_folder, monkeypatch) -> None:
    opened = []
    real = encoded.read_square
    monkeypatch.setattr(
        encoded, "read_square", lambda path, where, size: opened.append(path.name) or real(path, where, size=size)
    )
    images = ImageSet.from_folder(make_folder(images=4))
    assert opened == []
    images.load([1, 6], 8)
    assert sorted(opened) == ["1.png", "2.png"]


def test_content_key_depends_on_the_content_alone(make_folder) -> None:
    folder = make_folder(images=2)
    (folder / "dog" / "copy.png").write_bytes((folder / "cat" / "0.png").read_bytes())
    keys = ImageSet.from_folder(folder).content_keys(range(5))
    assert keys[0] == keys[4]
    assert len(set(keys)) == 4


# --- errors of the folder -------------------------------------------------------------------------------------


def test_missing_folder(tmp_path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        ImageSet.from_folder(tmp_path / "nowhere")


def test_file_instead_of_folder(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="is a file, not a folder"):
        ImageSet.from_folder(tmp_path / "a.txt")


def test_folder_without_sub_folders(tmp_path) -> None:
    with pytest.raises(DataError, match="has no sub-folders"):
        ImageSet.from_folder(tmp_path)


def test_image_beside_the_class_folders(make_folder) -> None:
    folder = make_folder()
    save(folder / "lost.png", halves(RED, BLUE))
    with pytest.raises(DataError, match=r"lost\.png lies beside the class folders"):
        ImageSet.from_folder(folder)


def test_empty_class(make_folder) -> None:
    folder = make_folder()
    (folder / "emu").mkdir()
    (folder / "emu" / ".DS_Store").touch()
    with pytest.raises(DataError, match=r"class 'emu' .* has no image"):
        ImageSet.from_folder(folder)


def test_only_one_class(tmp_path) -> None:
    (tmp_path / "cat").mkdir()
    save(tmp_path / "cat" / "1.png", halves(RED, BLUE))
    with pytest.raises(DataError, match=r"only one class \('cat'\)"):
        ImageSet.from_folder(tmp_path)


def test_splits_instead_of_classes(tmp_path) -> None:
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"splits \(train, val\), not classes"):
        ImageSet.from_folder(tmp_path)


@pytest.mark.parametrize("name", ["notes.txt", "no_extension", "drawing.eps"])
def test_file_that_is_no_image(make_folder, name: str) -> None:
    folder = make_folder()
    (folder / "cat" / name).write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n")
    with pytest.raises(DataError, match=rf"cat/{name} is no image"):
        ImageSet.from_folder(folder)


def test_broken_link(make_folder) -> None:
    folder = make_folder()
    (folder / "cat" / "gone.png").symlink_to(folder / "nothing.png")
    images = ImageSet.from_folder(folder)
    with pytest.raises(DataError, match=r"gone\.png"):
        images.load([3], 8)
    with pytest.raises(DataError, match=r"cannot read .*gone\.png"):
        images.content_keys([3])


# --- one file -------------------------------------------------------------------------------------------------


def test_text_with_the_name_of_an_image(tmp_path) -> None:
    (tmp_path / "a.jpg").write_text("not a picture")
    with pytest.raises(DataError, match=r"a\.jpg is no image"):
        read_square(tmp_path / "a.jpg", size=8)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_truncated_file(tmp_path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cannot read the image .*{name}.*truncated"):
        read_square(path, size=8)


def test_an_image_under_the_name_of_another_format(make_folder) -> None:
    folder = make_folder(images=1)
    save(folder / "cat" / "1.png", halves(RED, RED), format="JPEG", quality=95)
    square = ImageSet.from_folder(folder).load([1], 8)[0].astype(int)
    assert np.abs(square - RED).max() < 8


@pytest.mark.parametrize("name", ["wide.jpg", "wide.png"])
def test_twenty_thousand_pixels_wide(tmp_path, name: str) -> None:
    pixels = np.zeros((300, 20_000, 3), np.uint8)
    pixels[:, 9850:10150] = RED
    square = read_square(save(tmp_path / name, pixels), size=64).astype(int)
    assert np.abs(square[:, 8:-8] - RED).max() < 16


def test_a_picture_that_would_fill_the_memory(tmp_path) -> None:
    """Its header promises 20,000 x 20,000 pixels; nothing of them is read."""
    path = save(tmp_path / "a.png", halves(RED, BLUE))
    head = bytearray(path.read_bytes())
    head[16:24] = struct.pack(">2I", 20_000, 20_000)
    head[29:33] = struct.pack(">I", zlib.crc32(head[12:29]))
    path.write_bytes(head)
    with pytest.raises(DataError, match=r"cannot read the image .*a\.png: .*400000000 pixels.*bomb"):
        read_square(path, size=8)


def test_floating_point_image(tmp_path) -> None:
    path = save(tmp_path / "a.tiff", np.random.default_rng(0).random((8, 8), dtype=np.float32))
    with pytest.raises(DataError, match="floating-point"):
        read_square(path, size=8)


def test_decompression_bomb(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="decompression bomb"):
        read_square(save(tmp_path / "a.png", halves(RED, BLUE)), size=8)


def test_exif_orientation_is_applied(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    path = save(tmp_path / "a.png", halves(RED, BLUE), exif=exif)
    square = read_square(path, size=8)
    assert (square[:4] == RED).all()
    assert (square[4:] == BLUE).all()


def test_exif_orientation_of_a_large_jpeg(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = np.repeat(np.repeat(halves(RED, BLUE), 100, 0), 120, 1)
    square = read_square(save(tmp_path / "a.jpg", large, exif=exif, quality=95), size=16).astype(int)
    assert np.abs(square[:6] - RED).max() < 8
    assert np.abs(square[10:] - BLUE).max() < 8


def test_cmyk(tmp_path) -> None:
    square = read_square(save(tmp_path / "a.jpg", halves(RED, BLUE), "CMYK", quality=100), size=8).astype(int)
    assert np.abs(square[:, 0] - RED).max() < 16
    assert np.abs(square[:, 7] - BLUE).max() < 16


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA"])
def test_modes_that_hold_colours(tmp_path, mode: str) -> None:
    square = read_square(save(tmp_path / "a.png", halves(RED, BLUE), mode), size=8)
    assert np.array_equal(square, halves(RED, BLUE))


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_gray_modes(tmp_path, mode: str) -> None:
    square = read_square(save(tmp_path / "a.png", halves((255,) * 3, (0,) * 3), mode), size=8)
    assert np.array_equal(square, halves((255,) * 3, (0,) * 3))


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, name: str) -> None:
    values = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    square = read_square(save(tmp_path / name, values), size=2)
    assert square[..., 0].tolist() == [[0, 100], [200, 255]]


def test_transparent_becomes_white(tmp_path) -> None:
    path = save(tmp_path / "a.png", halves((255, 0, 0, 0), (0, 0, 0, 128)))
    square = read_square(path, size=8)
    assert (square[:, :4] == 255).all()
    assert (square[:, 4:] == 127).all()


def test_transparent_palette_becomes_white(tmp_path) -> None:
    image = Image.fromarray(halves(RED, BLUE)).quantize(2)
    red = image.getpixel((0, 0))
    image.save(tmp_path / "a.gif", transparency=red)
    square = read_square(tmp_path / "a.gif", size=8)
    assert (square[:, :4] == 255).all()
    assert (square[:, 4:] == BLUE).all()


@pytest.mark.parametrize("shape", [(8, 24, 3), (24, 8, 3)])
def test_the_centre_of_the_longer_side_counts(tmp_path, shape: tuple[int, ...]) -> None:
    pixels = np.zeros(shape, np.uint8)
    pixels[(slice(8, 16), slice(None)) if shape[0] > 8 else (slice(None), slice(8, 16))] = 255
    assert (read_square(save(tmp_path / "a.png", pixels), size=4) == 255).all()


@pytest.mark.parametrize("name", ["a.bmp", "a.gif", "a.jpg", "a.ppm", "a.png", "a.tga", "a.tiff", "a.webp"])
def test_formats(make_folder, name: str) -> None:
    folder = make_folder(images=1)
    (folder / "cat" / "0.png").unlink()
    save(folder / "cat" / name, halves((200,) * 3, (200,) * 3))
    assert np.abs(ImageSet.from_folder(folder).load([0], 8).astype(int) - 200).max() < 3
