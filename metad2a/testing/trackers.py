"""What every tracker must do: subclass ``TrackerContract`` and fill in its two methods."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import pytest

from metad2a.tracking.base import Status, Tracker

Point = tuple[int, str, float]
CONFIG: dict[str, Any] = {"lr": 1e-3, "space": {"name": "nasbench201"}, "tags": ["a", "b"], "limit": None}


class TrackerContract:
    """Tests of one tracker: it is started, fed, resumed and finished, and what it recorded is read back."""

    def make(self) -> Tracker:
        """Return a new tracker, not started."""
        raise NotImplementedError

    def recorded(self, run_dir: Path) -> Iterable[Point]:
        """Return everything recorded in ``run_dir`` as (step, name, value), of all parts of a resumed run."""
        raise NotImplementedError

    @pytest.fixture
    def start(self, tmp_path: Path) -> Callable[..., Tracker]:
        def begin(resumed: bool = False) -> Tracker:
            tracker = self.make()
            tracker.start(tmp_path, CONFIG, run_id="20260101-contract", job="train", seed=3, resumed=resumed)
            return tracker

        return begin

    def test_is_a_tracker(self) -> None:
        assert isinstance(self.make(), Tracker)

    def test_finish_without_start_does_nothing(self) -> None:
        self.make().finish("failed")

    def test_records_numbers_at_their_steps(self, start: Callable[..., Tracker], tmp_path: Path) -> None:
        tracker = start()
        tracker.metrics({"train/loss": 0.5, "lr": 1}, 1)
        tracker.metrics({"train/loss": 0.25}, 2)
        tracker.metrics({"val/spearman": -0.125}, 2)
        tracker.finish("done")
        expected = {
            (1, "train/loss", 0.5),
            (1, "lr", 1.0),
            (2, "train/loss", 0.25),
            (2, "val/spearman", -0.125),
        }
        assert set(self.recorded(tmp_path)) == expected

    def test_takes_numbers_that_are_not_finite(self, start: Callable[..., Tracker], tmp_path: Path) -> None:
        tracker = start()
        tracker.metrics({"nan": math.nan, "inf": math.inf, "good": 2.0}, 1)
        tracker.finish("done")
        assert (1, "good", 2.0) in set(self.recorded(tmp_path))

    def test_leaves_out_what_is_no_metric(self, start: Callable[..., Tracker], tmp_path: Path) -> None:
        tracker = start()
        tracker.metrics({"step": 1, "time": 5.0, "x": 2.0}, 1)
        tracker.finish("done")
        assert set(self.recorded(tmp_path)) == {(1, "x", 2.0)}

    def test_takes_a_file(self, start: Callable[..., Tracker], tmp_path: Path) -> None:
        report = tmp_path / "report" / "a report.html"
        report.parent.mkdir()
        report.write_text("<p>done</p>", encoding="utf-8")
        tracker = start()
        tracker.artifact(report, "report")
        tracker.finish("done")
        assert report.read_text(encoding="utf-8") == "<p>done</p>"

    @pytest.mark.parametrize("status", get_args(Status))
    def test_ends_in_every_way(self, start: Callable[..., Tracker], status: Status, tmp_path: Path) -> None:
        tracker = start()
        tracker.metrics({"x": 1.0}, 1)
        tracker.finish(status)
        tracker.finish(status)
        assert set(self.recorded(tmp_path)) == {(1, "x", 1.0)}

    def test_goes_on_after_a_resume(self, start: Callable[..., Tracker], tmp_path: Path) -> None:
        first = start()
        for step in (1, 2, 3):
            first.metrics({"x": 1.0}, step)
        first.finish("interrupted")
        second = start(resumed=True)
        second.rewind(2)
        for step in (3, 4):
            second.metrics({"x": 2.0}, step)
        second.finish("done")
        points = set(self.recorded(tmp_path))
        assert {(1, "x", 1.0), (2, "x", 1.0), (3, "x", 2.0), (4, "x", 2.0)} <= points
        assert points <= {(1, "x", 1.0), (2, "x", 1.0), (3, "x", 1.0), (3, "x", 2.0), (4, "x", 2.0)}
