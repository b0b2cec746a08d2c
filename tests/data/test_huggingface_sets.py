"""Files that the library ``datasets`` really wrote, and folders that it reads."""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from metad2a.data.image_set import ImageSet
from metad2a.data.inspection import inspect
from metad2a.errors import UserError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAD2A_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


@pytest.fixture
def pets(make_folder) -> Any:
    """Three cats and three dogs as a data set, whose rows are files."""
    paths = sorted(make_folder().rglob("*.png"))
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "pet": datasets.ClassLabel(names=["cat", "dog"]),
            "name": datasets.Value("string"),
            "age": datasets.Value("int32"),
        }
    )
    columns = {
        "picture": [str(path) for path in paths],
        "pet": [int(path.parent.name == "dog") for path in paths],
        "name": ["Tom", "Spot"] * 3,
        "age": [7, 2, 2, 7, 7, 2],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def folder_images(tmp_path: Path) -> ImageSet:
    return ImageSet.from_folder(tmp_path / "pets")


def check(images: ImageSet, tmp_path: Path) -> None:
    wanted = folder_images(tmp_path)
    assert (images.classes, images.labels.tolist()) == (("cat", "dog"), [0, 0, 0, 1, 1, 1])
    assert images.content_keys([5, 0]) == wanted.content_keys([5, 0])
    assert np.array_equal(images.load(range(6), 12), wanted.load(range(6), 12))


def test_saved_to_disk(pets, tmp_path, monkeypatch) -> None:
    pets.save_to_disk(tmp_path / "saved")
    images = ImageSet.open(f"hf:{tmp_path}/saved")
    assert images.name == "saved"
    check(images, tmp_path)
    monkeypatch.chdir(tmp_path)
    relative = ImageSet.open("hf:saved?label=name")
    assert (relative.classes, relative.labels.tolist()) == (("Spot", "Tom"), [1, 0] * 3)
    monkeypatch.chdir("/")
    assert ImageSet.open(relative.source).classes == relative.classes
    assert ImageSet.open(f"hf:{tmp_path}/saved?label=age").classes == ("2", "7")


def test_splits(pets, tmp_path) -> None:
    both = datasets.DatasetDict({"train": pets, "exam": pets.select([5, 0, 1])})
    both.save_to_disk(tmp_path / "both")
    assert len(ImageSet.open(f"hf:{tmp_path}/both")) == 6
    exam = ImageSet.open(f"hf:{tmp_path}/both?split=exam")
    assert exam.content_keys([0]) == folder_images(tmp_path).content_keys([5])
    datasets.DatasetDict({"all": pets}).save_to_disk(tmp_path / "one")
    assert len(ImageSet.open(f"hf:{tmp_path}/one")) == 6
    with pytest.raises(UserError, match=r"has no split 'test'; it has: train, exam\. Choose one: split=NAME"):
        ImageSet.open(f"hf:{tmp_path}/both?split=test")
    pets.save_to_disk(tmp_path / "none")
    with pytest.raises(UserError, match=r"has no splits\. Leave split=test out"):
        ImageSet.open(f"hf:{tmp_path}/none?split=test")


def test_parquet(pets, tmp_path) -> None:
    (tmp_path / "files").mkdir()
    path = tmp_path / "files" / "train-00000-of-00001.parquet"
    pets.to_parquet(path)
    check(ImageSet.open(f"hf:{path}"), tmp_path)
    check(ImageSet.open(f"hf:{path}?root={tmp_path}/elsewhere"), tmp_path)
    check(ImageSet.open(f"hf:{tmp_path}/files"), tmp_path)
    assert (tmp_path / "cache" / "huggingface").is_dir()
    assert (tmp_path / "elsewhere").is_dir()


def test_parquet_that_another_program_wrote(pets, tmp_path) -> None:
    cells = [{"bytes": path.read_bytes(), "path": None} for path in sorted((tmp_path / "pets").rglob("*.png"))]
    table = pa.table({"image": cells, "label": ["cat"] * 3 + ["dog"] * 3})
    pq.write_table(table, tmp_path / "plain.parquet")
    check(ImageSet.open(f"hf:{tmp_path}/plain.parquet"), tmp_path)


def test_image_folder(make_folder, tmp_path) -> None:
    check(ImageSet.open(f"hf:{make_folder()}"), tmp_path)


def test_a_data_set_in_memory(pets, tmp_path) -> None:
    check(ImageSet.from_huggingface(pets), tmp_path)
    arrays = pets.map(lambda row: {"picture": np.asarray(row["picture"])}, features=pets.features)
    images = ImageSet.from_huggingface(arrays, name="mine")
    assert (images.name, images.source) == ("mine", None)
    assert np.array_equal(images.load([4], 12), folder_images(tmp_path).load([4], 12))


def test_rows_that_cannot_be_read(pets, tmp_path) -> None:
    cells = [{"bytes": b"no picture", "path": None}, None, {"bytes": None, "path": str(tmp_path / "no.png")}]
    rows = datasets.Dataset.from_dict(
        {"picture": cells, "pet": [0, 1, 1]},
        features=datasets.Features({"picture": datasets.Image(), "pet": pets.features["pet"]}),
    )
    images = ImageSet.from_huggingface(datasets.concatenate_datasets([pets, rows]), name="pets")
    found = {finding.kind: finding for finding in inspect(images).findings}
    assert found["unreadable"].examples == (
        "row 6 of hf:pets: is no image",
        "row 7 of hf:pets: is empty",
        "row 8 of hf:pets: cannot be read: No such file or directory",
    )
    for row in (6, 7, 8):
        with pytest.raises(UserError, match=rf"row {row} of hf:pets"):
            images.load([row], 8)


def test_labels_that_are_missing(pets) -> None:
    unlabelled = pets.remove_columns("pet").add_column("pet", [-1] * 6).cast(pets.features)
    with pytest.raises(UserError, match="some images have no pet"):
        ImageSet.from_huggingface(unlabelled)
    unnamed = pets.remove_columns("name").add_column("name", ["x", None] * 3)
    with pytest.raises(UserError, match="some images have no name"):
        ImageSet.from_huggingface(unnamed, label="name")
    numbers = pets.add_column("weight", [0.5] * 6)
    with pytest.raises(UserError, match=r"column 'weight' .* is no class of each image"):
        ImageSet.from_huggingface(numbers, label="weight")


def test_columns_that_do_not_decide(pets) -> None:
    two = pets.add_column("kind", [0, 1] * 3).cast_column("kind", datasets.ClassLabel(names=["a", "b"]))
    with pytest.raises(UserError, match=r"several columns of labels \(pet, kind\).*Choose one: label=COLUMN"):
        ImageSet.from_huggingface(two)
    assert ImageSet.from_huggingface(two, label="kind").classes == ("a", "b")
    with pytest.raises(UserError, match=r"has no column 'kid'; it has: picture, pet"):
        ImageSet.from_huggingface(pets, label="kid")
    with pytest.raises(UserError, match="no column of images that is known; its columns are pet, name, age"):
        ImageSet.from_huggingface(pets.remove_columns("picture"))
    with pytest.raises(UserError, match="column 'age' holds no images"):
        ImageSet.from_huggingface(pets, image="age")
    with pytest.raises(UserError, match="not a DatasetDict"):
        ImageSet.from_huggingface(datasets.DatasetDict({"train": pets}))
    with pytest.raises(UserError, match="not an empty one"):
        ImageSet.from_huggingface(pets.select([]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.png", r"hf:.*x\.png: a file must end in \.parquet or \.arrow"),
        ("x.parquet", r"hf:.*x\.parquet cannot be read: "),
        ("nothing", "hf:.*nothing cannot be read: "),
        ("nothing?image", "Write options as"),
        ("nothing?splt=x", "unknown option of hf:.*nothing 'splt'. Did you mean 'split'"),
    ],
)
def test_local_errors(tmp_path, name: str, message: str) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    (tmp_path / "x.parquet").write_bytes(b"damaged")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match=message):
        ImageSet.open(f"hf:{tmp_path}/{name}")


def test_a_name_is_needed() -> None:
    with pytest.raises(UserError, match="hf: lacks a name"):
        ImageSet.open("hf:?split=train")


def test_offline(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as error:
        ImageSet.open(f"hf:ylecun/mnist?root={tmp_path}/home")
    message = str(error.value)
    assert message.startswith("hf:ylecun/mnist cannot be had: ")
    assert "There is no such file or folder here, so it was looked for on the hub" in message
    assert message.endswith("give the folder: hf:FOLDER.")


def test_a_hub_that_does_not_answer_is_asked_once(tmp_path, monkeypatch, caplog) -> None:
    from datasets import config
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(config, "HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", mock.Mock(side_effect=AssertionError("it waits and tries again")))
    with pytest.raises(UserError, match=r"hf:a/b cannot be had: http://127.0.0.1:9 does not answer \("):
        ImageSet.open(f"hf:a/b?root={tmp_path}/home")
    assert caplog.messages == []
    assert not constants.HF_HUB_OFFLINE
    assert not config.HF_HUB_OFFLINE
