"""Where labels are computed: in this process, or in several on this machine (for more, see ``ray_executor``)."""

import multiprocessing
import os
import signal
from collections.abc import Generator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Protocol, runtime_checkable

from metad2a.database.job_queue import JobQueue
from metad2a.database.labelling import Labeller
from metad2a.database.records import Job, Record
from metad2a.errors import ConfigError, DatabaseError
from metad2a.runtime import keep_freed_memory

_GRACE_S = 5.0  # between the end of a worker's pipe and the end of its process


@runtime_checkable
class Executor(Protocol):
    """Computes labels somewhere. Closing the generator stops what is running."""

    def run(self, jobs: Sequence[Job]) -> Generator[Record, None, None]:
        """Yield the record of each job as it is done, in any order; a job that fails gives a record, too."""


class Inline:
    """Computes one label after the other in this process.

    Args:
        images: where the images of sources are, see ``ImageSources``.
    """

    def __init__(self, images: Mapping[str, str] | None = None) -> None:
        self.images = dict(images or {})

    def run(self, jobs: Sequence[Job]) -> Generator[Record, None, None]:
        """See ``Executor.run``."""
        labeller, queue = Labeller(self.images), JobQueue(jobs)
        task = ""
        while (job := queue.take(task)) is not None:
            task = job.task.id
            yield labeller.label(job)


class ProcessPool:
    """Computes labels in processes of their own, one thread each.

    A process that dies (of too little memory, say) takes one label with it; that job is recorded as failed and
    another process takes its place.

    Args:
        workers: number of processes; as many as this process may use cores when None.
        images: where the images of sources are, see ``ImageSources``.

    Raises:
        ConfigError: ``workers`` is below 1.
    """

    def __init__(self, workers: int | None = None, images: Mapping[str, str] | None = None) -> None:
        if workers is not None and workers < 1:
            raise ConfigError(f"workers is {workers}, but must be at least 1.")
        self.workers = workers or cores()
        self.images = dict(images or {})

    def run(self, jobs: Sequence[Job]) -> Generator[Record, None, None]:
        """See ``Executor.run``.

        Raises:
            DatabaseError: the processes cannot be started.
        """
        queue = JobQueue(jobs)
        team = [_Worker(self.images) for _ in range(min(self.workers, len(jobs)))]
        try:
            while team:
                heard = wait([worker.connection for worker in team])
                for worker in [member for member in team if member.connection in heard]:
                    record = worker.receive()
                    if worker.lost or not worker.give(queue.take(worker.task)):
                        team.remove(worker)
                    if worker.lost and queue:
                        team.append(_Worker(self.images))
                    if record is not None:
                        yield record
        finally:
            for worker in team:
                worker.stop()


class _Worker:
    """The driver's end of one process."""

    def __init__(self, images: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")  # forking a process with threads can hang
        self.connection, theirs = context.Pipe()
        self.task = ""
        self.lost = False
        self._job: Job | None = None
        self._ready = False
        self._process = context.Process(target=_work, args=(theirs, images), daemon=True)
        self._process.start()
        theirs.close()  # only so does a read fail when the process is gone

    def receive(self) -> Record | None:
        """Return the record that has come, None for the first sign of life."""
        try:
            record: Record | None = self.connection.recv()
        except (EOFError, OSError) as error:
            self.lost = True
            self._process.join(_GRACE_S)
            reason = f"the worker process died (exit code {self._process.exitcode})"
            self.stop()
            if not self._ready:
                raise DatabaseError(
                    f"{reason} before it could begin. In a script, start the build below "
                    "`if __name__ == '__main__':`."
                ) from error
            return None if self._job is None else Record.failure(self._job, reason)
        self._ready, self._job = True, None
        return record

    def give(self, job: Job | None) -> bool:
        """Send the next job; without one, send the worker home and return False."""
        self._job = job
        if job is not None:
            self.task = job.task.id
        try:
            self.connection.send(job)
        except OSError:
            return job is not None  # it has just died: the next read tells
        if job is None:
            self._process.join()
            self.connection.close()
        return job is not None

    def stop(self) -> None:
        """End the process at once."""
        self.connection.close()
        self._process.terminate()
        self._process.join()


def _work(connection: Connection, images: Mapping[str, str]) -> None:
    # Ctrl-C goes to all processes; the driver decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    labeller = Labeller(images)
    try:
        connection.send(None)
        while (job := connection.recv()) is not None:
            connection.send(labeller.label(job))
    except (EOFError, OSError, KeyboardInterrupt):
        return  # the driver is gone, or will be


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
