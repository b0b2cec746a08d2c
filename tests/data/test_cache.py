import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from metad2a.data.cache import FeatureCache, choose_images, embed
from metad2a.data.embedders.pixels import Pixels
from metad2a.data.glyphs import glyphs
from metad2a.data.image_set import ImageSet
from metad2a.errors import DataError


class Counting(Pixels):
    """Pixels that count the images they are given."""

    def __init__(self) -> None:
        self.images = 0

    def embed(self, images: UInt8[np.ndarray, "I S S 3"]) -> Float[Tensor, "I F"]:
        self.images += len(images)
        return super().embed(images)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def test_features_are_those_of_the_embedder(cache: FeatureCache) -> None:
    digits = ImageSet.embedded("digits")
    chosen = choose_images(digits, 12, seed=0)
    features = embed(digits, Pixels(), indices=chosen, cache=cache)
    order = np.argsort(digits.labels[chosen], kind="stable")
    assert torch.equal(features.features, Pixels().embed(digits.load(chosen[order], 32)))
    assert features.features.dtype == torch.float32
    assert features.classes == digits.classes
    assert (features.embedder, features.name) == (Pixels.fingerprint, "digits")


def test_second_call_embeds_nothing_and_is_equal(cache: FeatureCache) -> None:
    images, embedder = glyphs(["a", "b"], images_per_class=40), Counting()
    first = embed(images, embedder, cache=cache)
    assert embedder.images == 80
    again = embed(images, embedder, cache=FeatureCache(cache.path.parent))
    assert embedder.images == 80
    assert torch.equal(first.features, again.features)


def test_ten_new_images_embed_ten(make_folder, cache: FeatureCache, tmp_path) -> None:
    folder, embedder = make_folder(images=15), Counting()
    embed(ImageSet.from_folder(folder), embedder, cache=cache)
    for i in range(10):
        Image.new("RGB", (9, 9), (i, 0, 0)).save(folder / "cat" / f"new{i}.png")
    folder.rename(tmp_path / "elsewhere")
    embedder.images = 0
    features = embed(ImageSet.from_folder(tmp_path / "elsewhere"), embedder, cache=cache)
    assert embedder.images == 10
    assert features.counts.tolist() == [25, 15]


def test_the_same_pixels_in_another_form_are_not_embedded_again(make_folder, cache: FeatureCache, tmp_path) -> None:
    """A folder; its pictures as an array that is cut already, and as other files under other names."""
    folder, embedder = make_folder(images=15), Counting()
    images = ImageSet.from_folder(folder)
    features = embed(images, embedder, cache=cache)
    assert embedder.images == 30
    np.savez(tmp_path / "pets.npz", x=images.load(np.arange(30), 32), y=images.labels)
    for path in folder.glob("*/*.png"):
        (tmp_path / "bmp" / path.parent.name).mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.save(tmp_path / "bmp" / path.parent.name / f"copy of {path.stem}.bmp")
    for place in ("pets.npz", "bmp", "pets.npz", "bmp"):
        again = embed(ImageSet.open(str(tmp_path / place)), embedder, cache=cache)
        assert sorted(again.features.sum(1).tolist()) == sorted(features.features.sum(1).tolist())
    assert embedder.images == 30


def test_a_copy_in_another_format_beside_its_original_is_embedded_once(make_folder) -> None:
    folder, embedder = make_folder(images=3), Counting()
    with Image.open(folder / "cat" / "0.png") as image:
        image.save(folder / "cat" / "copy.bmp")
    assert len(embed(ImageSet.from_folder(folder), embedder, cache=None)) == 7
    assert embedder.images == 6


@pytest.mark.parametrize("with_cache", [True, False])
def test_copies_are_embedded_once(cache: FeatureCache, with_cache: bool) -> None:
    x = np.zeros((200, 4, 4), np.uint8)
    x[100:] = 9
    embedder = Counting()
    features = embed(ImageSet.from_arrays(x, np.arange(200) % 2), embedder, cache=cache if with_cache else None)
    assert embedder.images == 2
    assert len(features) == 200
    assert len(features.features.unique(dim=0)) == 2


def test_another_fingerprint_is_another_feature(cache: FeatureCache) -> None:
    images, embedder = glyphs(["a", "b"], images_per_class=3), Counting()
    embed(images, embedder, cache=cache)
    embedder.fingerprint = "other"
    embed(images, embedder, cache=cache)
    assert embedder.images == 12


def test_a_feature_of_another_length_is_not_used(cache: FeatureCache) -> None:
    cache.put({"k": np.ones(3, np.float32)})
    assert cache.get(["k"], dim=4) == {}
    assert cache.get(["k", "unknown"], dim=3)["k"].tolist() == [1, 1, 1]


def test_many_keys(cache: FeatureCache) -> None:
    cache.put({f"k{i}": np.full(2, i, np.float32) for i in range(1300)})
    found = cache.get([f"k{i}" for i in range(1299, -1, -1)], dim=2)
    assert len(found) == 1300
    assert found["k1234"].tolist() == [1234, 1234]


def test_default_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("METAD2A_CACHE", str(tmp_path / "mine"))
    FeatureCache().put({"k": np.ones(1, np.float32)})
    assert (tmp_path / "mine" / "features" / "features.sqlite").is_file()


def no_database(path: Path) -> None:
    path.write_bytes(b"this is no database, not at all" * 300)


def overwritten(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:512] + b"\xff" * (len(content) - 512))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another_table(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE features (something TEXT)")


@pytest.mark.parametrize("damage", [no_database, overwritten, truncated, another_table])
def test_a_damaged_file_is_moved_aside_and_rebuilt(cache: FeatureCache, damage) -> None:
    images, embedder = glyphs(["a", "b"], images_per_class=40), Counting()
    first = embed(images, embedder, cache=cache)
    damage(cache.path)
    with pytest.warns(UserWarning, match="is damaged .* moved to features.damaged"):
        again = embed(images, embedder, cache=cache)
    assert torch.equal(first.features, again.features)
    assert cache.path.with_name("features.damaged").is_file()
    embedder.images = 0
    embed(images, embedder, cache=cache)
    assert embedder.images == 0


def test_a_place_that_cannot_be_written_gives_one_warning(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache, embedder = FeatureCache(tmp_path / "file" / "features"), Counting()
    images = glyphs(["a", "b"], images_per_class=40)
    with pytest.warns(UserWarning, match="features are not cached"):
        features = embed(images, embedder, cache=cache)
    embed(images, embedder, cache=cache)  # warns no more, or it would fail
    assert embedder.images == 160
    assert len(features) == 80


def test_processes_can_write_at_once(tmp_path) -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('error');"
        "import numpy as np; from metad2a.data.cache import FeatureCache;"
        "cache = FeatureCache(sys.argv[1]); me = int(sys.argv[2]);"
        "[cache.put({f'k{me + i}': np.full(50, me + i, np.float32)}) for i in range(20)]"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(start)]) for start in (0, 10)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    found = FeatureCache(tmp_path).get([f"k{i}" for i in range(30)], dim=50)
    assert [found[f"k{i}"][0] for i in range(30)] == list(range(30))


def test_processes_meet_a_damaged_file_at_once(tmp_path) -> None:
    code = (
        "import sys; from metad2a.data.cache import FeatureCache, embed;"
        "from metad2a.data.embedders.pixels import Pixels; from metad2a.data.image_set import ImageSet;"
        "images = ImageSet.open('embedded:digits');"
        "made = embed(images, Pixels(), cache=FeatureCache(sys.argv[1]));"
        "print(len(made), float(made.features.double().sum()))"
    )
    (tmp_path / "features.sqlite").write_bytes(b"this is no database, not at all" * 300)
    command = [sys.executable, "-c", code, str(tmp_path)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    said = [worker.communicate(timeout=120)[0] for worker in workers]
    digits = ImageSet.open("embedded:digits")
    embedder = Counting()
    features = embed(digits, embedder, cache=FeatureCache(tmp_path))
    assert embedder.images == 0, "one of them kept what it made"
    assert said == [f"1797 {float(features.features.double().sum())}\n".encode()] * 2


def test_every_class_needs_an_image() -> None:
    with pytest.raises(DataError, match="class 'b' has no image"):
        embed(glyphs(["a", "b"], images_per_class=3), Pixels(), indices=[0, 1], cache=None)


# --- choose_images --------------------------------------------------------------------------------------------


def test_choose_images() -> None:
    labels = np.array([0] * 30 + [1] * 4 + [2] * 10)
    images = ImageSet.from_arrays(np.zeros((44, 1, 1), np.uint8), labels)
    chosen = choose_images(images, 6, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [6, 4, 6]
    assert len(set(chosen.tolist())) == len(chosen)
    assert np.array_equal(chosen, np.sort(chosen))
    assert np.array_equal(chosen, choose_images(images, 6, seed=0))
    assert not np.array_equal(chosen, choose_images(images, 6, seed=1))


def test_choose_no_images() -> None:
    with pytest.raises(DataError, match="cannot choose 0 images"):
        choose_images(ImageSet.embedded("digits"), 0, seed=0)
