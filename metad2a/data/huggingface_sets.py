"""Image sets of Hugging Face's library ``datasets``: ``hf:NAME`` of its hub, or local files and folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from metad2a.data.encoded import Encoded, EncodedImages
from metad2a.data.hub import asked_once
from metad2a.data.image_set import ImageSet
from metad2a.data.options import absolute, parse_options, with_options
from metad2a.data.sources import used_classes
from metad2a.errors import DataError, UserError
from metad2a.runtime import cache_dir

OPTIONS = ("split", "config", "image", "label", "root")
_SAVED = ("dataset_info.json", "state.json", "dataset_dict.json")  # what save_to_disk leaves
_READERS = {".parquet": "parquet", ".arrow": "arrow"}
_LABEL_NAMES = ("label", "labels", "class", "category", "target")


def open_huggingface(rest: str) -> ImageSet:
    """Return the set that ``hf:`` is followed by: ``NAME?split=test&config=NAME&image=COLUMN&label=COLUMN``.

    NAME is one of the hub, a folder of ``save_to_disk``, a folder of images or of parquet files, or one parquet
    file. What is downloaded lies where the library keeps it, or in ``root``.

    Raises:
        DataError: the set cannot be had or read, or has no images and labels.
        UnknownNameError: there is no such option.
        UserError: the library is not installed.
    """
    name, _, query = (rest, "", "") if Path(rest).expanduser().exists() else rest.partition("?")
    if not name:
        raise DataError("hf: lacks a name. Give hf:NAME of the hub, or hf:FOLDER.")
    options = parse_options(query, OPTIONS, what=f"hf:{name}")
    if Path(name).expanduser().exists():
        name = absolute(name)
    if "root" in options:
        options["root"] = absolute(options["root"])
    dataset = _load(name, split=options.get("split"), config=options.get("config"), root=options.get("root"))
    return images_of(
        dataset,
        image=options.get("image"),
        label=options.get("label"),
        name=Path(name).stem if Path(name).exists() else name,
        source=with_options(f"hf:{name}", options),
    )


def images_of(
    dataset: Any, *, image: str | None, label: str | None, name: str = "", source: str | None = None
) -> ImageSet:
    """Return the images of a ``datasets.Dataset``; see ``ImageSet.from_huggingface``.

    Raises:
        DataError: it has no such columns, or several; or fewer than two classes.
    """
    from datasets import Dataset, Image

    name = name or str(getattr(dataset, "builder_name", None) or "dataset")
    if not isinstance(dataset, Dataset) or not len(dataset):
        what = "an empty one" if isinstance(dataset, Dataset) else f"a {type(dataset).__name__}"
        raise DataError(f"hf:{name}: needed is one split of a data set that is not streamed, not {what}.")
    image = _column(name, dataset, "image", image, _image_columns(dataset))
    label = _column(name, dataset, "label", label, _label_columns(dataset))
    labels, classes = _labels(name, dataset, label)
    try:
        closed = dataset.select_columns([image]).cast_column(image, Image(decode=False)).with_format(None)
    except (TypeError, ValueError, NotImplementedError) as error:  # what pyarrow's errors are
        raise DataError(
            f"hf:{name}: column '{image}' holds no images ({error}). Give another: image=COLUMN."
        ) from error
    numbers, names = used_classes(labels, len(dataset), classes, name=name)
    return ImageSet(RowImages(closed, image, name=name), numbers, names, name=name, source=source)


class RowImages(EncodedImages):
    """Encoded images in a column of a data set, which stays on the disk.

    Args:
        dataset: its column ``column`` is of images that are not decoded.
        column: of the images.
        name: of the data set, for messages.
    """

    def __init__(self, dataset: Any, column: str, *, name: str) -> None:
        self._dataset, self._column, self._name = dataset, column, name

    def __len__(self) -> int:
        return len(self._dataset)

    def contents(self, rows: Int[np.ndarray, " I"]) -> list[Encoded]:
        """Return what is in the files at ``rows``, or where they are."""
        cells = self._dataset[rows.tolist()][self._column]
        return [_content(cell) for cell in cells]

    def where(self, row: int) -> str:
        """Return the row, and the data set."""
        return f"row {row} of hf:{self._name}"


def _content(cell: Any) -> Encoded:
    if not cell:
        return b""  # a row without an image: it is reported as any other that cannot be read
    return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"])


# --- its columns ----------------------------------------------------------------------------------------------


def _image_columns(dataset: Any) -> list[str]:
    from datasets import Image

    found = [name for name, feature in dataset.features.items() if isinstance(feature, Image)]
    # Parquet files that other programs wrote do not say that a column holds images.
    return found or [name for name in ("image", "img") if name in dataset.column_names]


def _label_columns(dataset: Any) -> list[str]:
    from datasets import ClassLabel

    found = [name for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)]
    return found or [name for name in _LABEL_NAMES if name in dataset.column_names][:1]


def _column(name: str, dataset: Any, kind: str, asked: str | None, found: Sequence[str]) -> str:
    """Return the column that was asked for, else the only one there is."""
    columns = list(dataset.column_names)
    if asked is not None and asked not in columns:
        raise DataError(f"hf:{name} has no column '{asked}'; it has: {', '.join(columns)}.")
    if asked is None and len(found) != 1:
        which = (
            f"several columns of {kind}s ({', '.join(found)})" if found else f"no column of {kind}s that is known"
        )
        raise DataError(f"hf:{name} has {which}; its columns are {', '.join(columns)}. Choose one: {kind}=COLUMN.")
    return asked or found[0]


def _labels(name: str, dataset: Any, column: str) -> tuple[Int[np.ndarray, " I"], list[str]]:
    """Return class numbers, and the names of the classes."""
    from datasets import ClassLabel

    feature = dataset.features[column]
    cells = dataset.select_columns([column]).with_format("arrow")[:][column]
    values = cells.to_numpy()
    if cells.null_count or (isinstance(feature, ClassLabel) and values.min() < 0):
        raise DataError(
            f"hf:{name}: some images have no {column}. Is it a split without labels? Choose another: split=NAME."
        )
    if isinstance(feature, ClassLabel):
        return values.astype(np.int64), list(feature.names)
    if values.dtype.kind not in "iubO" or not isinstance(values[0], (str, np.integer, np.bool_)):
        raise DataError(
            f"hf:{name}: column '{column}' ({feature}) is no class of each image. Give another: label=COLUMN."
        )
    used, numbers = np.unique(values.astype(str) if values.dtype.kind == "O" else values, return_inverse=True)
    return numbers.astype(np.int64), [str(value) for value in used]


# --- getting one ----------------------------------------------------------------------------------------------


def _load(name: str, *, split: str | None, config: str | None, root: str | None) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"hf:{name} needs the package datasets ({error}). Install it: pip install 'metad2a[huggingface]'."
        ) from error
    path = Path(name)
    if not path.exists():
        return _of_hub(name, split=split, config=config, root=root)
    try:
        if path.is_dir() and any((path / file).is_file() for file in _SAVED):
            return _one_split(name, datasets.load_from_disk(name), split)
        where = root or str(cache_dir() / "huggingface")  # copies of local files are ours to keep
        if path.is_file():
            return datasets.load_dataset(_reader(path), data_files=name, split=split or "train", cache_dir=where)
        return _one_split(name, datasets.load_dataset(name, config, cache_dir=where), split)
    except DataError:
        raise
    except Exception as error:  # of the library, of its readers
        raise DataError(f"hf:{name} cannot be read: {_reason(error)}.") from error


def _of_hub(name: str, *, split: str | None, config: str | None, root: str | None) -> Any:
    import datasets

    silent = ""
    try:
        with asked_once() as silent:
            dataset = datasets.load_dataset(name, config, cache_dir=root)
    except Exception as error:  # of the library, of its readers, of the network
        why = silent if silent and isinstance(error, ConnectionError) else _reason(error)
        raise DataError(
            f"hf:{name} cannot be had: {why}. There is no such file or folder here, so it was looked for on the "
            "hub and among what was downloaded before. Without a network, get it elsewhere (save_to_disk, or its "
            "parquet files) and give the folder: hf:FOLDER."
        ) from error
    return _one_split(name, dataset, split)


def _reader(path: Path) -> str:
    try:
        return _READERS[path.suffix.lower()]
    except KeyError:
        raise DataError(f"hf:{path}: a file must end in {' or '.join(_READERS)}. Give one, or a folder.") from None


def _one_split(name: str, dataset: Any, split: str | None) -> Any:
    """Return the split that was asked for, else the one for training, else the only one."""
    from datasets import DatasetDict

    if not isinstance(dataset, DatasetDict):
        if split is not None:
            raise DataError(f"hf:{name} has no splits. Leave split={split} out.")
        return dataset
    if split is None:
        split = "train" if "train" in dataset or len(dataset) > 1 else next(iter(dataset))
    if split not in dataset:
        raise DataError(f"hf:{name} has no split '{split}'; it has: {', '.join(dataset)}. Choose one: split=NAME.")
    return dataset[split]


def _reason(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
