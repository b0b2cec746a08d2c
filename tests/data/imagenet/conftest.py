"""ImageNet as others store it, small: the same layouts, a few random images."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metad2a.runtime import numpy_rng

WNIDS = [f"n{number:08d}" for number in (3000000, 1440764, 2119789, 4552348, 1443537, 9999999)]
"""In the order of ImageNet32's labels, which is not their own."""

MakeFolder = Callable[..., Path]


def write_jpeg(path: Path, *key: int | str, size: tuple[int, int] = (20, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = numpy_rng("jpeg", *key).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC).save(path, "JPEG")


@pytest.fixture
def imagenet(tmp_path: Path) -> MakeFolder:
    """Return a function that writes ImageNet's folders: some images a class for training, two for validation."""

    def make(each: int = 3, name: str = "ILSVRC2012", wnids: list[str] = WNIDS) -> Path:
        for wnid in wnids:
            for i in range(each):
                write_jpeg(tmp_path / name / "train" / wnid / f"{wnid}_{10026 + 7 * i}.JPEG", wnid, i)
            for i in range(2):
                write_jpeg(tmp_path / name / "val" / wnid / f"ILSVRC2012_val_{i:08d}.JPEG", wnid, "val", i)
        (tmp_path / name / "train" / ".DS_Store").write_bytes(b"\0")
        (tmp_path / name / "LOC_synset_mapping.txt").write_text("n01440764 tench, Tinca tinca\n")
        return tmp_path / name

    return make


@pytest.fixture
def tiny_imagenet(tmp_path: Path) -> Path:
    """Write Tiny-ImageNet's folders: four images a class for training, three for validation."""
    root = tmp_path / "tiny-imagenet-200"
    boxes, annotations = "{}\t0\t0\t62\t63\n", "{}\t{}\t0\t32\t44\t62\n"
    lines = []
    for wnid in WNIDS:
        names = [f"{wnid}_{i}.JPEG" for i in range(4)]
        for i, name in enumerate(names):
            write_jpeg(root / "train" / wnid / "images" / name, "tiny", wnid, i, size=(64, 64))
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(map(boxes.format, names)))
        lines += [(f"val_{len(lines) + i}.JPEG", wnid) for i in range(3)]
    for name, _ in lines:
        write_jpeg(root / "val" / "images" / name, "tiny", name, size=(64, 64))
    (root / "val" / "val_annotations.txt").write_text("".join(annotations.format(*line) for line in lines))
    write_jpeg(root / "test" / "images" / "test_0.JPEG", "test", size=(64, 64))
    (root / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (root / "words.txt").write_text("".join(f"{wnid}\ta thing, another\n" for wnid in WNIDS))
    return root


@pytest.fixture
def batches(tmp_path: Path) -> MakeFolder:
    """Return a function that writes down-sampled ImageNet: ten batches and that for validation."""

    def make(form: str = "pickle", *, side: int = 8, each: int = 6, classes: int = 6, names: bool = True) -> Path:
        folder = tmp_path / f"Imagenet{side}_{form}"
        folder.mkdir()
        rng = numpy_rng("batches")
        images = rng.integers(0, 256, (classes * each, 3 * side * side), dtype=np.uint8)
        labels = rng.permutation(np.repeat(np.arange(classes), each)) + 1
        parts = {f"train_data_batch_{i + 1}": part for i, part in enumerate(np.array_split(range(len(labels)), 10))}
        for name, rows in (parts | {"val_data": np.argsort(labels, kind="stable")[:: each // 2]}).items():
            batch = {"data": images[rows], "labels": labels[rows].tolist(), "mean": images.mean(0)}
            if name == "val_data":
                del batch["mean"]
            if form == "npz":
                np.savez(folder / f"{name}.npz", **batch)
            else:
                (folder / name).write_bytes(pickle.dumps(batch, 3))
        if names:
            wnids = WNIDS + [f"n{label:08d}" for label in range(1000 - len(WNIDS))]
            text = json.dumps({str(label): wnid for label, wnid in enumerate(wnids, start=1)})
            (folder / "imagenet32_label_to_wnid.json").write_text(text)
        return folder

    return make
