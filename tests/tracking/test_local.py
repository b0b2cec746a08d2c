import hashlib
import json
import math
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metad2a.errors import OutputError, UserError
from metad2a.tracking.local import LocalTracker
from metad2a.tracking.read import list_runs, read_metrics, read_run


def started(folder: Path, resumed: bool = False) -> LocalTracker:
    tracker = LocalTracker()
    tracker.start(folder, {"lr": 0.1}, run_id="r1", job="train", seed=7, resumed=resumed)
    return tracker


def without_times(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "time"} for line in lines]


def test_the_run_record_says_who_when_and_with_what(tmp_path: Path) -> None:
    tracker = started(tmp_path)
    running = read_run(tmp_path)
    assert running["status"] == "running"
    assert running["ended"] is None
    tracker.finish("done")
    run = read_run(tmp_path)
    assert (run["run_id"], run["job"], run["seed"], run["status"]) == ("r1", "train", 7, "done")
    assert run["ended"] >= run["started"]
    assert (
        run["versions"]["torch"] == torch.__version__.split("+")[0] or run["versions"]["torch"] == torch.__version__
    )
    assert run["resumed"] == []
    assert json.loads((tmp_path / "config.json").read_text()) == {"lr": 0.1}


def test_the_git_commit_is_that_of_the_checkout(tmp_path: Path) -> None:
    started(tmp_path).finish("done")
    checkout = Path(__file__).resolve().parents[2]
    found = read_run(tmp_path)["git_commit"]
    if not (checkout / ".git").exists():
        assert found is None
        return
    head = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        pytest.skip("the checkout has no commit yet")
    assert found.removesuffix("-dirty") == head.stdout.strip()


@settings(max_examples=25)
@given(killed_at=st.integers(1, 9), saved_at=st.integers(0, 9), half=st.booleans())
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, killed_at: int, saved_at: int, half: bool
) -> None:
    def work(tracker: LocalTracker, steps: range) -> None:
        for step in steps:
            tracker.metrics({"train/loss": 1 / (step + 1)}, step)
            if step % 3 == 0:
                tracker.metrics({"val/spearman": step / 9, "val/loss": math.nan}, step)

    saved_at = min(saved_at, killed_at)
    whole, broken = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("broken")
    work(started(whole), range(10))
    work(started(broken), range(killed_at + 1))
    if half:
        with (broken / "metrics.jsonl").open("a") as file:
            file.write('{"step": 10, "time": 17')
    resumed = started(broken, resumed=True)
    resumed.rewind(saved_at)
    work(resumed, range(saved_at + 1, 10))
    resumed.finish("done")
    assert without_times(broken) == without_times(whole)


def test_a_killed_process_leaves_every_line(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal, pathlib\n"
        "from metad2a.tracking.local import LocalTracker\n"
        "t = LocalTracker()\n"
        "t.start(pathlib.Path(sys.argv[1]), {}, run_id='r', job='train', seed=0, resumed=False)\n"
        "[t.metrics({'x': float(i)}, i) for i in range(50)]\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert done.returncode == -signal.SIGKILL
    assert read_metrics(tmp_path)["x"].tolist() == list(range(50))
    assert read_run(tmp_path)["status"] == "running"


def test_a_resume_keeps_the_start_and_the_artifacts(tmp_path: Path) -> None:
    first = started(tmp_path)
    model = tmp_path / "checkpoints" / "best.safetensors"
    model.parent.mkdir()
    model.write_bytes(b"one")
    first.artifact(model, "model")
    first.finish("interrupted")
    before = read_run(tmp_path)
    second = started(tmp_path, resumed=True)
    model.write_bytes(b"two")
    second.artifact(model, "model")
    second.finish("done")
    after = read_run(tmp_path)
    assert after["started"] == before["started"]
    assert len(after["resumed"]) == 1
    digest = hashlib.sha256(b"two").hexdigest()
    assert after["artifacts"] == [{"kind": "model", "path": "checkpoints/best.safetensors", "sha256": digest}]


def test_another_run_is_never_overwritten(tmp_path: Path) -> None:
    tracker = started(tmp_path)
    tracker.metrics({"x": 1.0}, 1)
    tracker.finish("done")
    with pytest.raises(OutputError, match="already holds a run"):
        started(tmp_path)
    assert len(read_metrics(tmp_path)) == 1


def test_resuming_an_empty_folder_starts(tmp_path: Path) -> None:
    tracker = started(tmp_path / "new", resumed=True)
    tracker.metrics({"x": 1.0}, 1)
    tracker.finish("done")
    assert read_run(tmp_path / "new")["resumed"] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = started(tmp_path)
    tracker._close()
    with Path("/dev/full").open("a") as full:
        monkeypatch.setattr(tracker, "_file", full)
        with pytest.raises(OutputError, match=r"metrics\.jsonl.*[Nn]o space"):
            tracker.metrics({"x": 1.0}, 1)
        with pytest.raises(OutputError, match=r"[Nn]o space"):
            tracker.finish("failed")
    assert read_run(tmp_path)["status"] == "failed"


def test_use_before_start_is_refused() -> None:
    with pytest.raises(RuntimeError, match="before start"):
        LocalTracker().metrics({"x": 1.0}, 1)


def test_metrics_are_read_into_a_frame(tmp_path: Path) -> None:
    tracker = started(tmp_path)
    tracker.metrics({"a": 1}, 0)
    tracker.metrics({"b": math.inf}, 5)
    frame = read_metrics(tmp_path)
    assert list(frame.columns) == ["step", "time", "a", "b"]
    assert frame["step"].tolist() == [0, 5]
    assert frame["a"][0] == 1.0
    assert frame[["a", "b"]].isna().to_numpy().tolist() == [[False, True], [True, True]]


def test_an_empty_run_has_an_empty_frame(tmp_path: Path) -> None:
    started(tmp_path)
    assert read_metrics(tmp_path).shape == (0, 2)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    for read in (read_metrics, read_run):
        with pytest.raises(UserError, match="no run folder"):
            read(tmp_path)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    started(tmp_path).metrics({"x": 1.0}, 1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write("rubbish\n")
    with pytest.raises(UserError, match="line 2 of"):
        read_metrics(tmp_path)


def test_runs_are_listed_oldest_first(tmp_path: Path) -> None:
    for number, name in enumerate(("train/b", "train/a", "sweep/x/0")):
        started(tmp_path / name).finish("done")
        record = tmp_path / name / "run.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "started": f"2026-01-0{number + 1}"}))
    (tmp_path / "train/b/inner").mkdir()
    (tmp_path / "train/b/inner/run.json").write_text('{"status": "done"}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/run.json").write_text("{")
    found = [Path(run["run_dir"]).relative_to(tmp_path).as_posix() for run in list_runs(tmp_path)]
    assert found == ["train/b", "train/a", "sweep/x/0"]
    assert list_runs(tmp_path / "absent") == []


def test_no_machine_is_named(tmp_path: Path) -> None:
    started(tmp_path).finish("done")
    run = read_run(tmp_path)
    assert not {"host", "hostname", "user"} & run.keys()
    assert platform.node() not in run.values()
