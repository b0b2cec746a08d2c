"""Image sets of torchvision: ``torchvision:NAME``, downloaded, read and checked by torchvision's own code."""

import gzip
import hashlib
import inspect
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from PIL import Image

from metad2a.data.encoded import FileImages
from metad2a.data.image_set import ImageSet
from metad2a.data.item_images import ItemImages
from metad2a.data.options import absolute, parse_options, with_options
from metad2a.data.sources import ArrayImages, ImageSource, used_classes
from metad2a.errors import DataError, UserError, unknown_name
from metad2a.runtime import atomic_path, cache_dir, progress

NAMES = (
    *("CIFAR10", "CIFAR100", "Caltech101", "Caltech256", "Country211", "DTD", "EMNIST", "EuroSAT", "FGVCAircraft"),
    *("FashionMNIST", "Flowers102", "Food101", "GTSRB", "ImageFolder", "ImageNet", "Imagenette", "KMNIST", "MNIST"),
    *("OxfordIIITPet", "PCAM", "Places365", "QMNIST", "RenderedSST2", "SEMEION", "STL10", "SUN397", "SVHN", "USPS"),
)
"""Sets that have images and class numbers; others of torchvision are tried, too."""

_OURS = {"self", "root", "loader", "is_valid_file", "kwargs", "transform", "target_transform", "transforms"}
# Where sets keep class numbers and files; what is found there is compared with what the set itself gives.
_LABELS = ("targets", "labels", "_labels", "y")
_PATHS = ("_images", "_image_files")


def open_torchvision(rest: str) -> ImageSet:
    """Return the set that ``torchvision:`` is followed by: ``NAME?root=FOLDER&split=test``.

    Without ``root`` it is in the cache folder, and downloaded if it is not there yet. Other options are those of
    the class; ``split=train`` and ``split=test`` work for those that know ``train=True`` and ``False``, too.

    Raises:
        DataError: the set is not there and cannot be downloaded, is damaged, or is none of images and classes.
        UnknownNameError: torchvision has no such set, or the set no such option.
        UserError: torchvision is not installed.
    """
    name, _, query = rest.partition("?")
    kind = _kind(name)
    parameters = _parameters(kind)
    spec = f"torchvision:{kind.__name__}"
    options = parse_options(
        query, {"root", "split", *parameters} if "train" in parameters else {"root", *parameters}, what=spec
    )
    root = options.get("root")
    if root is not None:
        options["root"] = root = absolute(root)
        if not Path(root).is_dir():
            raise DataError(f"{spec}: there is no folder {root}.")
    dataset = _make(kind, parameters, root, {key: text for key, text in options.items() if key != "root"})
    return images_of(dataset, name=kind.__name__, source=with_options(spec, options))


def images_of(dataset: Any, *, name: str = "", source: str | None = None) -> ImageSet:
    """Return the images of a data set of torchvision; see ``ImageSet.from_torchvision``.

    Raises:
        DataError: its items are no images with class numbers, or it has fewer than two classes.
    """
    name = name or type(dataset).__name__
    first = dataset[0] if len(dataset) else None
    if not (isinstance(first, tuple) and len(first) == 2 and _is_number(first[1])):
        raise DataError(
            f"torchvision:{name} is no set of images with class numbers: "
            + (f"its items are {_kinds(first)}." if first is not None else "it is empty.")
        )
    if not isinstance(first[0], (str, Path, Image.Image)):
        raise DataError(f"torchvision:{name}: its images are {_kinds(first[0])}. Make it without a transform.")
    images: ImageSource
    if isinstance(first[0], Image.Image):
        labels = _labels(dataset, name)
        images = _arrays(dataset, first[0], name) or _files(dataset, first[0]) or ItemImages(dataset)
    else:  # made with our loader, which opens nothing
        pairs = [dataset[row] for row in range(len(dataset))]
        labels = np.array([int(label) for _, label in pairs])
        images = FileImages([Path(path) for path, _ in pairs])
    numbers, classes = used_classes(labels, len(images), _class_names(dataset, int(labels.max())), name=name)
    return ImageSet(images, numbers, classes, name=name, source=source)


# --- what a set holds -----------------------------------------------------------------------------------------


def _is_number(label: Any) -> bool:
    return isinstance(label, (int, np.integer)) or (getattr(label, "ndim", None) == 0 and float(label).is_integer())


def _kinds(item: Any) -> str:
    names = [type(part).__name__ for part in item] if isinstance(item, tuple) else [type(item).__name__]
    return " and ".join(names)


def _labels(dataset: Any, name: str) -> Int[np.ndarray, " I"]:
    """Return the class numbers, from where the set keeps them if it is one of the usual places."""
    last = len(dataset) - 1
    for attribute in _LABELS:
        found = np.asarray(getattr(dataset, attribute, ()))
        if found.shape == (last + 1,) and found.dtype.kind in "iu" and found[last] == int(dataset[last][1]):
            return found.astype(np.int64)
    rows = progress(range(last + 1), label=f"reading the labels of {name}")
    return np.array([int(dataset[row][1]) for row in rows])


def _arrays(dataset: Any, first: Image.Image, name: str) -> ArrayImages | None:
    """Return the images of a set that has all of them in memory."""
    data: np.ndarray = np.asarray(getattr(dataset, "data", ()))
    if data.dtype != np.uint8 or len(data) != len(dataset) or data.ndim not in (3, 4):
        return None
    if data.ndim == 4 and data.shape[1] in (1, 3) and data.shape[3] not in (1, 3):
        data = data.transpose(0, 2, 3, 1)
    same = data.ndim == 3 or data.shape[-1] in (1, 3)
    return ArrayImages(data, name=name) if same and np.array_equal(data[0], np.asarray(first)) else None


def _files(dataset: Any, first: Image.Image) -> FileImages | None:
    """Return the files of a set that opens them itself, where it keeps their names in one of the usual places."""
    for attribute in _PATHS:
        paths: Sequence[str | Path] = getattr(dataset, attribute, [])
        if len(paths) == len(dataset):
            with Image.open(paths[0]) as image:
                same = np.array_equal(np.asarray(image.convert(first.mode)), np.asarray(first))
            return FileImages([Path(path) for path in paths]) if same else None
    return None


def _class_names(dataset: Any, most: int) -> list[str] | None:
    names = getattr(dataset, "classes", None)
    if not isinstance(names, (list, tuple)) or len(names) <= most:
        return None
    return [name if isinstance(name, str) else ", ".join(map(str, name)) for name in names]


# --- making one -----------------------------------------------------------------------------------------------


def _kind(name: str) -> Any:
    """Return the class that ``name`` means, however it is spelled."""
    try:
        from torchvision import datasets
        from torchvision.datasets.vision import VisionDataset
    except ImportError as error:
        raise UserError(
            f"torchvision:{name} needs torchvision ({error}). Install it: pip install 'metad2a[torchvision]'."
        ) from error
    kinds = {}
    for each in datasets.__all__:
        kind = getattr(datasets, each)
        if isinstance(kind, type) and issubclass(kind, VisionDataset) and kind is not VisionDataset:
            kinds[_plain(each)] = kind
    plain = _plain(name)
    if plain in kinds:
        return kinds[plain]
    close = [known for known in map(_plain, NAMES) if len(plain) > 3 and plain.removesuffix("s") in known]
    if len(close) == 1:  # aircraft, pets
        return kinds[close[0]]
    raise unknown_name("image set of torchvision", name, NAMES)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _parameters(kind: Any) -> dict[str, inspect.Parameter]:
    """Return what can be said of a set of this kind."""
    found: dict[str, inspect.Parameter] = {}
    for each in kind.__mro__:
        own = inspect.signature(each.__init__).parameters
        found = dict(own) | found
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
            break
    return {name: parameter for name, parameter in found.items() if name not in _OURS}


def _make(kind: Any, parameters: Mapping[str, Any], root: str | None, options: Mapping[str, str]) -> Any:
    """Return the data set from ``root``, else from the cache, else from the network."""
    spec = f"torchvision:{kind.__name__}"
    arguments = {name: _value(text) for name, text in options.items()}
    if "split" in arguments and "split" not in parameters:
        if arguments["split"] not in ("train", "test"):
            raise DataError(f"{spec} has the splits train and test, not '{arguments['split']}'.")
        arguments["train"] = arguments.pop("split") == "train"
    if "loader" in inspect.signature(kind).parameters:
        arguments["loader"] = _leave_closed
    place = _with_raw_files(kind, Path(root) if root else cache_dir() / "torchvision")
    if "root" in inspect.signature(kind).parameters:
        arguments["root"] = place
    try:
        return kind(**arguments)
    except Exception as error:  # whatever the readers of some eighty sets raise
        problem = error
    if isinstance(problem, TypeError) or "nknown value" in str(problem):
        raise DataError(f"{spec}: {_first_line(problem)} Options: {', '.join(sorted(parameters))}.") from problem
    if root is not None or "download" in arguments or "download" not in parameters:
        raise DataError(_not_there(kind, spec, place, problem)) from problem
    try:
        place.mkdir(parents=True, exist_ok=True)
        return kind(download=True, **arguments)
    except Exception as error:
        raise DataError(_not_downloaded(kind, spec, place, error)) from error


def _leave_closed(path: Any) -> Any:
    """Stand for torchvision's loader: files are opened here, when they are needed."""
    return path


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if text.isdecimal() else text


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".") + "."


def _inside(kind: Any) -> str:
    inner = getattr(kind, "base_folder", None)
    return f"the folder in which {inner} lies" if isinstance(inner, str) else "the folder that torchvision filled"


def _not_there(kind: Any, spec: str, place: Path, error: Exception) -> str:
    message = f"{spec} cannot be read from {place}: {_first_line(error)}"
    if kind.__name__ == "ImageFolder":
        return message
    return f"{message} Give as root {_inside(kind)}, or leave root out to download it."


def _not_downloaded(kind: Any, spec: str, place: Path, error: Exception) -> str:
    tried = ", ".join(dict.fromkeys(_addresses(vars(kind)))) or "its address"
    why = " ".join(str(error).split()) or type(error).__name__
    return (
        f"{spec} is not in {place}, and downloading it from {tried} failed: {why.rstrip('.')}. Without a network, "
        f"get it elsewhere and say where it is: {spec}?root=FOLDER ({_inside(kind)})."
    )


def _addresses(value: Any) -> Iterable[str]:
    """Yield the addresses among the values of a class, at any depth."""
    if isinstance(value, str):
        if value.startswith(("http://", "https://")):
            yield value
    elif isinstance(value, Mapping):
        yield from _addresses(tuple(value.values()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _addresses(part)


def _with_raw_files(kind: Any, place: Path) -> Path:
    """Return a folder as torchvision wants it, of a folder that holds the files of MNIST or a relative themselves.

    They may be compressed. Nothing is written beside them.
    """
    files = sorted(path for path in place.glob("*-ubyte*") if path.is_file()) if place.is_dir() else []
    if not files or not hasattr(kind, "raw_folder") or (place / kind.__name__).is_dir():
        return place
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    digest = hashlib.blake2b(repr(stats).encode(), digest_size=8).hexdigest()
    arranged = cache_dir() / "torchvision-local" / digest
    for path in files:
        target = arranged / kind.__name__ / "raw" / path.name.removesuffix(".gz")
        if target.exists():
            continue
        with atomic_path(target) as temporary, temporary.open("wb") as out:
            try:
                with (gzip.open if path.suffix == ".gz" else Path.open)(path, "rb") as file:
                    shutil.copyfileobj(file, out)
            except (OSError, EOFError) as error:
                raise DataError(f"{path} is damaged: {error}. Get it again.") from error
    return arranged
