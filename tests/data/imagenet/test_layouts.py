"""Every layout gives the right pixels under the right names, and says what is wrong with it."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.data.encoded import read_square
from metad2a.data.image_set import ImageSet
from metad2a.data.imagenet import array_files, image_files
from metad2a.data.imagenet.layouts import open_originals
from metad2a.data.imagenet.names import ImageNetNames
from metad2a.data.imagenet.originals import Originals
from metad2a.data.sources import resize
from metad2a.errors import DataError, UnknownNameError

MakeFolder = Callable[..., Path]
NONE = ImageNetNames(None)
WNIDS = [f"n{number:08d}" for number in (1440764, 1443537, 2119789, 3000000, 4552348, 9999999)]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (array_files, image_files):
        monkeypatch.setattr(module, "BYTES_AT_ONCE", 2000)


def pixels(originals: Originals, size: int, wanted: np.ndarray | None = None) -> np.ndarray:
    blocks = list(originals.read(np.arange(len(originals.labels)) if wanted is None else wanted, size))
    assert wanted is not None or len(blocks) > 1, "not everything at once"
    assert not any(block.problems for block in blocks)
    return np.concatenate([block.images for block in blocks])


def by_class(originals: Originals, images: np.ndarray) -> dict[str, list[np.ndarray]]:
    return {name: list(images[originals.labels == number]) for number, name in enumerate(originals.classes)}


# --- folders of image files -----------------------------------------------------------------------------------


def test_imagenet_folders(imagenet: MakeFolder) -> None:
    root = imagenet(each=3)
    originals = open_originals(root, NONE)
    assert originals.classes == tuple(WNIDS)
    assert np.bincount(originals.labels).tolist() == [3] * 6
    images = by_class(originals, pixels(originals, 12))
    for wnid in WNIDS:
        for image, path in zip(images[wnid], sorted((root / "train" / wnid).iterdir()), strict=True):
            assert np.array_equal(image, read_square(path, size=12))
    whole = ImageSet.from_folder(root / "train")
    assert np.array_equal(pixels(originals, 12), whole.load(range(len(whole)), 12))
    assert np.array_equal(pixels(originals, 12, np.array([1, 7, 16])), whole.load([1, 7, 16], 12))


def test_parts_of_imagenet_folders(imagenet: MakeFolder) -> None:
    root = imagenet(each=3)
    val, both = open_originals(root, NONE, part="val"), open_originals(root, NONE, part="all")
    assert np.bincount(val.labels).tolist() == [2] * 6
    assert np.bincount(both.labels).tolist() == [5] * 6
    first = sorted((root / "val" / WNIDS[0]).iterdir())[0]
    assert np.array_equal(pixels(val, 12)[0], read_square(first, size=12))
    assert np.array_equal(pixels(both, 12)[3], read_square(first, size=12))
    assert open_originals(root / "train", NONE).identity != val.identity
    assert np.array_equal(open_originals(root / "train", NONE).labels, open_originals(root, NONE).labels)


def test_tiny_imagenet(tiny_imagenet: Path) -> None:
    train, val = (open_originals(tiny_imagenet, NONE, part=part) for part in ("train", "val"))
    assert train.classes == val.classes == tuple(WNIDS)
    assert np.bincount(train.labels).tolist() == [4] * 6
    assert np.bincount(val.labels).tolist() == [3] * 6
    images = by_class(train, pixels(train, 16))
    for i, image in enumerate(images[WNIDS[2]]):
        path = tiny_imagenet / "train" / WNIDS[2] / "images" / f"{WNIDS[2]}_{i}.JPEG"
        assert np.array_equal(image, read_square(path, size=16))
    lines = (tiny_imagenet / "val/val_annotations.txt").read_text().splitlines()
    expected: dict[str, list[np.ndarray]] = {}
    for line in lines:
        name, wnid, *_ = line.split("\t")
        expected.setdefault(wnid, []).append(read_square(tiny_imagenet / "val/images" / name, size=16))
    for wnid, images_of_class in by_class(val, pixels(val, 16)).items():
        assert np.array_equal(images_of_class, expected[wnid])


def test_unreadable_files_are_told_of(imagenet: MakeFolder) -> None:
    root = imagenet(each=3)
    broken = [root / "train" / WNIDS[1] / f"{WNIDS[1]}_{number}.JPEG" for number in (10026, 10040)]
    broken[0].write_bytes(b"")
    broken[1].write_bytes(broken[1].read_bytes()[:200])
    originals = open_originals(root, NONE)
    blocks = list(originals.read(np.arange(18), 12))
    places = np.cumsum([0] + [len(block.images) for block in blocks])
    problems = {
        start + place: reason
        for start, block in zip(places, blocks, strict=False)
        for place, reason in block.problems.items()
    }
    assert sorted(problems) == [3, 5]
    assert all(str(path) in problems[place] for place, path in zip((3, 5), broken, strict=True))


def test_what_is_wrong_with_folders(imagenet: MakeFolder, tiny_imagenet: Path) -> None:
    root = imagenet(each=1)
    shutil.move(root / "val", root / "validation")
    with pytest.raises(DataError, match=r"no folder 'val' \(it has: LOC_synset_mapping.txt, train, validation\)"):
        open_originals(root, NONE, part="val")
    (root / "val").mkdir()
    (root / "val/ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
    with pytest.raises(DataError, match=r"no sub-folders called by WordNet ids .*ILSVRC2012_val_00000001\.JPEG"):
        open_originals(root, NONE, part="all")
    for path in (root / "train" / WNIDS[3]).iterdir():
        path.unlink()
    with pytest.raises(DataError, match=rf"class folder .*{WNIDS[3]} has no image .*it has: nothing"):
        open_originals(root, NONE)
    with pytest.raises(UnknownNameError, match="unknown part of ImageNet 'test'"):
        open_originals(root, NONE, part="test")
    shutil.rmtree(tiny_imagenet / "train" / WNIDS[0])
    with pytest.raises(DataError, match=rf"lacks 1 of the classes that its wnids.txt names, e\.g\. '{WNIDS[0]}'"):
        open_originals(tiny_imagenet, NONE)
    (tiny_imagenet / "val/images/val_4.JPEG").unlink()
    with pytest.raises(DataError, match=r"val_annotations\.txt, line 5: needed is an image"):
        open_originals(tiny_imagenet, NONE, part="val")


@pytest.mark.parametrize("name", ["pets", "empty"])
def test_folders_of_no_known_layout(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    if name == "pets":
        (tmp_path / name / "cat").mkdir()
    found = {"pets": "cat", "empty": "nothing"}[name]
    with pytest.raises(DataError, match=rf"of a known layout: it has {found}\. Known are ImageNet's folders"):
        open_originals(tmp_path / name, NONE)
    with pytest.raises(DataError, match="do not exist"):
        open_originals(tmp_path / "none", NONE)


# --- batches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pickle", "npz"])
def test_batches(batches: MakeFolder, form: str) -> None:
    folder = batches(form, side=8, each=6)
    originals = open_originals(folder, ImageNetNames.beside(folder))
    assert originals.classes == tuple(WNIDS)
    assert originals.side == 8
    files = sorted(folder.glob("train_data_batch_*"), key=lambda path: int(path.stem.rpartition("_")[2]))
    assert len(files) == 10
    raw = [np.load(file) if form == "npz" else pickle.loads(file.read_bytes()) for file in files]  # noqa: S301
    names = json.loads((folder / "imagenet32_label_to_wnid.json").read_text())
    labels = [names[str(label)] for batch in raw for label in np.asarray(batch["labels"]).tolist()]
    assert [originals.classes[number] for number in originals.labels] == labels
    data = np.concatenate([batch["data"] for batch in raw])
    expected = np.stack([data[:, i * 64 : (i + 1) * 64].reshape(-1, 8, 8) for i in range(3)], axis=-1)
    assert np.array_equal(pixels(originals, 8), expected)
    some = np.array([2, 3, 11, 35])
    assert np.array_equal(pixels(originals, 8, some), expected[some])
    assert np.array_equal(pixels(originals, 16), resize(expected, 16))
    val = open_originals(folder, ImageNetNames.beside(folder), part="val")
    assert np.bincount(val.labels).tolist() == [2] * 6
    assert len(open_originals(folder, NONE, part="all").labels) == 36 + 12


def test_batches_without_names(batches: MakeFolder) -> None:
    originals = open_originals(batches(names=False), NONE)
    assert originals.classes == tuple(f"label {label}" for label in range(1, 7))


def change(path: Path, **values: Any) -> None:
    batch = pickle.loads(path.read_bytes())  # noqa: S301
    path.write_bytes(pickle.dumps(batch | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels": [0, 1, 2, 3]}, "has 4 labels, not all from 1 to 1000"),
        ({"labels": [1, 2, 3, 1001]}, "not all from 1 to 1000"),
        ({"labels": [1, 2, 3]}, r"'labels' int64 \(3,\)"),
        ({"labels": ["a", "b", "c", "d"]}, r"'labels' <U1 \(4,\)"),
        ({"data": np.zeros((4, 3, 8, 8), np.uint8)}, r"'data' is uint8 \(4, 3, 8, 8\)"),
        ({"data": np.zeros((4, 192), np.float32)}, "'data' is float32"),
        ({"data": np.zeros((4, 190), np.uint8)}, "numbers. The published batches"),
        ({"data": [1]}, "is no batch of down-sampled ImageNet"),
    ],
)
def test_batches_of_another_kind(batches: MakeFolder, values: dict[str, Any], message: str) -> None:
    folder = batches()
    change(folder / "train_data_batch_1", **values)
    with pytest.raises(DataError, match=message):
        open_originals(folder, NONE)


def test_batches_that_are_missing(batches: MakeFolder) -> None:
    folder = batches()
    for number in (3, 10):
        (folder / f"train_data_batch_{number}").unlink()
    with pytest.raises(DataError, match=r"lacks train_data_batch_3, train_data_batch_10 .* It has train"):
        open_originals(folder, NONE)
    assert len(open_originals(folder, NONE, part="val").labels) == 12
    with pytest.raises(DataError, match=r"is one batch of several: give its folder"):
        open_originals(folder / "train_data_batch_1", NONE)
    np.savez(folder / "val_data.npz", data=np.zeros((2, 192), np.uint8))
    (folder / "val_data").unlink()
    with pytest.raises(DataError, match=r"val_data\.npz has no array 'labels'"):
        open_originals(folder, NONE, part="val")


# --- npz ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9, 8), (8, 8, 1), (8, 9, 3), (8, 8, 4)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, shape: tuple[int, ...], save: Callable[..., None]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, *shape), dtype=np.uint8), rng.permutation(np.arange(40) % 4)
    save(tmp_path / "images.npz", x=x, y=y, classes=np.array(["fox", "cat", "owl", "ape", "none"]))
    originals = open_originals(tmp_path / "images.npz", NONE)
    whole = ImageSet.from_npz(tmp_path / "images.npz")
    assert originals.classes == whole.classes == ("fox", "cat", "owl", "ape")
    assert np.array_equal(originals.labels, whole.labels)
    for size in (8, 12):
        assert np.array_equal(pixels(originals, size), whole.load(range(40), size))
    some = np.array([0, 5, 6, 39])
    assert np.array_equal(pixels(originals, 16, some), whole.load(some, 16))


def test_npz_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    x, y = np.zeros((4, 8, 8, 3), np.uint8), np.arange(4) % 2
    np.savez(path, x=x)
    with pytest.raises(DataError, match=r"has no array 'y' \(it has: x\)"):
        open_originals(path, NONE)
    np.savez(path, x=np.asfortranarray(x.reshape(4, 8, 24)), y=y)
    with pytest.raises(DataError, match="stored column by column"):
        open_originals(path, NONE)
    np.savez(path, x=x, y=y)
    with pytest.raises(DataError, match="has no parts"):
        open_originals(path, NONE, part="val")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"cannot be read: .* Save it again"):
        open_originals(path, NONE)
    np.savez(path, x=np.zeros((4, 8, 8, 3), np.float32), y=y)
    with pytest.raises(DataError, match="the images are float32, not uint8"):
        list(open_originals(path, NONE).read(np.arange(4), 8))
    (tmp_path / "images.tar").write_bytes(b"")
    with pytest.raises(DataError, match="is no ImageNet of a known layout"):
        open_originals(tmp_path / "images.tar", NONE)
