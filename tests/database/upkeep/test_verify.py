import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from metad2a.database.builder import BuildSummary, build
from metad2a.database.executors import Inline
from metad2a.database.parquet_files import sha256
from metad2a.database.records import Job
from metad2a.database.store import Store
from metad2a.database.upkeep.repair import repair
from metad2a.database.upkeep.verify import verify
from metad2a.errors import DatabaseError

MakeStore = Callable[..., Path]
Damage = Callable[..., None]

WRONG = {
    "accuracy = 12.5": "its accuracy is 12.5, but its curve says",
    "accuracy = accuracy + 200": "between 0 and 100",
    "accuracy = NULL": "its accuracy is None",
    "accuracy = 'high'": "its accuracy is 'high'",
    "best_accuracy = 0.0": "its best_accuracy is 0.0, but its curve says",
    "curve = '[{'": "curve or versions cannot be read",
    "curve = '[3]'": "curve or versions cannot be read",
    "curve = NULL": "its curve is None",
    "versions = '[]'": "its versions are",
    "arch = '|none~0|'": "key does not belong",
    "canonical = 'x'": "canonical text does not belong",
    "seed = 5": "key does not belong",
    "key = 'x'": "key does not belong",
    "status = 'done'": "status is 'done'",
    "status = 'failed'": "failed, but without a reason",
    "task = 'x'": "task is not known",
    "recipe = 'x'": "recipe is not known",
}


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


def test_a_whole_database_has_no_problems(make_store: MakeStore, jobs: Sequence[Job]) -> None:
    path = make_store(jobs)
    assert verify(path) == verify(path.parent) == []
    with Store(path) as store:
        store.publish(path.parent)
    assert verify(path.parent) == []
    assert verify("demo") == []


@pytest.mark.parametrize("statement", WRONG)
def test_a_wrong_row_is_found_and_dropped(make_store: MakeStore, jobs: Sequence[Job], statement: str) -> None:
    path = make_store(jobs)
    change(path, f"UPDATE records SET {statement} WHERE key = '{jobs[4].key}'")  # noqa: S608
    (problem,) = verify(path)
    assert problem.key == ("x" if statement.startswith("key") else jobs[4].key)
    assert WRONG[statement] in str(problem)
    done = repair(path)
    assert (done.kept, done.dropped, done.set_aside) == (len(jobs) - 1, (problem.key,), None)
    assert verify(path) == []
    with Store(path) as store:
        assert store.keys() == {job.key for job in jobs} - {jobs[4].key}


def test_a_recipe_that_was_changed_is_found(make_store: MakeStore, jobs: Sequence[Job]) -> None:
    path = make_store(jobs)
    change(path, "UPDATE recipes SET content = replace(content, '\"epochs\": 2', '\"epochs\": 3')")
    problems = verify(path)
    assert len(problems) == len(jobs)
    assert "fingerprint does not belong" in str(problems[0])


def test_what_is_computed_anew_equals_what_was_lost(jobs: Sequence[Job], tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    with Store(path) as store:
        build(jobs[:4], store, Inline())
        before = store.rows()
    change(path, f"UPDATE records SET curve = substr(curve, 9) WHERE key = '{jobs[2].key}'")  # noqa: S608
    repair(path)
    with Store(path) as store:
        assert build(jobs[:4], store, Inline()) == BuildSummary(computed=1, failed=0, known=3, left=0)
        clock = {"seconds": None}
        assert [row | clock for row in store.rows()] == [row | clock for row in before]


@pytest.mark.parametrize("start", [0.2, 0.4, 0.6, 0.8])
def test_of_a_damaged_file_all_is_saved_that_can_be_read(
    make_store: MakeStore, many_jobs: Sequence[Job], damage: Damage, start: float
) -> None:
    path = make_store(many_jobs)
    with Store(path) as store:
        before = {row["key"]: row for row in store.each_row()}
    damage(path, start, 9000)  # three pages of about sixty
    problems = verify(path)
    assert problems
    assert all(problem.key is None for problem in problems)
    done = repair(path)
    assert done.set_aside is not None
    assert done.set_aside.is_file()
    assert verify(path) == []
    with Store(path) as store:
        after = {row["key"]: row for row in store.each_row()}
        assert len(after) == done.kept > len(many_jobs) * 0.7
        assert after.items() <= before.items()
        store.announce(many_jobs)  # what the next build begins with
        assert store.sources() == {"embedded:glyphs": "ours"}


def test_a_damaged_file_tells_what_to_do(make_store: MakeStore, many_jobs: Sequence[Job], damage: Damage) -> None:
    path = make_store(many_jobs)
    damage(path, 0.1, int(0.9 * path.stat().st_size))
    with (
        pytest.raises(DatabaseError, match=r"is damaged.*metad2a database verify .* --repair"),
        Store(path) as store,
    ):
        list(store.each_row())
    damage(path, 0.0, 100)
    assert "cannot be read" in str(verify(path)[0])
    with pytest.raises(DatabaseError, match=r"nothing can be read.*metad2a database merge"):
        repair(path)


def test_a_store_that_is_written_is_not_repaired(
    make_store: MakeStore, many_jobs: Sequence[Job], damage: Damage
) -> None:
    path = make_store(many_jobs)
    with Store(path), pytest.raises(DatabaseError, match="another program is building"):
        repair(path)
    damage(path, 0.3, 9000)
    with Store(path), pytest.raises(DatabaseError, match="another program is building"):
        repair(path)


def test_a_damaged_publication_is_found(make_store: MakeStore, jobs: Sequence[Job], damage: Damage) -> None:
    path = make_store(jobs)
    with Store(path) as store:
        store.publish(path.parent / "out")
    folder = path.parent / "out"
    damage(folder / "records.parquet", 0.5, 4)
    assert "checksum differs" in str(verify(folder)[0])
    with pytest.raises(DatabaseError, match="there is no database"):
        verify(path.parent / "nowhere")


def test_a_wrong_row_is_found_in_what_was_published(make_store: MakeStore, jobs: Sequence[Job]) -> None:
    path = make_store(jobs)
    folder = path.parent / "out"
    with Store(path) as store:
        store.publish(folder)
    table = pq.read_table(folder / "records.parquet")
    column = table.column_names.index("accuracy")
    values = [50.0, *table["accuracy"].to_pylist()[1:]]
    pq.write_table(table.set_column(column, table.schema.field(column), [values]), folder / "records.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["records.parquet"] = sha256(folder / "records.parquet")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (problem,) = verify(folder)
    assert "its accuracy is 50.0, but its curve says" in str(problem)
