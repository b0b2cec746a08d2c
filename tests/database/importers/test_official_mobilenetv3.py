import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.database.importers.official_mobilenetv3 import import_mobilenetv3
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError, UnknownNameError
from metad2a.runtime import numpy_rng
from metad2a.spaces.mobilenetv3 import MobileNetV3, to_official


def rows(count: int) -> list[dict[str, Any]]:
    """Return so many entries in the official form, the first two of one task and one network."""
    from torchvision import transforms

    space, rng = MobileNetV3(), numpy_rng("mobilenetv3 rows")
    archs = space.sample(count, rng)
    archs[1] = archs[0]
    classes = [torch.from_numpy(np.sort(rng.choice(1000, size, replace=False))) for size in range(10, 10 + count)]
    classes[1] = classes[0]
    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    return [
        {
            "loss": 0.5,
            "top1": 80.0 + number,
            "top5": 99.0,
            "net": {"wid": None, **to_official(arch)},
            "class": classes[number],
            "params": 5.1,
            "flops": 230.5,
            "test_transform": transform,
        }
        for number, arch in enumerate(archs)
    ]


def write_whole(folder: Path, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(content, folder / "collected_database.pt")
    return folder


def write_parts(folder: Path, entries: list[dict[str, Any]], sizes: dict[str, int]) -> Path:
    """Write the files that the authors' training code makes of the whole."""
    folder.mkdir(exist_ok=True)
    rest = iter(entries)
    for part, size in sizes.items():
        some = [next(rest) for _ in range(size)]
        names = {"acc": "top1", "class": "class", "net": "net", "flops": "flops"}
        columns = {name: [entry[key] for entry in some] for name, key in names.items()}
        torch.save(columns | {"mean": 81.0, "std": 1.5}, folder / f"collected_database_{part}.pt")
    return folder


def check_rows(database: MetaDatabase, entries: list[dict[str, Any]]) -> None:
    space = MobileNetV3()
    assert database.accuracy.tolist() == [entry["top1"] for entry in entries]
    for row, entry in enumerate(entries):
        arch = space.parse(database.records["arch"][row])
        assert to_official(arch) == {key: entry["net"][key] for key in ("ks", "e", "d")}
        assert database.records["canonical"][row] == space.canonical(arch)
        assert database.task_classes[database.task_index[row]] == tuple(
            f"folder {number}" for number in entry["class"].tolist()
        )


def test_the_whole_database(tmp_path: Path) -> None:
    entries = rows(6)
    database = import_mobilenetv3(write_whole(tmp_path / "files", entries), tmp_path / "out")
    assert (database.space, len(database.tasks), len(database.archs)) == ("mobilenetv3", 5, 5)
    check_rows(database, entries)
    assert database.records["key"].nunique() == 6, "a network measured twice is two records"
    with pytest.raises(DatabaseError, match="without a split"):
        database.split_own()
    assert "in general another class" in database.manifest["notes"]["classes"]
    assert "supernet" in database.manifest["recipes"]["official"]["known"]
    assert all(len(facts["sha256"]) == 64 for facts in database.manifest["notes"]["read"])


def test_the_parts_are_a_split(tmp_path: Path) -> None:
    entries = rows(8)
    files = write_parts(tmp_path / "files", entries, {"train": 4, "valid": 2, "test": 2})
    write_whole(files, "the parts come first")
    database = import_mobilenetv3(files, tmp_path / "out")
    check_rows(database, entries[:6])
    assert database.split_own().tolist() == [False] * 4 + [True] * 2
    assert database.held_out["accuracy"].tolist() == [86.0, 87.0]


def test_class_numbers_count_folders_or_labels(write_wnids: Callable[[Path], list[str]], tmp_path: Path) -> None:
    entries = rows(3)
    files = write_whole(tmp_path / "files", entries)
    numbers = entries[2]["class"].tolist()
    by_label = import_mobilenetv3(files, tmp_path / "label", classes="label")
    assert by_label.task_classes[1] == tuple(f"label {number + 1}" for number in numbers)
    wnids = write_wnids(files)
    named = import_mobilenetv3(files, tmp_path / "named")
    assert named.task_classes[1] == tuple(sorted(wnids)[number] for number in numbers)
    by_label = import_mobilenetv3(files, tmp_path / "label", classes="label")
    assert by_label.task_classes[1] == tuple(wnids[number] for number in numbers)
    assert "ImageNet32's labels - 1" in by_label.manifest["notes"]["classes"]
    with pytest.raises(UnknownNameError, match=r"'labels'.*Did you mean 'label'"):
        import_mobilenetv3(files, tmp_path / "out", classes="labels")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"lacks collected_database\.pt; that, or .*_train\.pt"):
        import_mobilenetv3(tmp_path, tmp_path / "out")
    files = write_parts(tmp_path / "files", rows(2), {"train": 1, "valid": 1})
    with pytest.raises(DatabaseError, match=r"lacks collected_database_test\.pt; give all three"):
        import_mobilenetv3(files, tmp_path / "out")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("net", {"ks": [3] * 20, "e": [3] * 20}, "entry 1: .*'d' must be a list of 5"),
        ("net", {"ks": [3] * 20, "e": [5] * 20, "d": [2] * 5}, "entry 1: "),
        ("net", None, "entry 1 lacks top1"),
        ("top1", "high", "entry 1 lacks top1"),
        ("top1", None, "entry 1 lacks top1"),
        ("top1", float("nan"), "entry 1: its accuracy nan is no percentage"),
        ("top1", 100.5, "entry 1: its accuracy 100.5 is no percentage"),
        ("class", torch.tensor([3, 3]), "entry 1: its class numbers are not distinct"),
        ("class", torch.tensor([]), "entry 1: its class numbers are not"),
        ("class", torch.tensor([0.5]), "entry 1: its class numbers are not"),
        ("class", None, "entry 1 lacks"),
        ("class", torch.tensor([1, 1000]), "entry 1: its class numbers are not distinct numbers from 0 to 999"),
    ],
)
def test_damaged_entries_are_refused(key: str, value: Any, message: str, tmp_path: Path) -> None:
    entries = rows(3)
    entries[1][key] = value
    with pytest.raises(DatabaseError, match=message):
        import_mobilenetv3(write_whole(tmp_path / "files", entries), tmp_path / "out")
    parts = write_parts(tmp_path / "parts", entries, {"train": 3, "valid": 0, "test": 0})
    with pytest.raises(DatabaseError, match=message):
        import_mobilenetv3(parts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused(calls: Callable[..., Any], tmp_path: Path) -> None:
    files = write_whole(tmp_path / "files", {"acc": []})
    with pytest.raises(DatabaseError, match="must be a list of dictionaries"):
        import_mobilenetv3(files, tmp_path / "out")
    hostile = rows(2)
    hostile[0]["test_transform"].transforms.append(calls(os.system, f"touch {tmp_path / 'proof'}"))
    with pytest.raises(DatabaseError, match=r"is not opened: it names \w+\.system"):
        import_mobilenetv3(write_whole(files, hostile), tmp_path / "out")
    write_parts(files, rows(3), {"train": 1, "valid": 1, "test": 1})
    torch.save({"acc": [1.0], "class": [], "net": []}, files / "collected_database_test.pt")
    with pytest.raises(DatabaseError, match=r"_test\.pt is not the official database"):
        import_mobilenetv3(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "proof").exists()
