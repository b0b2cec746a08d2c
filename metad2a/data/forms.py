"""What a text can name: every form in which images are given, and who opens it."""

from collections.abc import Callable
from pathlib import Path

from metad2a.data.csv_list import OPTIONS, SUFFIXES
from metad2a.data.feature_file import SUFFIX
from metad2a.data.image_set import EMBEDDED, ImageSet
from metad2a.data.options import parse_options
from metad2a.data.prepared import is_prepared, unfinished
from metad2a.errors import DataError

FORMS = (
    "a folder with one sub-folder per class or made by `metad2a data prepare`, a file.npz with x and y, a list.csv "
    "of paths and labels, torchvision:NAME, hf:NAME, embedded:digits or embedded:glyphs, or a file.safetensors of "
    "features"
)


def open_images(spec: str) -> ImageSet:
    """Return the images that ``spec`` names; see ``ImageSet.open``.

    Raises:
        DataError: there are none, or they cannot be used.
        UnknownNameError: there are no images of this name, or there is no such option.
    """
    kind, colon, rest = spec.partition(":")
    if colon and kind in _NAMED:
        return _NAMED[kind](rest)
    path = Path(spec).expanduser()
    if path.suffix.lower() == ".npz" and not path.is_dir():
        return ImageSet.from_npz(path)
    listed = csv_of(spec)
    if listed:
        return ImageSet.from_csv(listed[0], **listed[1])
    if path.suffix.lower() == SUFFIX and path.is_file():
        raise DataError(
            f"{path} holds features, not images. It can be searched with, evaluated and meta-trained on, but "
            "here the pixels are needed: give the images themselves."
        )
    if not path.is_dir():
        problem = "is a file of no supported kind" if path.exists() else "do not exist"
        if unfinished(path).is_dir():
            problem += f" yet ({unfinished(path)} is their beginning: prepare them to the end)"
        raise DataError(f"images '{spec}' {problem}. Give {FORMS}.")
    return ImageSet.from_prepared(path) if is_prepared(path) else ImageSet.from_folder(path)


def image_names() -> list[str]:
    """Return the names that can be opened without a file of one's own; ``hf:`` knows many more."""
    from metad2a.data.torchvision_sets import NAMES

    return [*(f"embedded:{name}" for name in EMBEDDED), *(f"torchvision:{name}" for name in NAMES), "hf:NAME"]


def csv_of(spec: str) -> tuple[Path, dict[str, str]] | None:
    """Return the list that ``spec`` names and the arguments of ``from_csv``; None when it names none.

    Raises:
        DataError: the options are of another form.
        UnknownNameError: there is no such option.
    """
    whole = Path(spec).expanduser()
    base, _, query = (spec, "", "") if whole.exists() else spec.partition("?")
    path = Path(base).expanduser()
    if path.suffix.lower() not in SUFFIXES or path.is_dir():
        return None
    return path, {OPTIONS[key]: text for key, text in parse_options(query, OPTIONS, what=path.name).items()}


def _torchvision(rest: str) -> ImageSet:
    from metad2a.data.torchvision_sets import open_torchvision

    return open_torchvision(rest)


def _huggingface(rest: str) -> ImageSet:
    from metad2a.data.huggingface_sets import open_huggingface

    return open_huggingface(rest)


_NAMED: dict[str, Callable[[str], ImageSet]] = {
    "embedded": ImageSet.embedded,
    "torchvision": _torchvision,
    "hf": _huggingface,
}
