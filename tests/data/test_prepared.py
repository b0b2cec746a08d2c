import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from metad2a.data.cache import FeatureCache, embed
from metad2a.data.embedders.pixels import Pixels
from metad2a.data.image_set import ImageSet
from metad2a.data.imagenet.prepare import ImageNetTasks, prepare_imagenet
from metad2a.data.prepared import Prepared, is_prepared
from metad2a.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
Y = np.arange(30) % 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savez(tmp_path / "birds.npz", x=X, y=Y, classes=np.array(["owl", "emu", "auk"]))
    wanted = ImageNetTasks(resolution=8, classes_per_task=2, tasks=1, valid_tasks=0, valid_classes=0.0)
    return prepare_imagenet(tmp_path / "birds.npz", tmp_path / "birds", wanted).folder


def test_the_same_images_as_those_in_memory(folder: Path, tmp_path: Path) -> None:
    prepared, whole = ImageSet.open(str(folder)), ImageSet.from_npz(tmp_path / "birds.npz")
    assert repr(prepared) == "ImageSet('birds', 30 images, 3 classes)"
    assert prepared.classes == ("auk", "emu", "owl")
    order = np.argsort(2 - Y, kind="stable")
    assert np.array_equal(prepared.load(range(30), 8), X[order])
    assert np.array_equal(prepared.load([4, 20], 12), whole.load(order[[4, 20]], 12))
    assert prepared.content_keys([4, 20]) == whole.content_keys(order[[4, 20]]), "features are shared"
    part = prepared.keep_classes([2, 0]).take([0, 11])
    assert np.array_equal(part.load([0, 1], 8), X[order][[0, 21]])
    assert ImageSet.open(str(prepared.source)).classes == prepared.classes


def test_features(folder: Path, tmp_path: Path) -> None:
    features = embed(ImageSet.open(str(folder)), Pixels(), cache=FeatureCache(tmp_path / "cache"))
    assert features.counts.tolist() == [10, 10, 10]


def test_it_does_not_depend_on_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    images = ImageSet.open("birds")
    monkeypatch.chdir("/")
    assert len(images.load([1], 8)) == 1


def test_folders_of_images_are_not_taken_for_it(make_folder, tmp_path: Path) -> None:
    pets = make_folder()
    for content in ("{}", "[]", "no json", '{"kind": "else"}'):
        (pets / "manifest.json").write_text(content)
        assert not is_prepared(pets)
        assert ImageSet.open(str(pets)).num_classes == 2
        with pytest.raises(DataError, match=r"holds no prepared images|is damaged"):
            Prepared.open(pets)
    with pytest.raises(DataError, match=r"holds no prepared images: it has no manifest\.json"):
        Prepared.open(tmp_path)


def test_damage(folder: Path, tmp_path: Path) -> None:
    def damaged(name: str, content: bytes | None) -> Prepared:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(folder, tmp_path / "copy")
        path = tmp_path / "copy" / name
        path.unlink() if content is None else path.write_bytes(content)
        return Prepared.open(tmp_path / "copy")

    Prepared.open(folder).verify()
    images, labels = ((folder / name).read_bytes() for name in ("images.npy", "labels.npy"))
    for name, content in (("images.npy", images[:-9]), ("images.npy", None), ("labels.npy", labels[:60])):
        with pytest.raises(DataError, match="are damaged"):
            damaged(name, content)
    with pytest.raises(DataError, match="their files do not fit"):
        damaged("labels.npy", labels[:-4] + b"\x07\0\0\0")
    with pytest.raises(DataError, match=r"images\.npy was changed or damaged"):
        damaged("images.npy", images[:-1] + bytes([images[-1] ^ 1])).verify()
    with pytest.raises(DataError, match=r"lacks tasks\.json"):
        damaged("tasks.json", None).verify()
    manifest = json.loads((folder / "manifest.json").read_text())
    for change, message in (
        ({"schema_version": 99}, r"by a newer metad2a \(99"),
        ({"schema_version": "1"}, "is of something else"),
        ({"resolution": 9}, "their files do not fit"),
        ({"classes": ["auk", "emu"]}, "their files do not fit"),
        ({"classes": None}, "are damaged"),
    ):
        with pytest.raises(DataError, match=message):
            damaged("manifest.json", json.dumps(manifest | change).encode())
    del manifest["classes"]
    with pytest.raises(DataError, match="lacks 'classes'"):
        damaged("manifest.json", json.dumps(manifest).encode())
