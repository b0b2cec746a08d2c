import bz2
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.database.importers import benchmark_pickles
from metad2a.database.importers.benchmark_pickles import load_pickle, read_ends_of_curves, read_pickle
from metad2a.database.importers.safe_pickle import Skipped
from metad2a.errors import DatabaseError


def curves(epochs: int) -> dict[str, Any]:
    """Two curves a dictionary, epoch by epoch; the dictionaries share the texts of their keys."""
    accuracies: dict[str, float] = {}
    losses: dict[str, float] = {}
    for epoch in range(epochs):
        for name in ("x-valid", "ori-test"):
            key = f"{name}@{epoch}"
            accuracies[key], losses[key] = 50 + epoch / 7, 1 / (epoch + 1)
    return {
        "accuracies": accuracies,
        "losses": losses,
        "train": OrderedDict((epoch, epoch / 3) for epoch in range(epochs)),
        "latency": [0.1, 0.2, 0.3],
        "params": np.float64(1.5),
        "pairs": [1, 2.0, 3, 4.0],
        "named": {"flop": 1.25, "other": 2.5},
        "seeds": {"cifar10": [777, 888]},
    }


def ends(content: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Return ``content`` without the inner epochs of its curves."""
    last = [f"{name}@{epochs - 1}" for name in ("x-valid", "ori-test")]
    shortened = {name: {key: content[name][key] for key in last} for name in ("accuracies", "losses")}
    return content | shortened | {"train": OrderedDict([(epochs - 1, content["train"][epochs - 1])])}


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("epochs", [2, 12, 200])
def test_only_the_ends_of_curves_are_read(epochs: int, new_format: bool, tmp_path: Path) -> None:
    content = {index: curves(epochs) for index in range(100)}
    path = tmp_path / "curves.pth"
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    found = read_ends_of_curves(path)
    shortened = {index: ends(whole, epochs) for index, whole in content.items()}
    # Where the texts' numbers outgrow one byte, dictionaries may be kept whole.
    assert {index: ends(some, epochs) for index, some in found.items()} == shortened
    assert found[99] == shortened[99]


def test_what_only_begins_like_a_curve_is_read_whole(tmp_path: Path) -> None:
    text = "x@1"
    content = {
        "broken": {0: 1.0, 1: 2.0, 2: "not a number", 3: 4.0},
        "names": {"a@0": 1.0, "a@1": 2.0, "a@2": None, "b@7": 1.5},
        "long": {epoch: float(epoch) for epoch in range(255, 300)},
        "once": {5: 1.0},
        "again": [{text: 1.0}, {text: 2.0}, text],
        "tuple": (1, 2.0, 3, 4.0),
    }
    path = tmp_path / "curves.pth"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert read_ends_of_curves(path) == content


def test_most_of_a_large_file_is_not_made(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "curves.pth"
    torch.save({index: curves(200) for index in range(100)}, path, _use_new_zipfile_serialization=False)
    peaks = []
    for read in (read_ends_of_curves, lambda path: torch.load(path, weights_only=False)):
        tracemalloc.start()
        read(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 0.1 * peaks[1]


@pytest.mark.parametrize("new_format", [True, False])
def test_a_file_that_would_run_something_is_refused_and_not_run(
    new_format: bool, calls: Callable[..., Any], tmp_path: Path
) -> None:
    proof, path = tmp_path / "proof", tmp_path / "evil.pth"
    content = {"curves": curves(3), "x": calls(os.system, f"touch {proof}")}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(DatabaseError, match=r"posix\.system|nt\.system"):
        read_ends_of_curves(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)  # the file really is dangerous
    assert proof.exists()


def test_no_command_hides_before_the_data(calls: Callable[..., Any], tmp_path: Path) -> None:
    """The old format begins with three pickles of its own."""
    proof, path = tmp_path / "proof", tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(calls(os.system, f"touch {proof}"), protocol=2))
    with pytest.raises(DatabaseError, match=r"\.system"):
        read_ends_of_curves(path)
    path.write_bytes(b"".join(pickle.dumps(value, protocol=2) for value in (1, 2, {}, {})))
    with pytest.raises(DatabaseError, match=r"is no \.pth file"):
        read_ends_of_curves(path)
    assert not proof.exists()


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("new_format", [True, False])
def test_a_cut_file_is_refused(keep: float, new_format: bool, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    torch.save({index: curves(12) for index in range(9)}, path, _use_new_zipfile_serialization=new_format)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(DatabaseError, match=r"cut\.pth"):
        read_ends_of_curves(path)


def test_other_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"none\.pth"):
        read_ends_of_curves(tmp_path / "none.pth")
    path = tmp_path / "page.pth"
    path.write_text("<!DOCTYPE html>too many requests")
    with pytest.raises(DatabaseError, match="is a web page"):
        read_ends_of_curves(path)
    torch.save({"weights": torch.ones(3)}, path)
    with pytest.raises(DatabaseError, match=r"page\.pth"):
        read_ends_of_curves(path)


def test_compressed_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "meta.pickle.pbz2"
    content = {"set": {1, 2}, "order": OrderedDict(a=np.float64(1.5)), "array": np.arange(3)}
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))
    found = read_pickle(path)
    assert np.array_equal(found.pop("array"), content.pop("array"))
    assert found == content

    monkeypatch.setattr(benchmark_pickles, "LARGEST", 50)
    with pytest.raises(DatabaseError, match="would unpack to more than 50 bytes"):
        read_pickle(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatabaseError, match=r"cannot read .*meta\.pickle\.pbz2"):
        read_pickle(path)
    path.write_bytes(b"no bzip2")
    with pytest.raises(DatabaseError, match=r"cannot read .*meta\.pickle\.pbz2"):
        read_pickle(path)


def test_trained_weights_are_skipped(tmp_path: Path) -> None:
    """Pickled outside torch.save, their bytes are one more file of torch, and would be opened."""
    content = {"net_state_dict": OrderedDict(weight=torch.ones(2, 2)), "epochs": 200}
    found = load_pickle(tmp_path / "full.pickle", pickle.dumps(content, protocol=4))
    assert type(found["net_state_dict"]["weight"]) is Skipped
    assert found["epochs"] == 200


def test_commands_in_plain_pickles(calls: Callable[..., Any], tmp_path: Path) -> None:
    proof, path = tmp_path / "proof", tmp_path / "evil.pickle"
    path.write_bytes(pickle.dumps({"nasbench201": calls(os.system, f"touch {proof}")}))
    with pytest.raises(DatabaseError, match=r"is not opened: it names (posix|nt)\.system"):
        read_pickle(path)
    assert not proof.exists()
    path.write_bytes(pickle.dumps({"a": 1})[:-3])
    with pytest.raises(DatabaseError, match="is damaged"):
        read_pickle(path)
