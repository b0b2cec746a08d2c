import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from metad2a.data.embedders.resnet18 import OFFICIAL_FINGERPRINT
from metad2a.data.features import FeatureSet
from metad2a.database.importers.official_features import import_features
from metad2a.errors import DatabaseError, DataError, OutputError
from metad2a.runtime import torch_rng


def blocks(*counts: int) -> list[list[torch.Tensor]]:
    """Return what the official files hold for classes of so many images."""
    rng = torch_rng("official features")
    return [[torch.randn(count, 512, generator=rng)] for count in counts]


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("as_list", [True, False])
def test_features_by_class(as_list: bool, new_format: bool, tmp_path: Path) -> None:
    path, out = tmp_path / "cifar10bylabel.pt", tmp_path / "out" / "cifar10.safetensors"
    content = blocks(3, 1, 5)
    torch.save(
        content if as_list else {2: content[2], 0: content[0], 1: content[1]},
        path,
        _use_new_zipfile_serialization=new_format,
    )
    features = import_features(path, out)
    assert (features.name, features.classes, features.embedder) == (
        "cifar10",
        ("0", "1", "2"),
        OFFICIAL_FINGERPRINT,
    )
    for found, [expected] in zip(FeatureSet.load(out).blocks(), content, strict=True):
        assert torch.equal(found, expected)
    described = json.loads(out.with_name("cifar10.safetensors.json").read_text())
    assert described["read"][0]["file"] == "cifar10bylabel.pt"
    assert "terms of their own" in described["licence"]


def test_imagenet32_is_named_as_in_the_databases(write_wnids: Callable[[Path], list[str]], tmp_path: Path) -> None:
    path, out = tmp_path / "imgnet32bylabel.pt", tmp_path / "imgnet32.safetensors"
    torch.save(dict(enumerate(blocks(2, 3, 1))), path)
    assert import_features(path, out).classes == ("label 1", "label 2", "label 3")
    wnids = write_wnids(tmp_path)
    assert import_features(path, out).classes == tuple(wnids[:3])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    given = path.rename(elsewhere / "mine.pt")
    assert import_features(given, out).classes == ("0", "1", "2")
    assert import_features(given, out, wnids=tmp_path / "imagenet32_label_to_wnid.json").classes == tuple(wnids[:3])


def test_what_the_authors_script_leaves_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It saves before it has come to all classes, and drops the axis of a single image."""
    path = tmp_path / "imgnet32bylabel.pt"
    content: dict[int, Any] = dict(enumerate(blocks(2, 3)))
    torch.save(content | {2: [], 3: [torch.ones(512)]}, path)
    with caplog.at_level(logging.WARNING):
        features = import_features(path, tmp_path / "out.safetensors")
    assert features.classes == ("label 1", "label 2", "label 4")
    assert features.counts.tolist() == [2, 3, 1]
    assert "1 of 4 classes have no image" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(3, 512), "no features by class"),
        ({}, "no features by class"),
        ({"cat": blocks(2)[0]}, "no features by class"),
        ({0: []}, "no class with an image"),
        ({0: torch.ones(2, 512)}, "class 0 is no such list"),
        ({0: blocks(2)[0] * 2}, "class 0 is no such list"),
        ([blocks(2)[0], [torch.ones(2, 1280)]], r"class 1 is a tensor \(2, 1280\)"),
        ([[torch.ones(2, 512, dtype=torch.int64)]], r"class 0 is a tensor \(2, 512\) of torch.int64"),
        ({1000: blocks(2)[0]}, "other classes than ImageNet32's"),
    ],
)
def test_other_content_is_refused(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "imgnet32bylabel.pt"
    torch.save(content, path)
    with pytest.raises(DatabaseError, match=message):
        import_features(path, tmp_path / "out.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_damaged_files_leave_nothing_behind(tmp_path: Path) -> None:
    path, out = tmp_path / "pets.pt", tmp_path / "pets.safetensors"
    broken = blocks(2, 3)
    broken[1][0][1, 7] = float("nan")
    torch.save(broken, path)
    with pytest.raises(DataError, match="class '1' is not finite"):
        import_features(path, out)
    torch.save(blocks(20, 30), path)
    whole = path.read_bytes()
    for cut in (0, 1000, len(whole) - 1000):
        path.write_bytes(whole[:cut])
        with pytest.raises(DatabaseError, match=r"pets\.pt is damaged"):
            import_features(path, out)
    path.write_text("<!doctype html><title>Dropbox</title>")
    with pytest.raises(DatabaseError, match="is a web page"):
        import_features(path, out)
    with pytest.raises(DatabaseError, match=r"none\.pt"):
        import_features(tmp_path / "none.pt", out)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"ends in \.safetensors"):
        import_features(path, tmp_path / "out.npz")
    with pytest.raises(OutputError, match=r"pets\.pt"):
        import_features(path, path / "out.safetensors")


PROGRAM = """
import sys, threading, time
from metad2a.database.importers.official_features import import_features

def own_megabytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1000 for line in status if line.startswith("RssAnon"))

def watch():
    while not done.is_set():
        seen.append(own_megabytes())
        time.sleep(0.001)

before, seen, done = own_megabytes(), [], threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
features = import_features(sys.argv[1], sys.argv[2])
done.set()
watcher.join()
print(max(seen) - before, len(seen), len(features))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_a_large_file_is_converted_class_by_class(tmp_path: Path) -> None:
    path = tmp_path / "imgnet32bylabel.pt"
    torch.save({number: [torch.ones(1000, 512)] for number in range(100)}, path)
    assert path.stat().st_size > 200e6
    outcome = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(tmp_path / "imgnet32.safetensors")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    megabytes, looks, images = outcome.stdout.split()
    assert int(images) == 100_000
    assert int(looks) > 10
    assert float(megabytes) < 40, "a class has 2 MB"
