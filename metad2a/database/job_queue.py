"""Which job a worker gets next."""

from collections import deque
from collections.abc import Sequence

from metad2a.database.records import Job


class JobQueue:
    """Jobs by task: a worker keeps to its task, whose images it has, as long as there is something to do."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting: dict[str, deque[Job]] = {}
        for job in jobs:
            self._waiting.setdefault(job.task.id, deque()).append(job)
        self._untouched = deque(self._waiting)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def holds(self, task: str) -> bool:
        """Return whether a job of ``task`` is left."""
        return task in self._waiting

    def take(self, task: str) -> Job | None:
        """Return a job of ``task``, else of one nobody works on, else of the one with the most left."""
        if task not in self._waiting:
            if self._untouched:
                task = self._untouched.popleft()
            elif self._waiting:
                task = max(self._waiting, key=lambda name: len(self._waiting[name]))
            else:
                return None
        jobs = self._waiting[task]
        job = jobs.popleft()
        if not jobs:
            del self._waiting[task]
        return job
