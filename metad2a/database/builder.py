"""Building a database: compute the labels that are missing, write down each as it comes."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from metad2a.database.executors import Executor
from metad2a.database.records import Job, Record
from metad2a.database.store import Store
from metad2a.runtime import Bar


@dataclass(frozen=True)
class BuildSummary:
    """What a build did.

    Attributes:
        computed: labels found out.
        failed: trainings that gave none, now or (not tried again) before; the records say why.
        known: labels that were there before.
        left: labels still missing, because of ``limit``.
    """

    computed: int
    failed: int
    known: int
    left: int


def build(
    jobs: Sequence[Job],
    store: Store,
    executor: Executor,
    *,
    on_record: Callable[[Record], None] | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
) -> BuildSummary:
    """Compute what ``store`` lacks of ``jobs``. It can be stopped and called again at any time.

    Args:
        jobs: wanted labels.
        store: gets each record as soon as it is there.
        executor: where the networks are trained.
        on_record: called with each new record after it is stored.
        limit: compute at most so many now.
        retry_failed: try again what failed before.

    Raises:
        DatabaseError: the store holds another search space, or the executor cannot start.
        KeyboardInterrupt: Ctrl-C; what was finished is stored.
    """
    store.announce(jobs)
    known, not_again = settled(store, retry_failed=retry_failed)
    by_key = {job.key: job for job in jobs}
    missing = [job for key, job in by_key.items() if key not in known and key not in not_again]
    chosen = missing[:limit]
    failed = 0
    with (
        Bar("training networks", len(by_key), done=len(by_key) - len(missing), unit="labels") as bar,
        closing(executor.run(chosen)) as records,
    ):
        for record in records:
            store.put(record)
            failed += record.status == "failed"
            bar.advance(f"{failed} failed" if failed else "")
            if on_record is not None:
                on_record(record)
    return BuildSummary(
        computed=len(chosen) - failed,
        failed=failed + sum(key in not_again for key in by_key),
        known=sum(key in known for key in by_key),
        left=len(missing) - len(chosen),
    )


def settled(store: Store, *, retry_failed: bool) -> tuple[set[str], set[str]]:
    """Return the keys of the labels that are known, and of those that failed and are not tried again."""
    return store.keys("ok"), set() if retry_failed else store.keys("failed")
