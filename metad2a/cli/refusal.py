"""A command that is refused leaves nothing behind, whichever job it is for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metad2a.tracking.read import METRICS_FILE

_SWEEP_FILE = "multirun.yaml"  # Hydra's, in the folder around those of a sweep's jobs


class Refused(SystemExit):
    """The end of the job in ``folder`` by a mistake that was told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(1)
        self.folder = folder


@contextmanager
def leaving_nothing(run: Path) -> Iterator[None]:
    """Remove the folder of a job that is refused before it has a result, and those around it that were made for it.

    What was there before stays, and so does a folder that the user chose (``hydra.run.dir=``).

    Args:
        run: the folder that Hydra makes for the run; in a sweep, each job has one in it.
    """
    run = run.absolute()
    new = [folder for folder in (run, *run.parents) if not folder.exists()]
    try:
        yield
    except Refused as refused:
        if new and run in (refused.folder, refused.folder.parent) and not _has_result(refused.folder):
            shutil.rmtree(refused.folder)
            if [path.name for path in run.glob("*")] == [_SWEEP_FILE]:
                shutil.rmtree(run)
            for folder in new:
                with suppress(OSError):  # something else is in it, or it is gone
                    folder.rmdir()
        raise


def _has_result(folder: Path) -> bool:
    metrics = folder / METRICS_FILE
    return metrics.exists() and metrics.stat().st_size > 0
