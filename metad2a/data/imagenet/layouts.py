"""Which of the ways to store ImageNet a path is."""

from pathlib import Path

from metad2a.data.imagenet.array_files import BATCH, NpzImages, open_batches
from metad2a.data.imagenet.image_files import class_folders, found_in, open_image_files
from metad2a.data.imagenet.names import ImageNetNames
from metad2a.data.imagenet.originals import Originals
from metad2a.errors import DataError, unknown_name

PARTS = {"train": ("train",), "val": ("val",), "all": ("train", "val")}
KNOWN = (
    "ImageNet's folders (train/n01440764/*.JPEG, val/n01440764/*.JPEG), Tiny-ImageNet's "
    "(train/n01443537/images/*.JPEG, val/images with val_annotations.txt, wnids.txt), the batches of down-sampled "
    "ImageNet (train_data_batch_1 to _10 and val_data, pickled or .npz), and a file.npz with x, y and classes"
)


def open_originals(source: Path, names: ImageNetNames, *, part: str = "train") -> Originals:
    """Return the images that ``source`` holds, whatever the layout.

    Args:
        source: a folder or a file.
        names: of ImageNet32's labels.
        part: ``train``, ``val``, or ``all`` for both.

    Raises:
        DataError: there is nothing, nothing of a known layout, or not all of it.
        UnknownNameError: ``part`` is none of these.
    """
    if part not in PARTS:
        raise unknown_name("part of ImageNet", part, PARTS)
    if not source.exists():
        raise DataError(f"the images {source} do not exist. Known are {KNOWN}.")
    if source.is_file():
        return _open_file(source, part)
    if any(BATCH.fullmatch(entry.name) for entry in source.iterdir()):
        return open_batches(source, PARTS[part], names)
    if class_folders(source) or (source / "train").is_dir() or (source / "val").is_dir():
        return open_image_files(source, PARTS[part])
    raise DataError(f"{source} is no ImageNet of a known layout: it has {found_in(source)}. Known are {KNOWN}.")


def _open_file(path: Path, part: str) -> NpzImages:
    if BATCH.fullmatch(path.name):
        raise DataError(f"{path} is one batch of several: give its folder, {path.parent}.")
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path} is no ImageNet of a known layout. Known are {KNOWN}.")
    if part != "train":
        raise DataError(f"{path} has no parts, so '{part}' cannot be asked for. Leave it out.")
    return NpzImages(path)
