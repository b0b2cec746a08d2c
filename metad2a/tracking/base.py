"""What a tracker is: the place where a run writes down what happens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

Status = Literal["done", "failed", "interrupted"]


@runtime_checkable
class Tracker(Protocol):
    """Receives one run's configuration, metrics and files. It must never stop the run.

    Metric names are slash-grouped and lower case (``train/loss``, ``val/spearman``); ``step`` never decreases.
    """

    def start(self, run_dir: Path, config: Mapping[str, Any], *, run_id: str, job: str, resumed: bool) -> None:
        """Begin the run ``run_id`` (or continue it when ``resumed``); ``config`` is plain data."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at one step."""

    def artifact(self, path: Path, kind: str) -> None:
        """Record that the run made a file (``kind``: model, dataset, report)."""

    def finish(self, status: Status) -> None:
        """End the run."""


class Trackers:
    """Several trackers as one; see ``metad2a.tracking.safe`` for how a failing one is contained."""

    def __init__(self, members: Sequence[Tracker]) -> None:
        self.members = list(members)

    def start(self, run_dir: Path, config: Mapping[str, Any], *, run_id: str, job: str, resumed: bool) -> None:
        """See ``Tracker.start``."""
        for member in self.members:
            member.start(run_dir, config, run_id=run_id, job=job, resumed=resumed)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """See ``Tracker.metrics``."""
        for member in self.members:
            member.metrics(values, step)

    def artifact(self, path: Path, kind: str) -> None:
        """See ``Tracker.artifact``."""
        for member in self.members:
            member.artifact(path, kind)

    def finish(self, status: Status) -> None:
        """See ``Tracker.finish``."""
        for member in self.members:
            member.finish(status)
