"""An array of an ``.npz`` file that is larger than the memory, read from the first row to the last."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.lib import format as npy

from metad2a.errors import DataError

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def npz_names(path: Path) -> list[str]:
    """Return the names of the arrays in an ``.npz`` file.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _errors(path), np.load(path, allow_pickle=False) as file:
        return list(file.files)


def npz_array(path: Path, name: str) -> np.ndarray:
    """Return one array of an ``.npz`` file, read whole.

    Raises:
        DataError: the file is missing or damaged, or the array is of Python objects.
    """
    with _errors(path), np.load(path, allow_pickle=False) as file:
        array: np.ndarray = file[name]
        return array


class NpzRows:
    """One array of an ``.npz`` file, of which only the shape and type are read at first.

    Args:
        path: of the file.
        name: of the array.

    Attributes:
        shape: of the array.
        dtype: of the array.

    Raises:
        DataError: the file is missing or damaged, or the array is of Python objects or stored column by column.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        with self._open() as (_, shape, dtype):
            self.shape, self.dtype = shape, dtype

    def read(self, wanted: Int[np.ndarray, " I"], at_once: int) -> Iterator[np.ndarray]:
        """Yield the ``wanted`` rows, which ascend, in blocks of up to ``at_once`` rows.

        Raises:
            DataError: the file is damaged.
        """
        size = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        end = int(wanted[-1]) + 1 if len(wanted) else 0
        with self._open() as (file, _, _):
            for start in range(0, end, at_once):
                count = min(at_once, end - start)
                content = file.read(count * size)
                if len(content) < count * size:
                    raise DataError(
                        f"{self.path} is damaged: its array '{self.name}' ends too early. Get it again."
                    )
                chosen = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + count)] - start
                if len(chosen):
                    yield np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])[chosen]

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, tuple[int, ...], np.dtype]]:
        with _errors(self.path), zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as file:
            version = npy.read_magic(file)
            if version not in _HEADERS:
                raise ValueError(f"its array '{self.name}' is of format {version}")
            shape, by_column, dtype = _HEADERS[version](file)
            if dtype.hasobject or by_column or not shape:
                raise ValueError(
                    f"its array '{self.name}' is of Python objects, stored column by column, or a single number"
                )
            yield file, shape, dtype


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read: {error}. Save it again with np.savez.") from error
