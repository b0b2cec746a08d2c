"""Where labels are computed, with Ray: on this machine, or on all machines of a cluster.

Ray is an extra (``pip install 'metad2a[ray]'``) and imported only here, when it is used.
"""

import logging
import os
import re
import socket
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from metad2a.database.executors import cores
from metad2a.database.job_queue import JobQueue
from metad2a.database.labelling import TaskImages, label, reason
from metad2a.database.records import Job, Record
from metad2a.database.sources import ImageSources
from metad2a.errors import ConfigError, DatabaseError
from metad2a.fitting.network import LabelledImages
from metad2a.runtime import keep_freed_memory

_ANSWER_S = 5.0  # Ray itself asks a dead address for many minutes
_INSTALL = "Install it with  pip install 'metad2a[ray]'  or use executor=process_pool."

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Ray:
    """Computes labels in processes of Ray, one thread each.

    Only this process reads images: it hands the pixels of a task to Ray as long as there is something to do for it.
    So the machines of a cluster need neither the images nor a file system in common, but metad2a must be
    installed on them. A process that dies takes one label with it; that job is recorded as failed and another
    process takes its place.

    Args:
        address: ``HOST:PORT`` of a cluster's head, ``auto`` on one of its machines; None starts Ray here.
        workers: number of processes; as many as there are cores when None.
        images: where the images of sources are, see ``ImageSources``.

    Raises:
        ConfigError: ``workers`` is below 1.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, images: Mapping[str, str] | None = None
    ) -> None:
        if workers is not None and workers < 1:
            raise ConfigError(f"workers is {workers}, but must be at least 1.")
        self.address = address
        self.workers = workers
        self.images = dict(images or {})

    def run(self, jobs: Sequence[Job]) -> Generator[Record, None, None]:
        """See ``Executor.run``.

        Raises:
            DatabaseError: Ray is not installed, does not answer, has too few cores, or its processes cannot begin.
        """
        if not jobs:
            return
        ray = _import_ray()
        with _connected(ray, self.address, self.workers):
            team = _Team(ray, JobQueue(jobs), ImageSources(self.images))
            try:
                team.hire(min(_number(ray, self.workers), len(jobs)))
                yield from team.records()
            finally:
                team.dismiss()


class _Team:
    """The driver's side: who works on what, and which pixels are in Ray's memory."""

    def __init__(self, ray: Any, queue: JobQueue, sources: ImageSources) -> None:
        self._ray, self._queue, self._sources = ray, queue, sources
        self._actor = ray.remote(num_cpus=1, max_restarts=0)(_Worker)
        self._running: dict[Any, tuple[Any, Job | None]] = {}  # by what Ray will answer with
        self._images: dict[str, Any] = {}
        self._done: deque[Record] = deque()

    def hire(self, count: int) -> None:
        """Start ``count`` more workers; they get work when they say that they are there."""
        for _ in range(count):
            worker = self._actor.remote()
            self._running[worker.ready.remote()] = (worker, None)

    def records(self) -> Iterator[Record]:
        """Yield records as they come, until there is nothing left to do."""
        while self._running:
            (answer, *_), _ = self._ray.wait(list(self._running), num_returns=1)
            worker, job = self._running.pop(answer)
            self._hear(answer, worker, job)
            while self._done:
                yield self._done.popleft()

    def _hear(self, answer: Any, worker: Any, job: Job | None) -> None:
        errors = self._ray.exceptions
        try:
            record: Record | None = self._ray.get(answer)
        except errors.RayError as error:
            if job is None:
                raise DatabaseError(
                    f"a Ray worker could not begin ({_first_line(error)}). Is metad2a installed on every machine?"
                ) from error
            dead = isinstance(error, errors.RayActorError)
            self._done.append(Record.failure(job, _why(error) if dead else reason(error)))
            if dead:
                self._forget(job.task.id)
                self.hire(int(bool(self._queue)))
                return
        else:
            if record is not None:
                self._done.append(record)
        self._employ(worker, "" if job is None else job.task.id)

    def _employ(self, worker: Any, task: str) -> None:
        """Give ``worker`` its next job; a job whose images cannot be read is done with at once."""
        while (job := self._queue.take(task)) is not None:
            try:
                pixels = self._put(job)
            except Exception as error:
                self._done.append(Record.failure(job, reason(error)))
                continue
            self._running[worker.label.remote(job, pixels)] = (worker, job)
            break
        else:
            self._ray.kill(worker)
        self._forget(task)

    def _put(self, job: Job) -> Any:
        name = f"{job.task.id} {job.recipe.resolution}"
        if name not in self._images:
            images = TaskImages.read(job.task, job.recipe.resolution, self._sources)
            self._images[name] = self._ray.put(_arrays(images))
        return self._images[name]

    def _forget(self, task: str) -> None:
        """Free the pixels of ``task`` when nobody works on it any more."""
        busy = any(job is not None and job.task.id == task for _, job in self._running.values())
        if not busy and not self._queue.holds(task):
            self._images = {name: held for name, held in self._images.items() if name.split()[0] != task}

    def dismiss(self) -> None:
        """End all workers at once."""
        for worker, _ in self._running.values():
            self._ray.kill(worker)
        self._running.clear()
        self._images.clear()


class _Worker:
    """In a process of Ray's: trains networks on pixels that are sent to it."""

    def ready(self) -> None:
        """Say that the process is there."""
        keep_freed_memory()

    def label(self, job: Job, pixels: Arrays) -> Record:
        """Return the record of ``job``."""
        train, train_labels, valid, valid_labels = pixels
        return label(job, TaskImages(_of_arrays(train, train_labels), _of_arrays(valid, valid_labels)))


def _arrays(images: TaskImages) -> Arrays:
    train, valid = images.train, images.valid
    return (
        train.images.permute(0, 2, 3, 1).numpy(),
        train.labels.numpy(),
        valid.images.permute(0, 2, 3, 1).numpy(),
        valid.labels.numpy(),
    )


def _of_arrays(pixels: np.ndarray, labels: np.ndarray) -> LabelledImages:
    # What lies in Ray's memory cannot be written to; tensors must be able to.
    return LabelledImages(torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2), torch.from_numpy(labels.copy()))


def _import_ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise DatabaseError(f"Ray is not installed. {_INSTALL}") from error
    return ray


@contextmanager
def _connected(ray: Any, address: str | None, workers: int | None) -> Iterator[None]:
    """Use the Ray that this program has begun already, else connect or start one, and leave it in the end."""
    if ray.is_initialized():
        yield
        return
    if address is not None:
        _check_answers(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        if address is None:
            ray.init("local", num_cpus=workers or cores(), num_gpus=0, include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = "be started on this machine" if address is None else f"be reached at '{address}'"
        raise DatabaseError(f"Ray cannot {where}: {_first_line(error)}.") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse an address where nothing listens; ``auto`` is Ray's business."""
    found = re.fullmatch(r"\[?([^\]/]+?)\]?:(\d+)", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise DatabaseError(
            f"no Ray cluster answers at '{address}' ({error}). Start one (`ray start --head` tells its address), "
            "or leave the address out for Ray on this machine."
        ) from error


def _number(ray: Any, workers: int | None) -> int:
    there = int(ray.cluster_resources().get("CPU", 0))
    if there < (workers or 1):
        raise DatabaseError(f"{workers or 1} workers are asked for, but Ray has {there} cores. Ask for fewer.")
    return workers or there


def _why(error: Exception) -> str:
    detail = re.search(r"Worker exit type: (\w+)", str(error))
    return f"the Ray worker died ({detail[1] if detail else type(error).__name__})"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(".")
