"""A tracker that can never stop a run."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metad2a.tracking.base import Status, Tracker

logger = logging.getLogger("metad2a.tracking")


class Safe:
    """Passes everything on to ``tracker`` until it fails; then warns once and leaves it out.

    Meant for trackers that talk to a service or a foreign library. The local files are not wrapped: a run whose
    results cannot be written must stop.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.failed = False

    def start(
        self, run_dir: Path, config: Mapping[str, Any], *, run_id: str, job: str, seed: int, resumed: bool
    ) -> None:
        """See ``Tracker.start``."""
        self._try(self.tracker.start, run_dir, config, run_id=run_id, job=job, seed=seed, resumed=resumed)

    def rewind(self, step: int) -> None:
        """See ``Tracker.rewind``."""
        self._try(self.tracker.rewind, step)

    def metrics(self, values: Mapping[str, float | int], step: int) -> None:
        """See ``Tracker.metrics``."""
        self._try(self.tracker.metrics, values, step)

    def artifact(self, path: Path, kind: str) -> None:
        """See ``Tracker.artifact``."""
        self._try(self.tracker.artifact, path, kind)

    def finish(self, status: Status) -> None:
        """See ``Tracker.finish``."""
        self._try(self.tracker.finish, status)

    def _try(self, call: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        if self.failed:
            return
        try:
            call(*args, **kwargs)
        except Exception as error:
            self.failed = True
            logger.warning(
                "%s failed and is left out from here on (%s: %s). The run goes on with its local files.",
                type(self.tracker).__name__,
                type(error).__name__,
                error,
            )
