from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from metad2a.database.records import GLYPHS, Job, Record
from metad2a.database.store import Store
from metad2a.database.upkeep.status import Count, _rate, status
from metad2a.errors import DatabaseError

MakeStore = Callable[..., Path]


def test_what_a_store_holds(make_store: MakeStore, jobs: Sequence[Job]) -> None:
    path = make_store(jobs[:5])
    recipe = jobs[0].recipe.fingerprint
    with Store(path) as store:
        store.put(Record.failure(jobs[5], "why"))
        store.announce(jobs)  # a larger plan
        assert status(path).growth.building
    found = status(path.parent)
    assert (found.where, found.name, found.space, found.command) == (path, "db", "nasbench201", "build db")
    assert found.counts == (
        Count(GLYPHS, None, "failed", recipe, tasks=1, labels=1, seconds=0.0),
        Count(GLYPHS, None, "ok", recipe, tasks=2, labels=5, seconds=2.5),
    )
    assert found.recipes == {recipe: "tiny"}
    assert (found.growth.left, found.growth.building) == (3, False)
    assert found.growth.last is not None
    assert 0 <= found.growth.last < 60
    assert found.bytes >= path.stat().st_size


def test_what_was_published_holds_the_same(make_store: MakeStore, jobs: Sequence[Job], tmp_path: Path) -> None:
    path = make_store(jobs)
    with Store(path) as store:
        store.put(Record.failure(jobs[5], "why"))
        store.publish(tmp_path / "out")
    before, after = status(path), status(tmp_path / "out")
    assert after.counts == before.counts
    assert (after.name, after.recipes, after.command) == (before.name, before.recipes, before.command)
    assert (after.growth.left, after.growth.per_minute, after.growth.last) == (None, None, None)
    assert [count.labels for count in status("demo").counts] == [240]
    with pytest.raises(DatabaseError, match="there is no database"):
        status(tmp_path / "nowhere")
    with pytest.raises(DatabaseError, match=r"neither store\.sqlite nor manifest\.json"):
        status(tmp_path)


def test_labels_that_were_made_elsewhere_say_nothing_about_the_rate(
    make_store: MakeStore, jobs: Sequence[Job]
) -> None:
    path = make_store(jobs[:5])  # all at once, as a merge does
    assert (status(path).growth.per_minute, status(path).growth.last) == (None, None)
    with Store(path) as store:
        for job in jobs[5:7]:
            store.put(Record.failure(job, "why"))
    assert status(path).growth.per_minute is not None


def test_the_rate_leaves_out_pauses() -> None:
    assert _rate([]) is None
    assert _rate([7.0]) is None
    newest_first = [10_020.0, 10_010.0, 10_000.0, 20.0, 10.0, 0.0]
    assert _rate(newest_first) == pytest.approx(6.0)
