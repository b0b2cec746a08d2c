import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metad2a.errors import ConfigError, OutputError, UnknownNameError
from metad2a.tracking.base import Trackers
from metad2a.tracking.build import make_trackers
from metad2a.tracking.local import LocalTracker
from metad2a.tracking.read import read_metrics, read_run
from metad2a.tracking.run import track
from metad2a.tracking.safe import Safe
from metad2a.tracking.tensorboard import TensorBoardTracker
from metad2a.tracking.wandb import WandbTracker


def run(folder: Path, trackers: Trackers, error: BaseException | None = None) -> None:
    with track(folder, {}, run_id="r1", job="train", seed=0, trackers=trackers) as tracker:
        tracker.metrics({"x": 1.0}, 1)
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "done"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("bug"), "failed"),
        (SystemExit(1), "failed"),
    ],
)
def test_the_status_says_how_the_job_ended(tmp_path: Path, error: BaseException | None, status: str) -> None:
    if error is None:
        run(tmp_path, make_trackers())
    else:
        with pytest.raises(type(error)):
            run(tmp_path, make_trackers(), error)
    assert read_run(tmp_path)["status"] == status
    assert len(read_metrics(tmp_path)) == 1


def test_an_interrupt_while_starting_is_recorded(tmp_path: Path) -> None:
    class Slow(LocalTracker):
        def start(self, *args: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Trackers([LocalTracker(), Safe(Slow())]))
    assert read_run(tmp_path)["status"] == "interrupted"


def test_a_folder_in_use_stays_as_it_was(tmp_path: Path) -> None:
    run(tmp_path, make_trackers())
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(OutputError, match="already holds a run"):
        run(tmp_path, make_trackers())
    assert (tmp_path / "run.json").read_bytes() == before


def test_wandb_that_cannot_start_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    def fail(**_: Any) -> None:
        raise wandb.errors.CommError("no network")

    monkeypatch.setattr(wandb, "init", fail)
    with caplog.at_level(logging.WARNING, "metad2a.tracking"):
        run(tmp_path, make_trackers(["wandb"], wandb={"mode": "online"}))
    assert [record.name for record in caplog.records] == ["metad2a.tracking"]
    assert "WandbTracker" in caplog.text
    assert "no network" in caplog.text
    assert read_run(tmp_path)["status"] == "done"
    assert len(read_metrics(tmp_path)) == 1


@pytest.mark.parametrize("method", ["start", "rewind", "metrics", "artifact", "finish"])
def test_a_failing_tracker_is_left_out_after_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            def call(*args: Any, **kwargs: Any) -> None:
                calls.append(name)
                if name == method:
                    raise OSError("gone")

            return call

    calls: list[str] = []
    safe = Safe(Broken())  # type: ignore[arg-type]
    for _ in range(2):
        safe.start(tmp_path, {}, run_id="r", job="j", seed=0, resumed=False)
        safe.rewind(0)
        safe.metrics({"x": 1.0}, 1)
        safe.artifact(tmp_path, "report")
        safe.finish("done")
    assert calls.count(method) == 1
    assert calls[-1] == method
    assert len(caplog.records) == 1


def test_all_members_are_finished_when_one_fails(tmp_path: Path) -> None:
    class Full(LocalTracker):
        def finish(self, status: Any) -> None:
            raise OutputError("disk full")

    last = LocalTracker()
    trackers = Trackers([Full(), last])
    last.start(tmp_path, {}, run_id="r", job="train", seed=0, resumed=False)
    with pytest.raises(OutputError, match="disk full"):
        trackers.finish("done")
    assert read_run(tmp_path)["status"] == "done"


def test_local_comes_first_and_is_not_wrapped() -> None:
    members = make_trackers(["tensorboard", "wandb", "local", "wandb"], wandb={"project": "mine"}).members
    assert isinstance(members[0], LocalTracker)
    wrapped = [member.tracker for member in members[1:] if isinstance(member, Safe)]
    assert [type(tracker) for tracker in wrapped] == [TensorBoardTracker, WandbTracker]
    assert isinstance(wrapped[1], WandbTracker)
    assert wrapped[1].project == "mine"


def test_unknown_names_and_options_are_explained() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'wandb'"):
        make_trackers(["wandbb"])
    with pytest.raises(UnknownNameError, match="'tensorbord'"):
        make_trackers([], tensorbord={})
    with pytest.raises(ConfigError, match=r"wandb.*projekt"):
        make_trackers(["wandb"], wandb={"projekt": "x"})


def test_a_missing_tensorboard_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metad2a.tracking.tensorboard.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"metad2a\[tensorboard\]"):
        make_trackers(["tensorboard"])


@pytest.mark.parametrize(
    ("variable", "argument", "mode"),
    [(None, None, "offline"), ("disabled", None, "disabled"), ("online", "offline", "offline")],
)
def test_the_argument_wins_over_the_variable_over_offline(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, argument: str | None, mode: str
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert WandbTracker(mode=argument).mode == mode


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="ofline"):
        WandbTracker(mode="ofline")


def test_importing_the_trackers_imports_no_dashboard() -> None:
    code = "import sys, metad2a.tracking.build, metad2a.tracking.run; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"wandb", "tensorboard", "torch", "pandas"} & set(loaded)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, make_trackers(["tensorboard", "wandb"]))
    assert capfd.readouterr() == ("", "")


def test_online_without_a_key_never_asks(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    code = (
        "import sys, pathlib\n"
        "from metad2a.tracking.build import make_trackers\n"
        "from metad2a.tracking.run import track\n"
        "trackers = make_trackers(['wandb'], wandb={'mode': 'online'})\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "with track(folder, {}, run_id='r', job='train', seed=0, trackers=trackers) as run:\n"
        "    run.metrics({'x': 1.0}, 1)\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    environment |= {"HOME": str(tmp_path / "home"), "NETRC": str(tmp_path / "netrc")}
    keyboard, terminal = pty.openpty()
    try:
        command = [sys.executable, "-c", code, str(tmp_path / "run")]
        subprocess.run(command, stdin=terminal, stderr=terminal, env=environment, check=True, timeout=60)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert read_run(tmp_path / "run")["status"] == "done"
