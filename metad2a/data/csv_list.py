"""Images by a list: a CSV file with a column of paths and a column of labels."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from jaxtyping import Int

from metad2a.errors import DataError

SUFFIXES = (".csv", ".tsv")
OPTIONS = {"path": "path_column", "label": "label_column", "root": "root", "suffix": "suffix"}
"""What a text may say of a list, and the arguments it is."""
PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img", "id", "image_id")
LABEL_COLUMNS = ("label", "class", "category", "target", "class_name", "species", "labels", "y")
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class CsvList:
    """The images of a list, in its order.

    Attributes:
        paths: of the files that are there.
        labels: class number of each.
        classes: every label of the list, sorted (numbers as numbers), though all its files may be missing.
        missing: what the list names and is not there, with the line where.
    """

    paths: list[Path]
    labels: Int[np.ndarray, " I"]
    classes: tuple[str, ...]
    missing: tuple[str, ...] = ()


def read_list(
    path: Path,
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    root: str | Path | None = None,
    suffix: str = "",
    complete: bool = True,
) -> CsvList:
    """Return the images that a file lists.

    Args:
        path: the file; its first line names the columns, which commas, semicolons, tabs or bars separate.
        path_column: of the paths; the first of ``PATH_COLUMNS`` that there is when not given.
        label_column: of the labels; the first of ``LABEL_COLUMNS`` that there is when not given.
        root: folder that paths start from; that of the list when not given.
        suffix: is put behind every path, for lists of names without an end.
        complete: a file that is missing is an error.

    Raises:
        DataError: the list cannot be read, lacks a column, a path or a label, or names fewer than two classes.
    """
    columns, rows = _read(path)
    path_at = _column(path, columns, "path", path_column, PATH_COLUMNS)
    label_at = _column(path, columns, "label", label_column, LABEL_COLUMNS)
    root = Path(root or path.parent).expanduser().absolute()
    if not root.is_dir():
        raise DataError(
            f"{path}: there is no folder {root} for its paths to start from. Give another ?root=FOLDER."
        )
    names = [_cell(path, line, row, path_at, "path") + suffix for line, row in rows]
    labels = [_cell(path, line, row, label_at, "label") for line, row in rows]
    classes = tuple(sorted(set(labels), key=_number_or_text))
    if len(classes) < 2:
        raise DataError(f"{path} has only one class ('{classes[0]}'). At least two are needed.")
    number = {name: place for place, name in enumerate(classes)}
    there = [(root / name).is_file() for name in names]
    missing = [
        f"{root / name} (line {line})"
        for (line, _), name, is_there in zip(rows, names, there, strict=True)
        if not is_there
    ]
    if missing and (complete or len(missing) == len(rows)):
        raise DataError(_missing(path, missing, len(rows), root))
    return CsvList(
        [root / name for name in compress(names, there)],
        np.array([number[label] for label in compress(labels, there)]),
        classes,
        tuple(missing),
    )


def _cell(path: Path, line: int, row: Sequence[str], place: int, kind: str) -> str:
    text = row[place].strip() if place < len(row) else ""
    if not text:
        raise DataError(f"{path}, line {line}: it has no {kind}. Fill it in or remove the line.")
    return text


def _number_or_text(label: str) -> tuple[float, str]:
    # 10 comes after 9; texts come after all numbers, in their own order.
    try:
        return float(label), label
    except ValueError:
        return float("inf"), label


def _missing(path: Path, missing: Sequence[str], total: int, root: Path) -> str:
    return (
        f"{path}: {len(missing):,} of the {total:,} files that it lists are not there, the first: {missing[0]}. "
        f"Paths start from {root}; if that is wrong, give ?root=FOLDER, and ?suffix=.jpg where names have no end."
    )


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and every other line that is not empty, with its number."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(_DELIMITERS, key=first.count))
            columns = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}. Save it as UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {error}.") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error
    if not rows:
        raise DataError(f"{path} lists no image: needed is a line with the columns' names, and a line an image.")
    return columns, rows


def _column(path: Path, columns: Sequence[str], kind: str, asked: str | None, usual: Sequence[str]) -> int:
    """Return the place of the column that was asked for, else of the first usual one."""
    lower = [name.lower() for name in columns]
    for name in usual if asked is None else (asked.lower(),):
        if name in lower:
            return lower.index(name)
    wanted = f"'{asked}'" if asked else f"for the {kind} ({', '.join(usual[:6])} ...)"
    raise DataError(
        f"{path} has no column {wanted}; it has: {', '.join(columns)}. Name it: {path.name}?{kind}=COLUMN."
    )
