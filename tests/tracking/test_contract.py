"""All three trackers keep the contract, and what each wrote is read back from its own files."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metad2a.testing.trackers import Point, TrackerContract
from metad2a.tracking.base import Tracker
from metad2a.tracking.local import LocalTracker
from metad2a.tracking.read import read_rows
from metad2a.tracking.tensorboard import TensorBoardTracker
from metad2a.tracking.wandb import WandbTracker


class TestLocal(TrackerContract):
    def make(self) -> Tracker:
        return LocalTracker()

    def recorded(self, run_dir: Path) -> Iterator[Point]:
        for row in read_rows(run_dir):
            yield from ((row["step"], name, row[name]) for name in row if name not in ("step", "time"))


class TestTensorBoard(TrackerContract):
    def make(self) -> Tracker:
        pytest.importorskip("tensorboard")
        return TensorBoardTracker()

    def recorded(self, run_dir: Path) -> Iterator[Point]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(run_dir / "tensorboard"))
        events.Reload()
        for name in events.Tags()["scalars"]:
            yield from ((event.step, name, event.value) for event in events.Scalars(name))


class TestWandb(TrackerContract):
    @pytest.fixture(autouse=True)
    def _home(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            monkeypatch.setenv(name, str(tmp_path_factory.mktemp("wandb")))

    def make(self) -> Tracker:
        return WandbTracker(artifacts=True)

    def recorded(self, run_dir: Path) -> Iterator[Point]:
        for record in wandb_records(run_dir):
            if record.WhichOneof("record_type") != "history":
                continue
            row = {item.nested_key[0]: float(item.value_json) for item in record.history.item}
            yield from ((int(row["step"]), n, v) for n, v in row.items() if n != "step" and n[0] != "_")

    def test_writes_offline_below_the_run_folder_and_says_how_it_ended(self, tmp_path: Path) -> None:
        tracker = WandbTracker(project="mine", group="sweep", tags=["t"])
        tracker.start(tmp_path, {"a": {"b": 1}}, run_id="20260101-abcd", job="train", seed=3, resumed=False)
        tracker.finish("interrupted")
        assert [f.name.startswith("offline-run-") for f in (tmp_path / "wandb").glob("*run-*abcd")] == [True]
        records = {record.WhichOneof("record_type"): record for record in wandb_records(tmp_path)}
        run = records["run"].run
        assert (run.run_id, run.project, run.run_group, run.job_type) == (
            "20260101-abcd",
            "mine",
            "sweep",
            "train",
        )
        assert list(run.tags) == ["t"]
        assert {item.key: item.value_json for item in run.config.update} == {
            "_wandb": "{}", "seed": "3", "a": '{"b":1}'
        }  # fmt: skip
        assert records["exit"].exit.exit_code == 130

    def test_records_no_host_name_and_no_code(self, tmp_path: Path) -> None:
        tracker = WandbTracker()
        tracker.start(tmp_path, {}, run_id="20260101-abcd", job="train", seed=0, resumed=False)
        tracker.finish("done")
        records = wandb_records(tmp_path)
        hosts = {r.run.host or r.environment.host for r in records if r.run.host or r.environment.host}
        assert hosts == {"hidden"}
        assert not list(tmp_path.rglob("*.py"))
        assert not list(tmp_path.rglob("*.patch"))


def wandb_records(run_dir: Path) -> list[Any]:
    """Return the records of all offline runs; wandb's own process may write the last ones after ``finish``."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        files = [list(_parse(path)) for path in sorted((run_dir / "wandb").glob("offline-run-*/*.wandb"))]
        if files and all(any(r.WhichOneof("record_type") == "exit" for r in records) for records in files):
            return [record for records in files for record in records]
        time.sleep(0.05)
    raise AssertionError(f"no finished offline run below {run_dir}")


def _parse(path: Path) -> Iterator[Any]:
    """Yield the records of a file: 7 bytes, then protocol buffers in LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    data, position, body = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        body += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            record, body = wandb_internal_pb2.Record.FromString(body), b""
            yield record
