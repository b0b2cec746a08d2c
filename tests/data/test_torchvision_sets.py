"""torchvision's own readers on its own formats: real files where there are any, else small ones."""

import gzip
import hashlib
import pickle
import struct
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from metad2a.data.image_set import ImageSet
from metad2a.data.inspection import inspect
from metad2a.errors import UserError
from metad2a.runtime import numpy_rng

datasets = pytest.importorskip("torchvision.datasets")

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
PARTS = (("train", 30), ("t10k", 20))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAD2A_CACHE", str(tmp_path / "cache"))


def pixels(*shape: int) -> np.ndarray:
    return numpy_rng("torchvision", *shape).integers(0, 256, shape, dtype=np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_idx(folder: Path) -> Path:
    """Write gray images of 28 x 28 pixels and 10 classes in the format of MNIST, compressed."""
    folder.mkdir(parents=True)
    for part, count in PARTS:
        labels = np.arange(count, dtype=np.uint8) % 10
        for name, head, data in (
            ("images-idx3", struct.pack(">4i", 0x803, count, 28, 28), pixels(count, 28, 28)),
            ("labels-idx1", struct.pack(">2i", 0x801, count), labels),
        ):
            with gzip.GzipFile(folder / f"{part}-{name}-ubyte.gz", "wb", mtime=0) as file:
                file.write(head + data.tobytes())
    return folder


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_debian() -> None:
    test = ImageSet.open(f"torchvision:fashion-mnist?root={DEBIAN}&split=test")
    train = ImageSet.open(f"torchvision:FashionMNIST?root={DEBIAN}")
    assert (len(train), len(test), train.name) == (60_000, 10_000, "FashionMNIST")
    assert train.counts.tolist() == [6000] * 10
    assert train.classes[:3] == ("T-shirt/top", "Trouser", "Pullover")
    again = ImageSet.open(test.source)
    assert np.array_equal(again.load([9], 28), test.load([9], 28))
    # Trousers are tall and narrow: dark at the sides. Bags are not.
    sides = [test.load(np.flatnonzero(test.labels == c)[:200], 28)[:, :, :4].mean() for c in (1, 8)]
    assert sides[0] < 5 < 20 < sides[1]


def test_a_folder_of_raw_files_needs_no_arranging(tmp_path) -> None:
    raw = write_idx(tmp_path / "files")
    images = ImageSet.open(f"torchvision:mnist?root={raw}&split=test")
    assert (len(images), images.num_classes, images.classes[3]) == (20, 10, "3 - three")
    assert np.array_equal(images.load([7], 28)[0, ..., 1], pixels(20, 28, 28)[7])
    assert sorted(path.name for path in raw.iterdir()) == sorted(
        f"{part}-{name}-ubyte.gz" for part, _ in PARTS for name in ("images-idx3", "labels-idx1")
    )
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b damaged")
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte\.gz is damaged"):
        ImageSet.open(f"torchvision:mnist?root={raw}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve files of MNIST's format, as a mirror does."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(write_idx(tmp_path / "served")))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/"
        serving.shutdown()


def test_downloading_and_then_finding_it_in_the_cache(server, tmp_path, monkeypatch) -> None:
    files = sorted((tmp_path / "served").iterdir())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(datasets.KMNIST, "mirrors", [server])
    monkeypatch.setattr(datasets.KMNIST, "resources", [(file.name, md5(file)) for file in files])
    images = ImageSet.open("torchvision:KMNIST")
    assert (len(images), images.source) == (30, "torchvision:KMNIST")
    assert (tmp_path / "cache/torchvision/KMNIST/raw/train-images-idx3-ubyte").is_file()
    monkeypatch.setattr(datasets.KMNIST, "mirrors", ["http://127.0.0.1:9/"])
    assert len(ImageSet.open("torchvision:KMNIST?train=false")) == 20


def test_offline(tmp_path, monkeypatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr("urllib.request._opener", None)  # so that it looks at these
    with pytest.raises(UserError) as error:
        ImageSet.open("torchvision:cifar10")
    message = str(error.value)
    assert message.startswith(f"torchvision:CIFAR10 is not in {tmp_path}/cache/torchvision, and downloading")
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz failed: <urlopen error" in message
    assert message.endswith("torchvision:CIFAR10?root=FOLDER (the folder in which cifar-10-batches-py lies).")


def test_svhn(tmp_path, monkeypatch) -> None:
    x, y = pixels(32, 32, 3, 12), np.array([10, 1, 2] * 4)  # a zero is called 10
    savemat(tmp_path / "test_32x32.mat", {"X": x, "y": y[:, None]})
    listed = datasets.SVHN.split_list | {"test": ["", "test_32x32.mat", md5(tmp_path / "test_32x32.mat")]}
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)
    images = ImageSet.open(f"torchvision:svhn?root={tmp_path}&split=test")
    assert (len(images), images.classes) == (12, ("0", "1", "2"))
    assert images.labels.tolist() == [0, 1, 2] * 4
    assert np.array_equal(images.load([5], 32)[0], x[..., 5])


def test_a_damaged_file_is_told_apart_by_its_checksum(tmp_path) -> None:
    (tmp_path / "test_32x32.mat").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"SVHN cannot be read from .*: Dataset not found or corrupted"):
        ImageSet.open(f"torchvision:SVHN?root={tmp_path}&split=test")


def test_cifar(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    x = pixels(8, 3, 32, 32)
    batch = {"data": x.reshape(8, -1), "labels": [0, 1] * 4}
    for name, content in (("test_batch", batch), ("batches.meta", {"label_names": ["plane", "car"]})):
        (folder / name).write_bytes(pickle.dumps(content))
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", md5(folder / "test_batch")]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    images = ImageSet.open(f"torchvision:cifar-10?root={tmp_path}&split=test")
    assert (images.classes, images.labels.tolist()) == (("plane", "car"), [0, 1] * 4)
    assert np.array_equal(images.load([5], 32)[0], x[5].transpose(1, 2, 0))
    (folder / "test_batch").write_bytes(b"what a stranger wrote is not unpickled")
    with pytest.raises(UserError, match="Dataset not found or corrupted"):
        ImageSet.open(f"torchvision:cifar-10?root={tmp_path}&split=test")


def test_stl10(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    x, files = pixels(4, 3, 96, 96), ("test_X.bin", "test_y.bin")
    (folder / "test_X.bin").write_bytes(x.transpose(0, 1, 3, 2).tobytes())  # stored column by column
    (folder / "test_y.bin").write_bytes(bytes([1, 2, 2, 1]))
    (folder / "class_names.txt").write_text("plane\nbird\n")
    monkeypatch.setattr(datasets.STL10, "train_list", [])
    monkeypatch.setattr(datasets.STL10, "test_list", [[name, md5(folder / name)] for name in files])
    images = ImageSet.open(f"torchvision:stl10?root={tmp_path}&split=test")
    assert (images.classes, images.labels.tolist()) == (("plane", "bird"), [0, 1, 1, 0])
    assert np.array_equal(images.load([3], 96)[0], x[3].transpose(1, 2, 0))


def write_photos(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(pixels(24, 20 + number, 3)).save(folder / name)


def test_dtd(tmp_path) -> None:
    base = tmp_path / "dtd" / "dtd"
    for texture in ("banded", "woven"):
        write_photos(base / "images" / texture, ["1.jpg", "2.jpg"])
    (base / "labels").mkdir()
    (base / "labels" / "val3.txt").write_text("woven/2.jpg\nbanded/1.jpg\n")
    images = ImageSet.open(f"torchvision:dtd?root={tmp_path}&split=val&partition=3")
    assert (images.classes, images.labels.tolist()) == (("banded", "woven"), [1, 0])
    assert images.where(0) == str(base / "images/woven/2.jpg")
    assert images.load([0, 1], 8).shape == (2, 8, 8, 3)


def test_aircraft(tmp_path) -> None:
    data = tmp_path / "fgvc-aircraft-2013b" / "data"
    write_photos(data / "images", ["7.jpg", "8.jpg"])
    (data / "families.txt").write_text("Boeing 707\nA300\n")
    (data / "images_family_test.txt").write_text("8 A300\n7 Boeing 707\n")
    images = ImageSet.open(f"torchvision:aircraft?root={tmp_path}&split=test&annotation_level=family")
    assert (images.classes, images.labels.tolist()) == (("Boeing 707", "A300"), [1, 0])
    assert images.where(0) == str(data / "images/8.jpg")


def test_flowers(tmp_path, monkeypatch) -> None:
    base = tmp_path / "flowers-102"
    write_photos(base / "jpg", [f"image_{number:05d}.jpg" for number in (1, 2, 3)])
    savemat(base / "imagelabels.mat", {"labels": [2, 1, 2]})
    savemat(base / "setid.mat", {"trnid": [1, 2], "valid": [1], "tstid": [3, 2, 1]})
    names = {"label": "imagelabels.mat", "setid": "setid.mat"}
    known = {key: (name, md5(base / name)) for key, name in names.items()}
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", datasets.Flowers102._file_dict | known)
    images = ImageSet.open(f"torchvision:flowers?root={tmp_path}&split=test")
    assert images.labels.tolist() == [1, 0, 1]
    assert images.where(0) == str(base / "jpg/image_00003.jpg")


@pytest.fixture
def eurosat(tmp_path: Path) -> Path:
    for name in ("Forest", "River"):
        folder = tmp_path / "root" / "eurosat" / "2750" / name
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(pixels(64, 64, 3) // (number + 1)).save(folder / f"{name}_{number}.jpg")
    return tmp_path / "root"


def test_files_are_opened_when_they_are_needed(eurosat) -> None:
    (eurosat / "eurosat/2750/River/River_2.jpg").write_bytes(b"not a picture")
    images = ImageSet.open(f"torchvision:EuroSAT?root={eurosat}")
    assert (images.classes, images.counts.tolist()) == (("Forest", "River"), [3, 3])
    assert images.load([0, 4], 16).shape == (2, 16, 16, 3)
    with pytest.raises(UserError, match=r"River_2\.jpg is no image"):
        images.load([5], 16)
    folder = ImageSet.from_folder(eurosat / "eurosat" / "2750")
    assert images.content_keys([0, 1]) == folder.content_keys([0, 1])


def test_image_folder(make_folder) -> None:
    folder = make_folder()
    images = ImageSet.open(f"torchvision:ImageFolder?root={folder}")
    assert images.content_keys(range(6)) == ImageSet.from_folder(folder).content_keys(range(6))


def test_pets(tmp_path) -> None:
    base = tmp_path / "oxford-iiit-pet"
    (base / "images").mkdir(parents=True)
    (base / "annotations").mkdir()
    lines = []
    for number, breed in enumerate(("Abyssinian", "beagle"), start=1):
        for i in range(3):
            Image.fromarray(pixels(20 + i, 30, 3)).save(base / "images" / f"{breed}_{i}.jpg", quality=95)
            lines.append(f"{breed}_{i} {number} {number} 1\n")
    (base / "annotations" / "trainval.txt").write_text("".join(lines))
    images = ImageSet.open(f"torchvision:pets?root={tmp_path}")
    assert images.classes == ("Abyssinian", "Beagle")
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    with Image.open(base / "images" / "beagle_1.jpg") as image:
        assert np.array_equal(images.load([4], 21)[0], np.asarray(image)[:, 4:25])
    assert images.content_keys([2]) == ImageSet.open(images.source).content_keys([2])
    (base / "images" / "beagle_1.jpg").write_bytes(b"no picture")
    found = {finding.kind: finding for finding in inspect(images).findings}
    assert found["unreadable"].examples == (f"{base}/images/beagle_1.jpg: is no image",)


def test_images_that_are_made_one_by_one() -> None:
    images = ImageSet.open("torchvision:fake-data?size=40&num_classes=4&random_offset=3")
    assert (len(images), images.num_classes) == (40, 4)
    made = datasets.FakeData(40, num_classes=4, random_offset=3)[7]
    assert images.labels[7] == made[1]
    assert np.array_equal(images.load([1, 7], 224)[1], np.asarray(made[0]))
    first, second, again = images.content_keys([1, 2, 1])
    assert first == again != second
    assert inspect(images).modes == {"RGB": 40}


def test_an_item_that_cannot_be_made(make_folder) -> None:
    class Opens:
        """Opens its files itself, and says nowhere which."""

        def __init__(self, files: list[Path]) -> None:
            self.files = files

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, row: int) -> tuple[Image.Image, int]:
            with Image.open(self.files[row]) as image:
                return image.convert("L"), int(self.files[row].parent.name == "dog")

    files = sorted(make_folder().rglob("*.png"))
    images = ImageSet.from_torchvision(Opens(files))
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    files[4].write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot read image 4 of Opens: cannot identify image file"):
        images.load([3, 4], 8)
    assert inspect(images).counts == {"0": 3, "1": 2}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cifra10", "Did you mean 'CIFAR10'"),
        ("cifar", "unknown image set of torchvision 'cifar'"),
        ("", "Known: CIFAR10, CIFAR100"),
        ("CIFAR10?splt=test", "unknown option of torchvision:CIFAR10 'splt'. Did you mean 'split'"),
        ("CIFAR10?split=valid", "has the splits train and test, not 'valid'"),
        ("DTD?split=valid", r"Unknown value 'valid' for argument split.*Options: download, partition, split"),
        ("DTD?root=/no/such", "there is no folder /no/such"),
        ("CIFAR10?root=/", r"cannot be read from /: Dataset not found.*folder in which cifar-10-batches-py lies"),
        ("ImageFolder", "torchvision:ImageFolder cannot be read from"),
        ("CocoDetection", "torchvision:CocoDetection: .*annFile"),
    ],
)
def test_errors(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ImageSet.open(f"torchvision:{spec}")


def test_sets_without_classes_and_sets_with_a_transform() -> None:
    from torchvision.transforms import ToTensor

    with pytest.raises(UserError, match=r"FakeData: its images are Tensor\. Make it without a transform"):
        ImageSet.from_torchvision(datasets.FakeData(4, transform=ToTensor()))
    with pytest.raises(UserError, match="no set of images with class numbers: its items are Image and float"):
        ImageSet.from_torchvision(datasets.FakeData(4, target_transform=lambda label: label + 0.5))
    with pytest.raises(UserError, match="it is empty"):
        ImageSet.from_torchvision(datasets.FakeData(0))


def test_a_set_of_ones_own() -> None:
    images = ImageSet.from_torchvision(datasets.FakeData(9, num_classes=3), name="mine")
    assert (images.name, images.source, len(images)) == ("mine", None, 9)
