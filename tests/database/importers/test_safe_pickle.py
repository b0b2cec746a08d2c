import codecs
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.database.importers.safe_pickle import Skipped, read_restricted
from metad2a.errors import DatabaseError


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
    function: Any, arguments: str, name: str, new_format: bool, calls: Callable[..., Any], tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    text = arguments.replace("COMMAND", f"touch {proof}")
    extra = ["rot13"] if function is codecs.encode else []
    path = tmp_path / "evil.pt"
    torch.save({"acc": [1.0], "x": calls(function, text, *extra)}, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(DatabaseError, match=name):
        read_restricted(path)
    assert not proof.exists()
    if function is os.system:  # the file really is dangerous
        torch.load(path, weights_only=False)
        assert proof.exists()


def test_a_pickle_in_the_place_of_the_magic_number_is_not_run(calls: Callable[..., Any], tmp_path: Path) -> None:
    proof, path = tmp_path / "proof", tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(calls(os.system, f"touch {proof}"), protocol=2))
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


def test_a_web_page_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "page.pt"
    for text in ("\n<!DOCTYPE html>\n<html>404</html>", "<HTML><body>too many requests</body></HTML>"):
        path.write_text(text)
        with pytest.raises(DatabaseError, match="is a web page, not data"):
            read_restricted(path)


def transform() -> Any:
    from torchvision import transforms

    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    return transforms.Compose([*steps, transforms.Normalize([0.4] * 3, [0.2] * 3)])


@pytest.mark.parametrize("new_format", [True, False])
def test_image_transforms_are_skipped(new_format: bool, tmp_path: Path) -> None:
    path = tmp_path / "transform.pt"
    torch.save({"transform": transform(), "old": 2}, path, _use_new_zipfile_serialization=new_format)
    found = read_restricted(path)
    assert type(found["transform"]) is Skipped
    assert vars(found["transform"]) == {}
    assert found["old"] == 2


def test_transforms_that_hold_something_else_are_refused(calls: Callable[..., Any], tmp_path: Path) -> None:
    from torchvision import transforms

    proof, path = tmp_path / "proof", tmp_path / "evil.pt"
    hidden = transform()
    hidden.transforms.append(calls(os.system, f"touch {proof}"))
    for content, name in ((hidden, r"\.system"), (transforms.Lambda(os.system), r"transforms\.Lambda")):
        torch.save({"transform": content}, path)
        with pytest.raises(DatabaseError, match=name):
            read_restricted(path)
    assert not proof.exists()


def test_parts_of_what_is_allowed_cannot_be_named(tmp_path: Path) -> None:
    """Newer pickles may name attributes with dots, such as a function's globals."""
    path = tmp_path / "dotted.pt"
    dotted = b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dotted/data.pkl", dotted)
        archive.writestr("dotted/version", "3")
    with pytest.raises(DatabaseError, match=r"numpy\.ndarray\.__init__"):
        read_restricted(path)


@pytest.mark.parametrize("new_format", [True, False])
def test_mapped_tensors_are_the_same(new_format: bool, tmp_path: Path) -> None:
    path = tmp_path / "mapped.pt"
    tensors = {0: [torch.arange(12.0).view(3, 4)], 1: [torch.ones(2, 4)]}
    torch.save(tensors, path, _use_new_zipfile_serialization=new_format)
    found = read_restricted(path, mapped=True)
    assert all(torch.equal(found[key][0], tensors[key][0]) for key in tensors)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("new_format", [True, False])
def test_tensors_cannot_reach_beyond_the_file(
    mapped: bool, new_format: bool, calls: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "long.pt"
    storage = torch.zeros(4)._typed_storage()
    for offset, size in ((0, 10**6), (10**6, 4), (-8, 4)):
        rebuild = calls(torch._utils._rebuild_tensor_v2, storage, offset, (size,), (1,), False, OrderedDict())
        torch.save({"x": rebuild}, path, _use_new_zipfile_serialization=new_format)
        with pytest.raises(DatabaseError, match="is damaged"):
            read_restricted(path, mapped=mapped)["x"].sum()
