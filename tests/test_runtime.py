import json
import logging
import os
import re
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from metad2a import runtime
from metad2a.errors import ConfigError, OutputError
from metad2a.runtime import (
    Bar,
    atomic_path,
    cache_dir,
    check_writable,
    keep_freed_memory,
    new_run_id,
    numpy_rng,
    progress,
    resolve_device,
    shipped,
    stream_seed,
    torch_rng,
    write_json,
    write_text,
)

PARTS = st.lists(st.integers() | st.text(st.characters(min_codepoint=32), max_size=4), max_size=4)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


# --- random streams -----------------------------------------------------------------------------------------


@given(PARTS, PARTS)
@example([], ["\ud800"])  # file names that are no UTF-8 have such
def test_different_keys_have_different_seeds(one: list[int | str], other: list[int | str]) -> None:
    assert (stream_seed(*one) == stream_seed(*other)) == (one == other)
    assert 0 <= stream_seed(*one) < 2**63


def test_types_and_boundaries_of_parts_matter() -> None:
    keys: list[tuple[int | str, ...]] = [
        (1,),
        ("1",),
        (1, 1),
        (11,),
        ("a", "b"),
        ("ab",),
        ("b", "a"),
        ("a", "b", ""),
        (),
    ]
    assert len({stream_seed(*key) for key in keys}) == len(keys)


def test_seeds_never_change() -> None:
    # Published results name their seeds: the streams behind these must stay what they are.
    assert stream_seed(0, "generate") == 2935554827292570208
    assert float(numpy_rng(0, "x").random()) == 0.36033223996123964


def test_streams_are_new_each_time_and_touch_no_global_state() -> None:
    global_numpy, global_torch = np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert numpy_rng(1, "a").random() == numpy_rng(1, "a").random() != numpy_rng(1, "b").random()
    drawn = [torch.rand(3, generator=torch_rng(*key)) for key in ((1, "a"), (1, "a"), (1, "b"))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert np.random.get_state()[1].tolist() == global_numpy
    assert torch.equal(torch.get_rng_state(), global_torch)


# --- devices ------------------------------------------------------------------------------------------------


def test_devices() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device() == resolve_device("auto")
    assert torch.zeros(1, device=resolve_device()).device.type == resolve_device()
    with pytest.raises(ConfigError, match=r"unknown device 'gpu'\. Choose one of auto, cpu, cuda, mps"):
        resolve_device("gpu")


@pytest.mark.parametrize(
    ("name", "present"), [("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())]
)
def test_a_device_that_is_not_there(name: str, present: bool) -> None:
    if present:
        assert resolve_device(name) == name
        return
    with pytest.raises(ConfigError, match=f"device '{name}' was asked for, but torch finds none here"):
        resolve_device(name)


# --- files --------------------------------------------------------------------------------------------------


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "deeper" / "file.txt"
    with atomic_path(target) as path:
        assert path.parent == target.parent
        path.write_text("half", encoding="utf-8")
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "half"
    assert names(target.parent) == ["file.txt"]
    write_text(target, "näch\nste")
    assert target.read_bytes() == "näch\nste".encode()


def test_files_have_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "x")
    (tmp_path / "usual").write_text("x", encoding="utf-8")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "usual")}
    assert len(modes) == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OutputError])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old", encoding="utf-8")

    def fail() -> None:
        with atomic_path(target) as path:
            path.write_text("half", encoding="utf-8")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        fail()
    assert target.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_full_disk(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_path(tmp_path / "file.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"cannot write .*file\.txt: No space left on device"):
        fill()
    assert names(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OutputError, match=r"it is a folder\. Give a file name"):
        check_writable(tmp_path)
    for use in (check_writable, lambda path: write_text(path, "x")):
        with pytest.raises(OutputError, match=r"cannot write .*file/below: .*Choose another place"):
            use(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "x"


def test_looking_whether_a_place_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a/b/c.json")
    assert names(tmp_path) == []
    check_writable(tmp_path / "a/b/c.json", make_folder=True)
    assert names(tmp_path / "a/b") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(OutputError, match=r"Permission denied\. Choose another place"):
        check_writable(locked / "file.txt")


def test_json_is_written_as_text_that_people_can_read(tmp_path: Path) -> None:
    value = {"name": "Zürich", "list": [1, 2.5, None, True], "nested": {"a": 0.1}}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "Zürich" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), [1, float("inf")], {"a": object()}])
def test_what_is_not_json_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", value)
    assert names(tmp_path) == []


def test_shipped_files() -> None:
    assert (shipped("conf") / "train.yaml").is_file()
    assert shipped("conf", "train.yaml") == shipped("conf") / "train.yaml"
    assert shipped("data").is_dir()


def test_files_that_were_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "__file__", str(tmp_path / "package" / "runtime.py"))
    with pytest.raises(ConfigError, match=r"'conf/train\.yaml' is not installed with metad2a"):
        shipped("conf", "train.yaml")
    (tmp_path / "conf").mkdir()
    assert shipped("conf", "train.yaml") == tmp_path / "conf" / "train.yaml"
    (tmp_path / "package" / "conf").mkdir(parents=True)
    assert shipped("conf") == tmp_path / "package" / "conf", "what is installed comes first"
    (tmp_path / "package" / "assets").mkdir()
    assert shipped("data", "demo") == tmp_path / "package" / "assets" / "demo"


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("METAD2A_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "metad2a"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "metad2a"
    monkeypatch.setenv("METAD2A_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"


def test_run_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [new_run_id() for _ in range(20)]
    assert len(set(ids)) > 15
    assert all(len(run_id) == 20 for run_id in ids)
    assert ids[0][:15] <= ids[-1][:15]
    monkeypatch.setenv("METAD2A_RUN_ID", "given")
    assert new_run_id() == "given"


# --- progress -----------------------------------------------------------------------------------------------


def test_progress_yields_everything_in_silence(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_LOG_EVERY_S", 0.0)
    monkeypatch.setenv("METAD2A_NO_PROGRESS", "1")
    with caplog.at_level(logging.INFO):
        assert list(progress(range(5), label="count")) == [0, 1, 2, 3, 4]
        assert list(progress(iter("ab"), label="letters")) == ["a", "b"]
        with Bar("work", 3) as bar:
            bar.advance("text")
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_progress_is_logged_where_there_is_no_terminal(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METAD2A_NO_PROGRESS")
    with caplog.at_level(logging.INFO, logger="metad2a.progress"):
        assert list(progress(range(3), label="quick")) == [0, 1, 2]
        assert caplog.messages == [], "what takes less than half a minute is not worth a line"
        monkeypatch.setattr(runtime, "_LOG_EVERY_S", 0.0)
        list(progress(range(3), label="slow"))
        list(progress(iter("ab"), label="endless"))
        with Bar("resumed", 10, done=8) as bar:
            bar.advance("loss 1")
        with Bar("counted", 9, unit="labels") as bar:
            bar.advance("1 failed")
    assert [message.split(",")[0] for message in caplog.messages[:5]] == [
        *("slow  1/3", "slow  2/3", "slow  3/3", "endless  1", "endless  2")
    ]
    assert caplog.messages[2].endswith("3/3, 0 s left")
    assert caplog.messages[5].startswith("resumed  loss 1  9/10, ")
    assert re.fullmatch(r"counted  [\d.e+]+ labels/min  1 failed  1/9, 0 s left", caplog.messages[6])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.4, "0 s"), (89.0, "89 s"), (90.0, "2 min"), (5900.0, "98 min")),
        *((7200.0, "2 h 0 min"), (12_000.0, "3 h 20 min"), (200_000.0, "2 d 7 h")),
    ],
)
def test_times_are_told_in_words(seconds: float, text: str) -> None:
    assert runtime.duration(seconds) == text


def test_an_error_inside_a_bar_is_not_swallowed() -> None:
    def fail() -> None:
        with Bar("work", 1):
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()


def test_keeping_freed_memory_is_harmless_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_freed_memory()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    keep_freed_memory()
