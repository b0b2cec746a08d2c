"""Importer of the NAS-Bench-201 databases that Lee, Hyung and Hwang (ICLR 2021) trained their models on."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from metad2a.data.imagenet.names import ImageNetNames
from metad2a.database.importers.provenance import file_facts
from metad2a.database.importers.safe_pickle import PickledGraph, read_restricted
from metad2a.database.published import MetaDatabase, publish, record_row
from metad2a.database.records import Record, Task, record_key
from metad2a.errors import DatabaseError, DataError, UserError, unknown_name
from metad2a.spaces.base import ArchBatch
from metad2a.spaces.nasbench201 import OFFICIAL_TOPOLOGY, NASBench201

VALIDATION_ROWS = 400
"""The first entries of the official index are meta-validation, the others meta-training."""
SOURCE = "imagenet32"
RECIPE = "official"
NAMES = {"predictor": RECIPE, "generator": f"{RECIPE}-generator"}
"""Of the imported databases, by the model that they are for."""

_log = logging.getLogger(__name__)

_TASK_LIST, _TASK_JSON = "meta_train_task_lst.pt", "task_classes.json"
_CSV = "records.csv"
_SOURCES = ("pt", "csv")
_RECIPE_TEXT = {
    "name": RECIPE,
    "known": "The files do not say how the networks were trained, on how many images, or from which seeds.",
}
_CHOSEN = {
    "predictor": "The authors pre-selected the architectures: most are in the top decile of NAS-Bench-201 by "
    "CIFAR-10 accuracy. Say so with any result obtained with this database.",
    "generator": "The generator learns from architectures that are good on their tasks; how the authors chose them "
    "the files do not say. Say so with any result obtained with this database.",
}
_LICENCE = "ImageNet (ImageNet32): its terms of access, research only. The files themselves state no licence."

Edges = tuple[tuple[int, int], ...]
_Split = Literal["train", "valid"]


@dataclass(frozen=True)
class _Entries:
    accuracy: Sequence[float]
    task: Sequence[int]
    arch: Sequence[str]
    topology: Edges


def import_official(
    folder: str | Path, out_folder: str | Path, *, which: str | None = None, source: str = "pt"
) -> MetaDatabase:
    """Convert the official files to a published database; both sources give the same records.

    Classes are named by their WordNet ids if the folder has ``imagenet32_label_to_wnid.json``, else ``label 1`` to
    ``label 1000``. A task's images are not part of the files.

    Args:
        folder: with the official files.
        out_folder: for the converted database.
        which: ``predictor`` or ``generator``; what the folder has when not given.
        source: the original ``.pt`` files, which are opened without running anything in them, or the rows of the
            predictor's as ``records.csv`` (the split is read from the ``.pt`` index in both cases).

    Raises:
        UnknownNameError: ``which`` or ``source`` is none of these.
        DataError: the class names cannot be read.
        DatabaseError: a file is missing, damaged, refused, or holds something else; or the folder has both
            databases and ``which`` is not given.
    """
    folder = Path(folder)
    if source not in _SOURCES:
        raise unknown_name("source of the official database", source, _SOURCES)
    if source == "csv" and which == "generator":
        raise DatabaseError(f"{_CSV} holds the predictor's database only. Leave source= out for the generator's.")
    which = "predictor" if source == "csv" else _which(folder, which)
    entries_file, order_file = _entries_file(which), f"meta_train_tasks_{which}_idx.pt"
    needed = (entries_file, order_file, _TASK_LIST) if source == "pt" else (_CSV, order_file, _TASK_JSON)
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise DatabaseError(f"{folder} lacks {', '.join(missing)}; all of {', '.join(needed)} are needed.")
    entries = _read_pt(folder / entries_file) if source == "pt" else _read_csv(folder / _CSV)
    classes = read_restricted(folder / _TASK_LIST) if source == "pt" else _read_json(folder / _TASK_JSON)
    tasks = _tasks(folder, classes, entries.task)
    splits = _splits(folder / order_file, len(entries.accuracy))
    return publish(
        out_folder,
        name=NAMES[which],
        space=NASBench201.name,
        tasks=list(tasks.values()),
        rows=[record_row(record) for record in _records(entries, tasks, splits)],
        recipes={RECIPE: _RECIPE_TEXT},
        sources={SOURCE: _LICENCE},
        command=f"metad2a import metad2a-database OFFICIAL_FOLDER OUT --which {which}",
        notes=_notes(which, entries.topology) | {"read": [file_facts(folder / name) for name in needed]},
    )


def _entries_file(which: str) -> str:
    return f"meta_train_tasks_{which}.pt"


def _which(folder: Path, which: str | None) -> str:
    if which is not None:
        if which not in NAMES:
            raise unknown_name("official database", which, NAMES)
        return which
    found = [name for name in NAMES if (folder / _entries_file(name)).is_file()]
    if len(found) > 1:
        raise DatabaseError(
            f"{folder} holds the databases of the predictor and of the generator. Say which: --which predictor or "
            "--which generator."
        )
    return found[0] if found else "predictor"


def _notes(which: str, topology: Edges) -> dict[str, Any]:
    return {
        "origin": "Lee, Hyung and Hwang, 'Rapid Neural Architecture Search by Learning to Generate Graphs from "
        f"Datasets', ICLR 2021: meta-training database of the {which}",
        "leakage": _CHOSEN[which],
        "left_out": "Whatever the files say beside accuracy, task and architecture is not imported.",
        "topology": [list(edge) for edge in topology],
    }


def _records(entries: _Entries, tasks: dict[int, Task], splits: Sequence[_Split]) -> list[Record]:
    space = NASBench201()
    canonical = {text: space.canonical(space.parse(text)) for text in set(entries.arch)}
    seen: Counter[tuple[int, str]] = Counter()
    records = []
    for number, arch, accuracy, split in zip(entries.task, entries.arch, entries.accuracy, splits, strict=True):
        task = tasks[number].id
        records.append(
            Record(
                # A few pairs were measured twice, from seeds nobody knows: their count keeps the keys apart.
                key=record_key(task, space.name, arch, RECIPE, seen[number, arch]),
                task=task,
                space=space.name,
                arch=arch,
                canonical=canonical[arch],
                recipe=RECIPE,
                seed=None,
                status="ok",
                accuracy=accuracy,
                split=split,
            )
        )
        seen[number, arch] += 1
    return records


def _read_pt(path: Path) -> _Entries:
    content = read_restricted(path)
    content = content if isinstance(content, Mapping) else {}
    graphs = content.get("graph", content.get("g"))  # the authors' code reads the first, their file has the second
    accuracy, task = (_plain(content.get(key)) for key in ("acc", "task"))
    wanted = {"acc": accuracy, "task": task, "graph (or g)": graphs}
    if not all(isinstance(values, list) and values for values in wanted.values()):
        raise DatabaseError(f"{path} is not the official database: it must hold the lists {', '.join(wanted)}.")
    if len({len(values) for values in (*wanted.values(), content.get("str", graphs))}) != 1:
        raise DatabaseError(f"{path} is damaged: its lists have different lengths.")
    archs, topology = _read_graphs(path, graphs)
    _check_texts(path, archs, content.get("str", archs))
    return _entries(path, accuracy, task, archs, topology)


def _plain(values: Any) -> Any:
    """Return a list of numbers, an array or a tensor as a list of Python's numbers."""
    try:
        return np.asarray(values).tolist()
    except (TypeError, ValueError):
        return None


def _read_csv(path: Path) -> _Entries:
    import pandas as pd

    try:
        table = pd.read_csv(path)
        accuracy, task, arch = (table[name].tolist() for name in ("acc", "task", "arch"))
        return _entries(path, accuracy, task, arch, OFFICIAL_TOPOLOGY)
    except (ValueError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise DatabaseError(f"{path} is damaged or has other columns: {error}.") from error


def _entries(path: Path, accuracy: list[Any], task: list[Any], arch: list[Any], topology: Edges) -> _Entries:
    kinds = ((accuracy, int | float), (task, int), (arch, str))
    if not all(isinstance(value, kind) for values, kind in kinds for value in values):
        raise DatabaseError(f"{path} is damaged: accuracies, task numbers or architectures are of the wrong type.")
    if not all(0 <= value <= 100 for value in accuracy):
        raise DatabaseError(f"{path} is damaged: an accuracy is no percentage.")
    return _Entries(accuracy, task, arch, topology)


def _read_graphs(path: Path, graphs: list[Any]) -> tuple[list[str], Edges]:
    """Return the architectures, which the types of the vertices say, and the edges that all graphs have."""
    space = NASBench201()
    edges, types = zip(*(_read_graph(path, row, graph) for row, graph in enumerate(graphs)), strict=True)
    for row, found in enumerate(edges):
        if found != edges[0]:
            raise DatabaseError(f"{path}: the graph of entry {row} has other edges than the first.")
    vertices = torch.tensor(types)
    nothing = torch.zeros(*vertices.shape, space.num_nodes, dtype=torch.bool)  # edges do not say which cell it is
    archs = space.decode(ArchBatch(vertices, nothing, torch.ones_like(vertices, dtype=torch.bool)))
    if None in archs:
        raise DatabaseError(f"{path}: the graph of entry {archs.index(None)} is no cell of NAS-Bench-201.")
    if edges[0] != tuple(sorted(OFFICIAL_TOPOLOGY)):
        _log.warning("%s: the graphs have other edges than those that '%s' gives its graphs", path, space.name)
    return [space.format(arch) for arch in archs if arch is not None], edges[0]


def _read_graph(path: Path, row: int, graph: Any) -> tuple[Edges, list[int]]:
    """Return the sorted edges and the types of the vertices of a graph of eight vertices."""
    count = NASBench201.num_nodes
    try:
        types = [int(kind) for kind in graph.vertex_attributes["type"]]
        edges = tuple(sorted((int(u), int(v)) for u, v in graph.edges))
        fine = isinstance(graph, PickledGraph) and len(types) == count
        fine = fine and all(0 <= u < v < count for u, v in edges)
    except (AttributeError, KeyError, TypeError, ValueError):
        fine = False
    if not fine:
        raise DatabaseError(f"{path}: the graph of entry {row} is no graph of {count} typed vertices.")
    return edges, types


def _check_texts(path: Path, archs: Sequence[str], texts: Sequence[Any]) -> None:
    for row, (arch, text) in enumerate(zip(archs, texts, strict=True)):
        if arch != text:
            raise DatabaseError(f"{path}: the graph of entry {row} is {arch}, its text {text}.")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatabaseError(f"{path} is damaged: {error}.") from error


def _tasks(folder: Path, classes: Any, used: Sequence[int]) -> dict[int, Task]:
    names = ImageNetNames.beside(folder)
    try:
        return {
            number: Task(
                source=SOURCE,
                classes=tuple(names.of_label(label) for label in np.asarray(classes[number]).tolist()),
                images_per_class=None,
                seed=None,
                valid_fraction=None,
            )
            for number in sorted(set(used))
        }
    except (DataError, IndexError, KeyError, TypeError) as error:
        raise DatabaseError(
            f"{folder}: the tasks do not fit the entries ({type(error).__name__}: {error})."
        ) from error


def _splits(path: Path, count: int) -> list[_Split]:
    order = np.asarray(read_restricted(path)).tolist()
    if not isinstance(order, list) or sorted(order) != list(range(count)):
        raise DatabaseError(f"{path} is no order of the {count} entries.")
    valid = set(order[:VALIDATION_ROWS])
    return ["valid" if row in valid else "train" for row in range(count)]
