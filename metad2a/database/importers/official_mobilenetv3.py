"""Importer of the MobileNetV3 databases that MetaD2A (Lee, Hyung and Hwang, ICLR 2021) was trained on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metad2a.data.imagenet.names import NUM_CLASSES, ImageNetNames
from metad2a.database.importers.provenance import file_facts
from metad2a.database.importers.safe_pickle import read_restricted
from metad2a.database.published import MetaDatabase, publish, record_row
from metad2a.database.records import Record, Task, record_key
from metad2a.errors import ArchitectureError, DatabaseError, unknown_name
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3, from_official

SOURCE = "imagenet"
RECIPE = "official"
ORDERS = ("folder", "label")
"""What the class numbers may count: sorted WordNet ids, or ImageNet32's labels."""

_Split = Literal["train", "valid", "test"]
_WHOLE = "collected_database.pt"
_PARTS: dict[_Split, str] = {
    "train": "collected_database_train.pt",
    "valid": "collected_database_valid.pt",
    "test": "collected_database_test.pt",
}
_RECIPE_TEXT = {
    "name": RECIPE,
    "known": "No network was trained: each is a part of Once-for-All's supernet (ofa_mbv3_d234_e346_k357_w1.0), "
    "its classifier restricted to the task's classes, its normalisation measured anew on 2,000 training images. "
    "Accuracy is that of 10 ImageNet validation images a class at 224 pixels.",
}
_NOTES = {
    "origin": "Lee, Hyung and Hwang, 'Rapid Neural Architecture Search by Learning to Generate Graphs from "
    "Datasets', ICLR 2021: meta-training database for MobileNetV3",
    "chosen": "The predictor's database has one random network of each task; the generator's the best of ten "
    "random ones by the trained predictor, the first of which was measured without the new normalisation.",
    "left_out": "Loss, top-5 accuracy, parameters, FLOPs and image transforms of the files are not imported.",
}
_ORDER_NOTES = {
    "folder": "The class numbers are read as positions among the sorted WordNet ids: the order of the image "
    "folders that the networks seem to have been measured on. The authors' training code takes the features of "
    "ImageNet32's label number + 1 for them, in general another class; --classes label does so too.",
    "label": "The class numbers are read as ImageNet32's labels - 1, as the authors' training code reads them. The "
    "networks seem to have been measured on other classes: those at this position among the sorted WordNet ids.",
}
_LICENCE = "ImageNet: its terms of access, research only. The files themselves state no licence."


@dataclass(frozen=True)
class _Entry:
    accuracy: float
    classes: tuple[int, ...]
    arch: Architecture
    split: _Split | None


def import_mobilenetv3(folder: str | Path, out_folder: str | Path, *, classes: str = "folder") -> MetaDatabase:
    """Convert ``collected_database.pt``, or the three parts that the authors' code makes of it, to a database.

    The parts are preferred, because they are a split; test records become the database's ``held_out``. Classes are
    named by their WordNet ids if the folder has ``imagenet32_label_to_wnid.json``, else ``folder 0`` to
    ``folder 999``, or ``label 1`` to ``label 1000``.

    Args:
        folder: with the official files.
        out_folder: for the converted database.
        classes: what the class numbers count, ``folder`` or ``label``; the manifest says why that is a question.

    Raises:
        UnknownNameError: ``classes`` is neither.
        DatabaseError: a file is missing, damaged, refused, or holds something else.
    """
    folder = Path(folder)
    if classes not in ORDERS:
        raise unknown_name("order of the classes", classes, ORDERS)
    entries = _read(folder)
    names = ImageNetNames.beside(folder)
    tasks = {
        numbers: Task(
            source=SOURCE,
            classes=tuple(
                names.of_folder(number) if classes == "folder" else names.of_label(number + 1) for number in numbers
            ),
            images_per_class=None,
            seed=None,
            valid_fraction=None,
        )
        for numbers in dict.fromkeys(entry.classes for entry in entries)
    }
    return publish(
        out_folder,
        name="official-mobilenetv3",
        space=MobileNetV3.name,
        tasks=list(tasks.values()),
        rows=[record_row(record) for record in _records(entries, tasks)],
        recipes={RECIPE: _RECIPE_TEXT},
        sources={SOURCE: _LICENCE},
        command=f"metad2a import metad2a-mobilenetv3 OFFICIAL_FOLDER OUT --classes {classes}",
        notes=_NOTES | {"classes": _ORDER_NOTES[classes], "read": _facts(folder)},
    )


def _records(entries: Sequence[_Entry], tasks: dict[tuple[int, ...], Task]) -> list[Record]:
    space = MobileNetV3()
    ids = {numbers: task.id for numbers, task in tasks.items()}
    seen: Counter[tuple[str, Architecture]] = Counter()
    records = []
    for entry in entries:
        task, text = ids[entry.classes], space.format(entry.arch)
        records.append(
            Record(
                # The same network may be measured twice on a task: the count keeps the keys apart.
                key=record_key(task, space.name, text, RECIPE, seen[task, entry.arch]),
                task=task,
                space=space.name,
                arch=text,
                canonical=space.canonical(entry.arch),
                recipe=RECIPE,
                seed=None,
                status="ok",
                accuracy=entry.accuracy,
                split=entry.split,
            )
        )
        seen[task, entry.arch] += 1
    return records


def _missing(folder: Path) -> list[str]:
    return [name for name in _PARTS.values() if not (folder / name).is_file()]


def _facts(folder: Path) -> list[dict[str, Any]]:
    return [file_facts(folder / name) for name in ([_WHOLE] if _missing(folder) else _PARTS.values())]


def _read(folder: Path) -> list[_Entry]:
    missing = _missing(folder)
    if not missing:
        return [entry for split, name in _PARTS.items() for entry in _read_part(folder / name, split)]
    if len(missing) < len(_PARTS):
        raise DatabaseError(f"{folder} lacks {', '.join(missing)}; give all three parts, or {_WHOLE} alone.")
    path = folder / _WHOLE
    if not path.is_file():
        raise DatabaseError(f"{folder} lacks {_WHOLE}; that, or {', '.join(_PARTS.values())}, are needed.")
    rows = read_restricted(path)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DatabaseError(f"{path} is not the official database: it must be a list of dictionaries.")
    return [
        _entry(path, number, row.get("top1"), row.get("class"), row.get("net"), None)
        for number, row in enumerate(rows)
    ]


def _read_part(path: Path, split: _Split) -> list[_Entry]:
    content = read_restricted(path)
    columns = [content.get(key) for key in ("acc", "class", "net")] if isinstance(content, dict) else [None]
    lengths = {len(column) if isinstance(column, list) else -1 for column in columns}
    if len(lengths) > 1 or -1 in lengths:
        raise DatabaseError(
            f"{path} is not the official database: it must hold equally long lists acc, class, net."
        )
    return [
        _entry(path, number, accuracy, classes, net, split)
        for number, (accuracy, classes, net) in enumerate(zip(*columns, strict=True))
    ]


def _entry(path: Path, number: int, accuracy: Any, classes: Any, net: Any, split: _Split | None) -> _Entry:
    where = f"{path}: entry {number}"
    try:
        numbers = tuple(np.asarray(classes).tolist())
        percent = float(accuracy)
        arch = from_official(net)
    except ArchitectureError as error:
        raise DatabaseError(f"{where}: {error}") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise DatabaseError(f"{where} lacks top1 (or acc), class or net, or they are of the wrong type.") from error
    if not numbers or not set(numbers) <= set(range(NUM_CLASSES)) or len(set(numbers)) < len(numbers):
        raise DatabaseError(f"{where}: its class numbers are not distinct numbers from 0 to {NUM_CLASSES - 1}.")
    if not 0 <= percent <= 100:
        raise DatabaseError(f"{where}: its accuracy {percent:g} is no percentage.")
    return _Entry(percent, numbers, arch, split)
