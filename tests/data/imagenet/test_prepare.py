"""From every layout to a folder that is complete or not there."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from metad2a.data import preparation
from metad2a.data.image_set import ImageSet
from metad2a.data.imagenet import array_files, image_files
from metad2a.data.imagenet.originals import Block
from metad2a.data.imagenet.prepare import ImageNetTasks, prepare_imagenet
from metad2a.data.prepared import Prepared, is_prepared
from metad2a.errors import ConfigError, DataError, OutputError

MakeFolder = Callable[..., Path]
WNIDS = [f"n{number:08d}" for number in (1440764, 1443537, 2119789, 3000000, 4552348, 9999999)]
SMALL = {"resolution": 8, "classes_per_task": 2, "tasks": 5, "valid_tasks": 3, "valid_classes": 0.4}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (array_files, image_files):
        monkeypatch.setattr(module, "BYTES_AT_ONCE", 1000)
    monkeypatch.setattr(preparation, "_COPY_BYTES", 1000)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- what comes out -------------------------------------------------------------------------------------------


def test_folders(imagenet: MakeFolder, tmp_path: Path) -> None:
    source = imagenet(each=4)
    prepared = prepare_imagenet(source, tmp_path / "out", ImageNetTasks(**SMALL))
    images, whole = ImageSet.open(str(tmp_path / "out")), ImageSet.from_folder(source / "train")
    assert images.classes == whole.classes == tuple(WNIDS)
    assert np.array_equal(images.labels, whole.labels)
    assert np.array_equal(images.load(range(24), 8), whole.load(range(24), 8))
    assert images.name == "out"
    assert images.source == str(tmp_path / "out")
    assert sorted(content(tmp_path / "out")) == ["images.npy", "labels.npy", "manifest.json", "tasks.json"]
    assert isinstance(prepared.images, np.memmap), "nothing is read"
    assert prepared.manifest["images_of_class"] == [4] * 6
    assert prepared.manifest["origin"] == {"layout": "image folders", "part": "train", "images": 24}
    assert str(tmp_path) not in (tmp_path / "out/manifest.json").read_text()
    prepared.verify()


def test_tasks(imagenet: MakeFolder, tmp_path: Path) -> None:
    prepare_imagenet(imagenet(each=2), tmp_path / "out", ImageNetTasks(**SMALL))
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())["tasks"]
    assert [task["split"] for task in tasks] == ["train"] * 5 + ["valid"] * 3
    train, valid = (
        {name for task in tasks if task["split"] == part for name in task["classes"]} for part in ("train", "valid")
    )
    assert len(train) == 4
    assert len(valid) == 2
    assert train | valid == set(WNIDS)


@pytest.mark.parametrize("form", ["pickle", "npz"])
def test_batches(batches: MakeFolder, tmp_path: Path, form: str) -> None:
    folder = batches(form, side=8, each=6)
    prepared = prepare_imagenet(folder, tmp_path / "out", ImageNetTasks(**SMALL))
    assert prepared.classes == tuple(WNIDS)
    raw = [array_files._batch(folder / f"train_data_batch_{n}") for n in range(1, 11)] if form == "pickle" else None
    if raw is not None:  # of each class its images in the order of the files
        data = np.concatenate([batch["data"] for batch in raw])
        labels = np.concatenate([batch["labels"] for batch in raw])
        expected = data[labels == 1].reshape(-1, 3, 8, 8).transpose(0, 2, 3, 1)
        assert np.array_equal(prepared.images[prepared.labels == WNIDS.index("n03000000")], expected)
    shutil.rmtree(tmp_path / "out")
    other = prepare_imagenet(
        batches("npz" if form == "pickle" else "pickle"), tmp_path / "out", ImageNetTasks(**SMALL)
    )
    assert np.array_equal(other.images, prepared.images), "both forms hold the same"


def test_images_per_class(batches: MakeFolder, tmp_path: Path) -> None:
    folder = batches(each=6)
    first = prepare_imagenet(folder, tmp_path / "first", ImageNetTasks(**SMALL, images_per_class=4))
    other = prepare_imagenet(folder, tmp_path / "other", ImageNetTasks(**SMALL, images_per_class=4, seed=1))
    whole = prepare_imagenet(folder, tmp_path / "whole", ImageNetTasks(**SMALL, images_per_class=100))
    assert np.bincount(first.labels).tolist() == [4] * 6
    assert np.bincount(whole.labels).tolist() == [6] * 6
    assert not np.array_equal(first.images, other.images)
    assert {image.tobytes() for image in first.images} < {image.tobytes() for image in whole.images}


def test_tasks_of_a_list(batches: MakeFolder, tmp_path: Path) -> None:
    folder, listed = batches(), tmp_path / "lists" / "task_classes.json"
    listed.parent.mkdir()
    listed.write_text("[[1, 2], [2, 4, 5]]")
    prepared = prepare_imagenet(
        folder, tmp_path / "out", ImageNetTasks(resolution=8, task_list=listed, valid_tasks=1)
    )
    names = json.loads((folder / "imagenet32_label_to_wnid.json").read_text())
    used = sorted(names[str(label)] for label in (1, 2, 4, 5))
    assert prepared.classes == tuple(used), "images of other classes are of no use"
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())["tasks"]
    assert [task["classes"] for task in tasks] == [[names["1"], names["2"]], [names["2"], names["4"], names["5"]]]
    assert sorted(task["split"] for task in tasks) == ["train", "valid"]
    listed.write_text("[[1, 2], [2, 400]]")
    with pytest.raises(ConfigError, match=rf"1 of 2 tasks in .* lack, e\.g\. '{names['400']}'; there are"):
        prepare_imagenet(folder, tmp_path / "new", ImageNetTasks(task_list=listed, valid_tasks=0))


def test_names_of_labels_from_elsewhere(batches: MakeFolder, imagenet: MakeFolder, tmp_path: Path) -> None:
    folder = batches(names=True)
    names = shutil.move(folder / "imagenet32_label_to_wnid.json", tmp_path)
    given = prepare_imagenet(folder, tmp_path / "given", ImageNetTasks(**SMALL, wnids=Path(names)))
    assert given.classes == tuple(WNIDS)
    listed = tmp_path / "task_classes.json"
    listed.write_text("[[1, 2], [3, 4]]")
    wanted = ImageNetTasks(resolution=8, task_list=listed, valid_tasks=0)
    beside = prepare_imagenet(imagenet(each=2), tmp_path / "beside", wanted)
    assert set(beside.classes) < set(WNIDS), "the list's labels are named by the file beside the list"


# --- what is interrupted --------------------------------------------------------------------------------------


@pytest.fixture
def blocks_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images of every block that is read; a negative last number stops the reading after so many."""
    counted: list[int] = []
    read = image_files.ImageFiles.read

    def counting(self: image_files.ImageFiles, wanted: np.ndarray, size: int) -> Iterator[Block]:
        for block in read(self, wanted, size):
            if counted and counted[0] < 0 and len(counted) > -counted[0]:
                raise KeyboardInterrupt
            counted.append(len(block.images))
            yield block

    monkeypatch.setattr(image_files.ImageFiles, "read", counting)
    return counted


def test_going_on(
    imagenet: MakeFolder, tmp_path: Path, blocks_read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = imagenet(each=5), tmp_path / "out"
    monkeypatch.setattr(preparation, "_SAVE_EVERY_S", 0.0)
    whole = content(prepare_imagenet(source, tmp_path / "whole", ImageNetTasks(**SMALL)).folder)
    blocks_read[:] = [-3]
    with pytest.raises(KeyboardInterrupt):
        prepare_imagenet(source, out, ImageNetTasks(**SMALL))
    read = sum(blocks_read[1:])
    assert 0 < read < 30
    assert not out.exists()
    with pytest.raises(DataError, match=r"do not exist yet \(.*out\.unfinished is their beginning"):
        ImageSet.open(str(out))
    blocks_read.clear()
    prepare_imagenet(source, out, ImageNetTasks(**SMALL))
    assert sum(blocks_read) == 30 - read, "only what was missing"
    assert content(out) == whole
    assert not out.with_name("out.unfinished").exists()


def test_nothing_is_done_twice(imagenet: MakeFolder, tmp_path: Path, blocks_read: list[int]) -> None:
    source, out = imagenet(each=3), tmp_path / "out"
    prepare_imagenet(source, out, ImageNetTasks(**SMALL))
    before, read = content(out), len(blocks_read)
    prepare_imagenet(source, out, ImageNetTasks(**SMALL))
    assert content(out) == before
    other = prepare_imagenet(source, out, ImageNetTasks(**SMALL | {"tasks": 7}))
    assert len(blocks_read) == read
    assert len(json.loads((out / "tasks.json").read_text())["tasks"]) == 10
    other.verify()


def test_other_images_do_not_replace_these(imagenet: MakeFolder, tmp_path: Path, blocks_read: list[int]) -> None:
    source, out = imagenet(each=3), tmp_path / "out"
    prepare_imagenet(source, out, ImageNetTasks(**SMALL))
    before = content(out)
    for other in (ImageNetTasks(**SMALL | {"resolution": 9}), ImageNetTasks(**SMALL, images_per_class=2)):
        with pytest.raises(OutputError, match=r"prepared from something else, or with other options: metad2a data"):
            prepare_imagenet(source, out, other)
    assert content(out) == before
    blocks_read[:] = [-1]
    with pytest.raises(KeyboardInterrupt):
        prepare_imagenet(source, tmp_path / "new", ImageNetTasks(**SMALL))
    with pytest.raises(OutputError, match=r"new\.unfinished is the beginning of something else"):
        prepare_imagenet(source, tmp_path / "new", ImageNetTasks(**SMALL | {"resolution": 9}))
    with pytest.raises(OutputError, match="something else is there"):
        prepare_imagenet(source, source, ImageNetTasks(**SMALL))


KILLED = """
import os, signal, sys
from metad2a.data import preparation
from metad2a.data.imagenet import image_files
from metad2a.data.imagenet.prepare import ImageNetTasks, prepare_imagenet
preparation._SAVE_EVERY_S, image_files.BYTES_AT_ONCE = 0.0, 1000
write, calls = preparation.Preparation.write, []
def killed(self, images, problems=None):
    write(self, images, problems)
    calls.append(len(images))
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
preparation.Preparation.write = killed
prepare_imagenet(sys.argv[1], sys.argv[2], ImageNetTasks(resolution=8, classes_per_task=2, tasks=5, valid_tasks=3,
    valid_classes=0.4))
"""


def test_a_killed_process(imagenet: MakeFolder, tmp_path: Path, blocks_read: list[int]) -> None:
    source, out = imagenet(each=5), tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, source, out], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    prepared = prepare_imagenet(source, out, ImageNetTasks(**SMALL))
    assert 0 < sum(blocks_read) < 30
    assert np.array_equal(prepared.images, ImageSet.from_folder(source / "train").load(range(30), 8))


# --- what cannot be read or written ---------------------------------------------------------------------------


def break_file(source: Path, wnid: str, number: int) -> Path:
    path = sorted((source / "train" / wnid).iterdir())[number]
    path.write_bytes(path.read_bytes()[:100])
    return path


def test_unreadable_images_are_left_out(
    imagenet: MakeFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = imagenet(each=4)
    broken = [break_file(source, WNIDS[0], 3), break_file(source, WNIDS[3], 0), break_file(source, WNIDS[3], 1)]
    with caplog.at_level(logging.WARNING):
        prepared = prepare_imagenet(source, tmp_path / "out", ImageNetTasks(**SMALL))
    for path, told in zip(broken, prepared.manifest["unreadable"], strict=True):
        assert str(path) in told
        assert f"left out: {told}" in caplog.text
        path.unlink()
    assert prepared.manifest["images_of_class"] == [3, 4, 4, 2, 4, 4]
    prepared.verify()
    whole = ImageSet.from_folder(source / "train")
    assert np.array_equal(prepared.labels, whole.labels)
    assert np.array_equal(prepared.images, whole.load(range(21), 8))
    assert sorted(content(tmp_path / "out")) == ["images.npy", "labels.npy", "manifest.json", "tasks.json"]


def test_a_class_without_a_readable_image(imagenet: MakeFolder, tmp_path: Path) -> None:
    source = imagenet(each=2)
    for number in range(2):
        break_file(source, WNIDS[2], number)
    with pytest.raises(DataError, match=rf"no image of class '{WNIDS[2]}' can be read\. The first problem: cannot"):
        prepare_imagenet(source, tmp_path / "out", ImageNetTasks(**SMALL))
    assert not (tmp_path / "out").exists()


FULL = """
import resource, sys
from metad2a.data.imagenet.prepare import ImageNetTasks, prepare_imagenet
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
prepare_imagenet(sys.argv[1], sys.argv[2], ImageNetTasks(resolution=64, classes_per_task=2, valid_tasks=0))
"""


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no limits of resources here")
def test_a_disk_that_is_too_small(imagenet: MakeFolder, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", FULL, imagenet(each=2), tmp_path / "out"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1, "no signal killed it"
    assert "OutputError: cannot write" in done.stderr
    assert not (tmp_path / "out").exists()


def test_options_that_cannot_be_used(imagenet: MakeFolder, tmp_path: Path) -> None:
    for wrong in ({"resolution": 0}, {"images_per_class": 1}):
        with pytest.raises(ConfigError, match="must be at least"):
            ImageNetTasks(**wrong)
    with pytest.raises(ConfigError, match="are for train tasks, but a task needs 20"):
        prepare_imagenet(imagenet(), tmp_path / "out")
    assert not (tmp_path / "out.unfinished").exists(), "it is told before anything is read"


def test_enlarging_is_told(batches: MakeFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepare_imagenet(batches(side=8), tmp_path / "out", ImageNetTasks(**SMALL | {"resolution": 12}))
    assert "8 pixels a side: at a resolution of 12 there is no more to see" in caplog.text


# --- memory ---------------------------------------------------------------------------------------------------

LIMITED = """
import re, resource, sys
from pathlib import Path
import torch
from metad2a.data.imagenet.prepare import ImageNetTasks, prepare_imagenet
torch.set_num_threads(1)
used = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
limit = used + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
wanted = ImageNetTasks(resolution=int(sys.argv[4]), classes_per_task=2, tasks=1, valid_tasks=0)
prepared = prepare_imagenet(sys.argv[1], sys.argv[2], wanted)
print(prepared.images.nbytes)
try:
    bytearray(int(sys.argv[3]) + 2**20)
except MemoryError:
    print("the limit holds")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("layout", ["folders", "npz", "batches"])
def test_memory_is_bounded(imagenet: MakeFolder, batches: MakeFolder, tmp_path: Path, layout: str) -> None:
    """The images are larger than all the memory that may be used, beside that of the program itself."""
    if layout == "folders":
        source, limit, size = imagenet(each=45), 200 * 2**20, 512
    elif layout == "batches":
        source, limit, size = batches("npz", side=8, each=600), 150 * 2**20, 128
    else:
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 256, (200, 4, 4, 3), dtype=np.uint8).repeat(60, 1).repeat(60, 2), np.arange(200) % 4
        source, limit, size = tmp_path / "images.npz", 100 * 2**20, 500
        np.savez_compressed(source, x=x, y=y)
    arguments = [sys.executable, "-c", LIMITED, source, tmp_path / "out", str(limit), str(size)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written, holds = done.stdout.splitlines()
    assert int(written) > limit
    assert holds == "the limit holds"


# --- real images ----------------------------------------------------------------------------------------------


def test_tiny_imagenet_for_real(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "images" / "tiny_imagenet_16px.npz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    wnids = ImageSet.from_npz(file).classes[:30]
    (tmp_path / "tasks.json").write_text(json.dumps([wnids[:20], wnids[10:]]))
    wanted = ImageNetTasks(resolution=16, task_list=tmp_path / "tasks.json", valid_tasks=1, images_per_class=40)
    prepared = prepare_imagenet(file, tmp_path / "out", wanted)
    assert prepared.manifest["images_of_class"] == [40] * 30
    known = {image.tobytes() for image in ImageSet.from_npz(file).load(range(15_000), 16)}
    assert {image.tobytes() for image in prepared.images} <= known
    assert is_prepared(tmp_path / "out")
    Prepared.open(tmp_path / "out").verify()
