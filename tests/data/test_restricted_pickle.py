import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.data.restricted_pickle import read_arrays
from metad2a.errors import DataError

BATCH = {"data": np.arange(24, dtype=np.uint8).reshape(2, 12), "labels": [3, 1], "mean": np.linspace(0, 1, 12)}


def check(content: Any) -> None:
    assert content.keys() == BATCH.keys()
    assert np.array_equal(content["data"], BATCH["data"])
    assert content["data"].dtype == np.uint8
    assert content["labels"] == [3, 1]
    assert np.array_equal(content["mean"], BATCH["mean"])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps(BATCH, protocol))
    check(read_arrays(tmp_path / "batch"))


def test_a_file_of_numpy_1(tmp_path: Path) -> None:
    text = pickle.dumps(BATCH, 3)
    assert b"numpy._core.multiarray" in text
    (tmp_path / "batch").write_bytes(text.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    check(read_arrays(tmp_path / "batch"))


class _Python2(pickle._Pickler):
    """Writes texts and bytes alike, as Python 2 did."""

    dispatch = pickle._Pickler.dispatch.copy()

    def _text(self, value: str | bytes) -> None:
        content = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = _text


def test_a_file_of_python_2(tmp_path: Path) -> None:
    file = io.BytesIO()
    _Python2(file, 2).dump(BATCH)
    assert b"U\x04data" not in file.getvalue()
    assert pickle.BINSTRING + b"\x04\0\0\0data" in file.getvalue()
    (tmp_path / "batch").write_bytes(file.getvalue())
    check(read_arrays(tmp_path / "batch"))


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps(BATCH | {"mean": _Evil(tmp_path / "made")}, protocol))
    with pytest.raises(DataError, match=r"is not opened: it names (posix|nt)\.mkdir"):
        read_arrays(tmp_path / "batch")
    assert not (tmp_path / "made").exists()
    pickle.loads((tmp_path / "batch").read_bytes())  # noqa: S301
    assert (tmp_path / "made").exists(), "it would have run"


def test_other_codecs_are_refused(tmp_path: Path) -> None:
    text = pickle.dumps(b"\xff\xfe", 2).replace(b"latin1", b"latin2")
    (tmp_path / "batch").write_bytes(text)
    with pytest.raises(DataError, match=r"_codecs\.encode with 'latin2'"):
        read_arrays(tmp_path / "batch")


def test_scalars_of_other_types_are_refused(tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps(np.str_("a")))
    with pytest.raises(DataError, match="a numpy scalar of type"):
        read_arrays(tmp_path / "batch")
    (tmp_path / "batch").write_bytes(pickle.dumps(np.float64(2.5)))
    assert read_arrays(tmp_path / "batch") == 2.5


def test_files_that_are_no_pickles(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*: No such file"):
        read_arrays(tmp_path / "batch")
    for content in (b"", b"<!doctype html>", pickle.dumps(BATCH)[:-30]):
        (tmp_path / "batch").write_bytes(content)
        with pytest.raises(DataError, match=r"batch is damaged or no pickle \(\w+: .*Get it again"):
            read_arrays(tmp_path / "batch")
