"""Labelled images in an ``.npz`` file."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from metad2a.errors import DataError


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays ``x``, ``y`` and, if it is there, ``classes`` (texts).

    Raises:
        DataError: the file is missing, broken, holds Python objects, or lacks an array.
    """
    if not path.is_file():
        raise DataError(f"image file {path} does not exist.")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no .npz file, or only a part of one. Write it with np.savez(file, x=x, y=y).")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = list(file.files)
            arrays = {key: file[key] for key in ("x", "y", "classes") if key in found}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path} has an array of Python objects, which is refused: reading it could run code. Give all "
                "images one shape and the names one type, and save them again."
            ) from error
        raise DataError(f"{path} is damaged: {error}. Write it again.") from error
    missing = [key for key in ("x", "y") if key not in arrays]
    if missing:
        raise DataError(
            f"{path} has no array '{missing[0]}' (it has: {', '.join(found) or 'nothing'}). "
            "Save it with np.savez(file, x=images, y=labels)."
        )
    if "classes" in arrays:
        arrays["classes"] = np.array([_text(name) for name in arrays["classes"].ravel().tolist()])
    return arrays


def _text(name: object) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
