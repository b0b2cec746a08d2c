"""What a tracker is: the place where a run writes down what happens."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

Status = Literal["done", "failed", "interrupted"]


@runtime_checkable
class Tracker(Protocol):
    """Receives one run's configuration, metrics and files.

    Metric names are slash-grouped and lower case (``train/loss``, ``val/spearman``). ``step`` and ``time`` are
    not metrics: values so called are left out. ``step`` never decreases, except after ``rewind``. Making a
    tracker does nothing yet.
    """

    def start(
        self, run_dir: Path, config: Mapping[str, Any], *, run_id: str, job: str, seed: int, resumed: bool
    ) -> None:
        """Begin the run ``run_id`` (or continue it when ``resumed``); ``config`` is plain data."""

    def rewind(self, step: int) -> None:
        """Forget the metrics after ``step``: a resumed run goes on from a state that was saved there."""

    def metrics(self, values: Mapping[str, float | int], step: int) -> None:
        """Record numbers at one step."""

    def artifact(self, path: Path, kind: str) -> None:
        """Record that the run made a file (``kind``: model, dataset, report)."""

    def finish(self, status: Status) -> None:
        """End the run; without a ``start`` before, do nothing."""


def metrics_only(values: Mapping[str, float | int]) -> dict[str, float]:
    """Return ``values`` as floats, without ``step`` and ``time``."""
    return {name: float(value) for name, value in values.items() if name not in ("step", "time")}


class Trackers:
    """Several trackers as one; ``Trackers([])`` records nothing, for processes other than the first.

    See ``metad2a.tracking.safe`` for how a failing one is contained.
    """

    def __init__(self, members: Sequence[Tracker]) -> None:
        self.members = list(members)

    def start(
        self, run_dir: Path, config: Mapping[str, Any], *, run_id: str, job: str, seed: int, resumed: bool
    ) -> None:
        """See ``Tracker.start``."""
        for member in self.members:
            member.start(run_dir, config, run_id=run_id, job=job, seed=seed, resumed=resumed)

    def rewind(self, step: int) -> None:
        """See ``Tracker.rewind``."""
        for member in self.members:
            member.rewind(step)

    def metrics(self, values: Mapping[str, float | int], step: int) -> None:
        """See ``Tracker.metrics``."""
        for member in self.members:
            member.metrics(values, step)

    def artifact(self, path: Path, kind: str) -> None:
        """See ``Tracker.artifact``."""
        for member in self.members:
            member.artifact(path, kind)

    def finish(self, status: Status) -> None:
        """End every member, also when one of them fails to."""
        with ExitStack() as stack:
            for member in reversed(self.members):
                stack.callback(member.finish, status)
