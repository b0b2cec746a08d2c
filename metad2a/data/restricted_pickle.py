"""Reading pickles of arrays and plain data without running anything they contain.

Unpickling may call any function by its name. Here only the few that rebuild arrays can be named; a file that names
another one is refused before anything of it is called.
"""

import codecs
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from metad2a.errors import DataError, MetaD2AError


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


@contextmanager
def explained(path: Path, kind: str, error: type[MetaD2AError]) -> Iterator[None]:
    """Unpickle ``path`` inside; whatever goes wrong becomes an ``error`` that says what is wrong with the file.

    Args:
        path: of the file.
        kind: what it should be, as in "damaged or no pickle".
        error: class of what is raised.
    """
    try:
        yield
    except error:
        raise
    except BlockedError as blocked:
        raise error(
            f"{path} is not opened: it names {blocked}, which is not needed for data and could run code. "
            "Only open files from where you expect them."
        ) from blocked
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}.") from problem
    except Exception as problem:  # whatever a damaged pickle makes its reader raise
        raise error(
            f"{path} is damaged or no {kind} ({type(problem).__name__}: {problem}). Get it again."
        ) from problem


def read_arrays(path: Path) -> Any:
    """Return the content of a pickle of arrays and plain data, written by any Python.

    Raises:
        DataError: the file is missing or damaged, or would call something that is not allowed; the message names
            it, and nothing was called.
    """
    with explained(path, "pickle", DataError), path.open("rb") as file:
        # The encoding is for what Python 2 wrote; its texts and its bytes are one type.
        return RestrictedUnpickler(file, encoding="latin1").load()
