"""Reading the pickles of benchmarks, some of them larger than memory, without running anything they contain."""

import bz2
import io
import mmap
import pickle
import re
import struct
import warnings
import zipfile
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt32

from metad2a.data.restricted_pickle import ARRAYS, BlockedError, RestrictedUnpickler, explained
from metad2a.database.importers.safe_pickle import Skipped, check_container
from metad2a.errors import DatabaseError

Allowed = Mapping[tuple[str, str], Any]

LARGEST = 2**30
"""Bytes that a compressed file may unpack to."""


def _no_weights(*_arguments: Any) -> Skipped:
    return Skipped()


PLAIN: Allowed = {
    **ARRAYS,
    ("__builtin__", "set"): set,  # its name in protocol 2
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    # Trained weights, which some files hold, are not made: their bytes would be unpickled once more.
    ("torch._utils", "_rebuild_tensor_v2"): _no_weights,
    ("torch.storage", "_load_from_bytes"): _no_weights,
}
"""What plain data, arrays and dictionaries of weights name."""


def read_pickle(path: Path, allowed: Allowed = PLAIN) -> Any:
    """Return the content of a pickle.

    Raises:
        DatabaseError: the file is missing or damaged, or names something that is not ``allowed``.
    """
    return load_pickle(path, read_bytes(path), allowed)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, unpacked if its name ends in ``.pbz2``.

    Raises:
        DatabaseError: the file is missing, damaged, or unpacks to more than ``LARGEST``.
    """
    try:
        if path.suffix != ".pbz2":
            return path.read_bytes()
        with bz2.open(path) as file:
            content = file.read(LARGEST + 1)
    except (OSError, EOFError) as error:
        raise DatabaseError(f"cannot read {path}: {error}. Get it again.") from error
    if len(content) > LARGEST:
        raise DatabaseError(f"{path} is not opened: it would unpack to more than {LARGEST:,} bytes.")
    return content


def load_pickle(path: Path, content: bytes, allowed: Allowed = PLAIN) -> Any:
    """Return what the bytes of ``path`` hold; errors as those of ``read_pickle``."""
    unpickler = RestrictedUnpickler(io.BytesIO(content))
    unpickler.allowed = allowed  # type: ignore[misc]
    return _guarded(path, unpickler.load)


def read_ends_of_curves(path: Path) -> Any:
    """Return the content of a ``.pth`` file in which most is learning curves, keeping only their last epochs.

    Curves are dictionaries ``{epoch: number}`` or ``{"name@epoch": number}``. The file is mapped, not loaded, and
    its curves are stepped over without making objects of their numbers, which fill five times the file's size.

    Raises:
        DatabaseError: as those of ``read_pickle``; or the file holds tensors.
    """
    check_container(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _guarded(path, lambda: _load_torch(path, content))
    except DatabaseError:
        raise
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise DatabaseError(f"cannot read {path}: {error}. Get it again.") from error


def _guarded(path: Path, load: Callable[[], Any]) -> Any:
    with explained(path, "such file", DatabaseError), warnings.catch_warnings():
        # Old numpy wrote its types in a way that new numpy regrets.
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        return load()


# --- pickles larger than memory --------------------------------------------------------------------------------

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
# Runs of a curve's items as protocols 2 and 3 write them: the epoch, or the curve's name and the epoch, which texts
# are numbered, or the number of such a text; then a float.
_FLOAT = rb"G.{8}"
_NAMED = rb"X.\0\0\0[ -?A-~]{1,40}@\d{1,4}(?:q.|r.{4})" + _FLOAT
_EPOCHS = re.compile(rb"(?:K." + _FLOAT + rb"){2,}", re.DOTALL)
_NAMES = re.compile(rb"(?:" + _NAMED + rb"){2,}", re.DOTALL)
_REFERENCES = re.compile(rb"(?:j.{4}" + _FLOAT + rb"){2,}", re.DOTALL)
_NAME = re.compile(rb"X.\0\0\0([ -?A-~]{1,40}@\d{1,4})(?:q(.)|r(.{4}))G(.{8})", re.DOTALL)
_EPOCH = np.dtype([("", "S1"), ("epoch", "u1"), ("", "S1"), ("value", ">f8")])
_REFERENCE = np.dtype([("", "S1"), ("index", "<u4"), ("", "S1"), ("value", ">f8")])

Items = list[tuple[Any, float]]


class _Memo(dict[int, Any]):
    """What a pickle may refer to later. Names of curves' epochs are kept as one tuple a run."""

    def __init__(self) -> None:
        super().__init__()
        self._first: list[int] = []
        self._names: list[tuple[str, ...]] = []
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def add_run(self, indices: list[int], names: tuple[str, ...]) -> tuple[str, ...]:
        """Remember ``names`` and return them, as the same object for equal ones."""
        names = self._known.setdefault(names, names)
        if indices == list(range(indices[0], indices[0] + len(indices))):
            self._first.append(indices[0])
            self._names.append(names)
        else:
            self.update(zip(indices, names, strict=True))
        return names

    def get_run(self, indices: UInt32[np.ndarray, " n"]) -> tuple[Any, ...]:
        """Return what ``indices`` refer to."""
        run = bisect_right(self._first, int(indices[0])) - 1
        names = self._names[run] if run >= 0 and self._first[run] == indices[0] else ()
        if len(names) == len(indices) and (np.diff(indices.astype(np.int64)) == 1).all():
            return names
        return tuple(self[index] for index in indices.tolist())

    def __missing__(self, index: int) -> str:
        run = bisect_right(self._first, index) - 1
        if run < 0 or index - self._first[run] >= len(self._names[run]):
            raise KeyError(index)
        return self._names[run][index - self._first[run]]


class _CurveUnpickler(pickle._Unpickler):
    """Python's own unpickler, which steps over the inner epochs of curves and finds only what ``PLAIN`` names."""

    proto: int
    append: Callable[[Any], None]

    def __init__(self, content: mmap.mmap) -> None:
        super().__init__(content)
        self.memo: _Memo = _Memo()
        self._content = content

    def find_class(self, module: str, name: str) -> Any:
        try:
            return PLAIN[module, name]
        except KeyError:
            raise BlockedError(f"{module}.{name}") from None

    def _load_mark(self) -> None:
        super().load_mark()  # type: ignore[misc]
        if self.proto < 4:  # later ones read ahead, and are read as they are
            self._skip_run()

    def _skip_run(self) -> None:
        start = self._content.tell()
        kind = self._content[start : start + 1]
        pattern, ends = _RUNS.get(kind, (None, None))
        run = pattern.match(self._content, start) if pattern else None
        # Only whole dictionaries, not what merely begins like one.
        if run is None or ends is None or self._content[run.end() : run.end() + 1] != pickle.SETITEMS:
            return
        for key, value in ends(run.group(), self.memo):
            self.append(key)
            self.append(value)
        self._content.seek(run.end())

    dispatch: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch, pickle.MARK[0]: _load_mark}


def _ends_of_epochs(run: bytes, _memo: _Memo) -> Items:
    items = np.frombuffer(run, _EPOCH)
    last = items["epoch"].argmax()
    return [(int(items["epoch"][last]), float(items["value"][last]))]


def _ends_of_names(run: bytes, memo: _Memo) -> Items:
    items = _NAME.findall(run)
    indices = [int.from_bytes(short or long, "little") for _, short, long, _ in items]
    names = memo.add_run(indices, tuple(name.decode() for name, *_ in items))
    return [(names[last], struct.unpack(">d", items[last][3])[0]) for last in _last_epochs(names)]


def _ends_of_references(run: bytes, memo: _Memo) -> Items:
    items = np.frombuffer(run, _REFERENCE)
    names = memo.get_run(items["index"])
    return [(names[last], float(items["value"][last])) for last in _last_epochs(names)]


@lru_cache(maxsize=256)
def _last_epochs(names: tuple[Any, ...]) -> tuple[int, ...]:
    """Return where the last epoch of each curve stands; what is no ``name@epoch`` is a curve of its own."""
    last: dict[Any, tuple[int, int]] = {}
    for place, name in enumerate(names):
        curve, _, epoch = name.rpartition("@") if isinstance(name, str) else (name, "", "")
        key, order = (curve, int(epoch)) if epoch.isdecimal() else (name, 0)
        last[key] = max(last.get(key, (order, place)), (order, place))
    return tuple(place for _, place in last.values())


_RUNS: dict[bytes, tuple[re.Pattern[bytes], Callable[[bytes, _Memo], Items]]] = {
    b"K": (_EPOCHS, _ends_of_epochs),
    b"X": (_NAMES, _ends_of_names),
    b"j": (_REFERENCES, _ends_of_references),
}


def _load_torch(path: Path, content: mmap.mmap) -> Any:
    """Return what torch.save wrote, in its old format or in its new one."""
    if zipfile.is_zipfile(path):
        content.seek(_start_in_archive(path, content))
    else:
        magic, _version, _machine = (_CurveUnpickler(content).load() for _ in range(3))
        if magic != _TORCH_MAGIC:
            raise DatabaseError(f"{path} is no .pth file. Get it again.")
    return _CurveUnpickler(content).load()


def _start_in_archive(path: Path, content: mmap.mmap) -> int:
    with zipfile.ZipFile(path) as archive:
        [member] = [member for member in archive.infolist() if Path(member.filename).name == "data.pkl"]
    name, extra = struct.unpack("<HH", content[member.header_offset + 26 : member.header_offset + 30])
    return member.header_offset + 30 + int(name) + int(extra)
