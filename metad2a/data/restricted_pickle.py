"""Reading pickles of arrays and plain data without running anything they contain.

Unpickling may call any function by its name. Here only the few that rebuild arrays can be named; a file that names
another one is refused before anything of it is called.
"""

import codecs
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from metad2a.errors import DataError


class BlockedError(pickle.UnpicklingError):
    """The file names a function that is not on the list."""


def _encode(text: str, encoding: str) -> bytes:
    # Pickles of protocol 2 write bytes as Latin-1 text. Other codecs are of no use here.
    if encoding != "latin1":
        raise BlockedError(f"_codecs.encode with '{encoding}'")
    return codecs.encode(text, "latin1")


def _scalar(dtype: np.dtype, content: bytes) -> Any:
    if dtype.kind not in "biuf":
        raise BlockedError(f"a numpy scalar of type '{dtype}'")
    return np.frombuffer(content, dtype, count=1)[0]


def _empty_array(_kind: type, _shape: Sequence[int], _code: bytes | str) -> np.ndarray:
    return np.empty(0, np.uint8)  # the array's real shape, type and content follow in its state


def _whole_array(content: bytes | bytearray, dtype: np.dtype, shape: Sequence[int], order: str) -> np.ndarray:
    # What protocol 5 writes. A type of Python objects is refused by numpy itself.
    return np.frombuffer(content, dtype).reshape(shape, order="F" if order == "F" else "C")


ARRAYS: Mapping[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
} | {
    (f"numpy.{core}.{module}", name): function
    for core in ("core", "_core")  # before and since numpy 2
    for module, name, function in (
        ("multiarray", "scalar", _scalar),
        ("multiarray", "_reconstruct", _empty_array),
        ("numeric", "_frombuffer", _whole_array),
    )
}
"""What pickled arrays name, and what answers to it here."""


class RestrictedUnpickler(pickle.Unpickler):
    """Finds only what is on its list.

    Attributes:
        allowed: what answers to which module and name.
    """

    allowed: ClassVar[Mapping[tuple[str, str], Any]] = ARRAYS

    def find_class(self, module: str, name: str) -> Any:
        """Return what answers to a name; called by ``load``."""
        try:
            return self.allowed[module, name]
        except KeyError:
            raise BlockedError(f"{module}.{name}") from None


def refusal(path: Path, error: BlockedError) -> str:
    """Return what to say of a file that is not opened because of ``error``."""
    return (
        f"{path} is not opened: it names {error}, which is not needed for data and could run code. "
        "Only open files from where you expect them."
    )


def read_arrays(path: Path) -> Any:
    """Return the content of a pickle of arrays and plain data, written by any Python.

    Raises:
        DataError: the file is missing or damaged, or would call something that is not allowed; the message names
            it, and nothing was called.
    """
    try:
        with path.open("rb") as file:
            # The encoding is for what Python 2 wrote; its texts and its bytes are one type.
            return RestrictedUnpickler(file, encoding="latin1").load()
    except BlockedError as error:
        raise DataError(refusal(path, error)) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # whatever a damaged pickle makes its reader raise
        raise DataError(
            f"{path} is damaged or no pickle ({type(error).__name__}: {error}). Get it again."
        ) from error
