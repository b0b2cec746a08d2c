import codecs
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.database.safe_pickle import read_restricted
from metad2a.errors import DatabaseError


class Calls:
    """Calls something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("new_format", [True, False])
def test_plain_data_comes_back(new_format: bool, tmp_path: Path) -> None:
    content = {
        "tensor": torch.arange(6).view(2, 3).t(),
        "array": np.arange(4.0).reshape(2, 2),
        "number": np.float64(0.1),
        "text": ["a", (1, 2.5, None, True)],
        "ordered": OrderedDict(a=1),
        "bytes": b"\x00\xff",
    }
    path = tmp_path / "data.pt"
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    found = read_restricted(path)
    assert torch.equal(found["tensor"], content["tensor"])
    assert np.array_equal(found["array"], content["array"])
    assert found["number"] == 0.1
    assert {key: found[key] for key in ("text", "ordered", "bytes")} == {
        key: content[key] for key in ("text", "ordered", "bytes")
    }


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, "COMMAND", r"posix\.system|nt\.system"),
        (eval, "__import__('os').system('COMMAND')", r"builtins\.eval|__builtin__\.eval"),
        (getattr, "x", r"getattr"),
        (codecs.encode, "x", r"_codecs\.encode with 'rot13'"),
        (torch.load, "x", r"torch\.serialization\.load"),
    ],
)
def test_a_file_that_would_run_something_is_refused_and_not_run(
    function: Any, arguments: str, name: str, new_format: bool, tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    text = arguments.replace("COMMAND", f"touch {proof}")
    extra = ["rot13"] if function is codecs.encode else []
    path = tmp_path / "evil.pt"
    torch.save({"acc": [1.0], "x": Calls(function, text, *extra)}, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(DatabaseError, match=name):
        read_restricted(path)
    assert not proof.exists()
    if function is os.system:  # the file really is dangerous
        torch.load(path, weights_only=False)
        assert proof.exists()


def test_a_pickle_in_the_place_of_the_magic_number_is_not_run(tmp_path: Path) -> None:
    proof, path = tmp_path / "proof", tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Calls(os.system, f"touch {proof}"), protocol=2))
    with pytest.raises(DatabaseError, match=r"\.system"):
        read_restricted(path)
    assert not proof.exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(50_000_000))
        archive.writestr("bomb/version", "3")
    with pytest.raises(DatabaseError, match="would unpack to 50,000,001 bytes"):
        read_restricted(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"PK\x03\x04garbage", b"\x80\x02.", pickle.dumps({"a": 1}), b"\x80\x02}q\x00(X", bytes(1000)],
)
def test_garbage_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "garbage.pt"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"garbage\.pt"):
        read_restricted(path)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("new_format", [True, False])
def test_a_cut_file_is_refused(keep: float, new_format: bool, tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    torch.save({"x": torch.arange(1000)}, path, _use_new_zipfile_serialization=new_format)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(DatabaseError, match=r"cut\.pt"):
        read_restricted(path)


def test_programs_and_tar_files_are_refused(tmp_path: Path) -> None:
    script = tmp_path / "script.pt"
    with zipfile.ZipFile(script, "w") as archive:  # what torch.load takes for TorchScript
        archive.writestr("script/constants.pkl", pickle.dumps((), protocol=2))
        archive.writestr("script/data.pkl", pickle.dumps({}, protocol=2))
    with pytest.raises(DatabaseError, match="TorchScript"):
        read_restricted(script)
    tar = tmp_path / "tar.pt"
    with tarfile.open(tar, "w") as tarred:
        tarred.add(__file__, "storages")
    with pytest.raises(DatabaseError, match="tar archive"):
        read_restricted(tar)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"none\.pt"):
        read_restricted(tmp_path / "none.pt")
