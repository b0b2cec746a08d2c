"""The frame around a job that says how it ended, whatever happened."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from metad2a.errors import OutputError
from metad2a.tracking.base import Tracker


@contextmanager
def track(
    run_dir: Path,
    config: Mapping[str, Any],
    *,
    run_id: str,
    job: str,
    seed: int,
    trackers: Tracker,
    resumed: bool = False,
) -> Iterator[Tracker]:
    """Start ``trackers``, yield them, and finish them as done, interrupted (Ctrl-C) or failed (anything else).

    A resumed job calls ``rewind(step)`` on them once it knows the step of the state it loaded.

    Args:
        run_dir: folder of this run; made if needed.
        config: the whole configuration, as plain JSON data.
        run_id: see ``runtime.new_run_id``; the same again when ``resumed``.
        job: what is done: train, search, evaluate.
        seed: of the run's random streams.
        trackers: from ``make_trackers``.
        resumed: whether ``run_dir`` holds a run that goes on.

    Raises:
        OutputError: the local files cannot be written.
    """
    try:
        trackers.start(Path(run_dir), config, run_id=run_id, job=job, seed=seed, resumed=resumed)
        yield trackers
    except BaseException as error:
        with suppress(OutputError):  # on a full disk, say, what went wrong first is what must be told
            trackers.finish("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    trackers.finish("done")
