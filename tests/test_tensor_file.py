"""Tensors with a header: what is read is what was written, and other files are refused by the caller's error."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from metad2a.errors import CheckpointError, DataError, UserError
from metad2a.tensor_file import has_header, read_tensors, write_tensors

HEADER = {"schema_version": 2, "metad2a_version": "9.8.7", "names": ["ä", "b"]}


def read(path: Path, newest: int = 2, error: type[UserError] = DataError) -> Any:
    return read_tensors(path, "mine", newest=newest, stranger="is none of mine.", error=error)


def test_files_give_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    rows = torch.arange(6.0, requires_grad=True).view(2, 3)
    write_tensors(path, "mine", HEADER, {"rows": rows.T, "none": torch.zeros(0)})
    header, tensors = read(path)
    assert header == HEADER
    assert torch.equal(tensors["rows"], rows.T)
    assert tensors["none"].shape == (0,)
    assert has_header(path, "mine")
    assert not has_header(path, "other")
    with pytest.raises(TypeError):
        write_tensors(path, "mine", {"path": path}, {})
    assert read(path)[0] == HEADER, "a file that cannot be written is as it was"


@pytest.mark.parametrize("error", [DataError, CheckpointError])
def test_other_files_are_refused(tmp_path: Path, error: type[UserError]) -> None:
    path = tmp_path / "a.safetensors"
    assert not has_header(path, "mine")
    path.write_text("no tensors")
    assert not has_header(path, "mine")
    with pytest.raises(error, match=r"a\.safetensors is no safetensors file, or a damaged one"):
        read(path, error=error)
    for metadata, words in (
        (None, r"a\.safetensors is none of mine\."),
        ({"mine": "{"}, "the header is damaged"),
        ({"mine": "[]"}, "the header is damaged"),
        ({"mine": "{}"}, "the header is damaged .*schema_version"),
        ({"mine": '{"schema_version": 3}'}, "of unknown version in format 3.* up to 2. Upgrade"),
    ):
        save_file({"x": torch.zeros(1)}, path, metadata=metadata)
        with pytest.raises(error, match=words):
            read(path, error=error)
    write_tensors(path, "mine", HEADER, {})
    with pytest.raises(error, match=r"written by metad2a 9\.8\.7 in format 2; .* up to 1\. Upgrade"):
        read(path, newest=1, error=error)
