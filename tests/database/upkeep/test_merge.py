import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from metad2a.database.published import MetaDatabase, record_row
from metad2a.database.records import GLYPHS, Job, Record
from metad2a.database.store import Store
from metad2a.database.upkeep.export import CSV_COLUMNS, export
from metad2a.database.upkeep.merge import Merged, merge
from metad2a.errors import ConfigError, DatabaseError, OutputError

MakeStore = Callable[..., Path]


def rows(path: Path) -> dict[str, dict[str, object]]:
    with Store(path, read_only=True) as store:
        return {row["key"]: row for row in store.each_row()}


def test_parts_merged_equal_the_whole(make_store: MakeStore, jobs: Sequence[Job], tmp_path: Path) -> None:
    whole = make_store(jobs, "whole")
    first, second = make_store(jobs[:5], "first"), make_store(jobs[3:], "second")
    with Store(second) as store:
        store.publish(tmp_path / "published")
    out = tmp_path / "out" / "store.sqlite"
    assert merge([first, tmp_path / "published"], out) == Merged(added=9, replaced=0, same=2, conflicts=())
    assert rows(out) == rows(whole)
    assert merge([first.parent, second], out) == Merged(added=0, replaced=0, same=11, conflicts=())
    with Store(out) as store:
        assert store.sources() == {GLYPHS: "ours"}
        assert [origin["command"] for origin in store.notes()["merged"]] == ["build first", "build second"]
        database = store.publish(tmp_path / "again")
    assert [origin["name"] for origin in database.manifest["notes"]["merged"]] == ["first", "second"]
    assert set(database.records["key"]) == {job.key for job in jobs}


def test_a_label_beats_a_failure_and_conflicts_are_told(
    make_store: MakeStore, jobs: Sequence[Job], tmp_path: Path
) -> None:
    first, second = make_store(jobs, "first"), make_store(jobs, "second")
    with Store(first) as store:
        store.put(Record.failure(jobs[0], "died"))
        store.put_rows([rows(second)[jobs[1].key] | {"accuracy": 1.0, "split": "train"}])
        store.put_rows([rows(second)[jobs[3].key] | {"split": None}])
    with Store(second) as store:
        store.put_rows([rows(second)[job.key] | {"split": "valid"} for job in (jobs[1], jobs[3])])
        store.put(Record.failure(jobs[2], "died"))
    out = tmp_path / "out.sqlite"
    done = merge([first, second], out)
    assert (done.added, done.replaced, done.same) == (9, 1, 7)
    told = [(conflict.key, conflict.what, conflict.kept, conflict.other) for conflict in done.conflicts]
    accuracy = rows(second)[jobs[1].key]["accuracy"]
    assert told == [(jobs[1].key, "accuracy", 1.0, accuracy), (jobs[1].key, "split", "train", "valid")]
    assert f"its accuracy is {accuracy}, but was 1.0, which stays" in str(done.conflicts[0])
    found = rows(out)
    assert {row["status"] for row in found.values()} == {"ok"}
    assert (found[jobs[1].key]["accuracy"], found[jobs[1].key]["split"]) == (1.0, "train")
    assert found[jobs[3].key]["split"] == "valid"


def test_what_cannot_be_merged_is_refused_before_anything_is_written(
    make_store: MakeStore, jobs: Sequence[Job], tmp_path: Path
) -> None:
    first, other = make_store(jobs[:2], "first"), tmp_path / "other.sqlite"
    with Store(other) as store:
        store.put_rows([record_row(Record.failure(replace(jobs[0], space="mobilenetv3"), "why"))])
    out = tmp_path / "out.sqlite"
    with pytest.raises(DatabaseError, match=r"several search spaces.*nasbench201.*mobilenetv3"):
        merge([first, other], out)
    with Store(other) as store:
        store.remove(list(store.keys()))
        store.describe(sources={GLYPHS: "theirs"})
    with pytest.raises(DatabaseError, match=r"licence of 'embedded:glyphs' is 'ours' in .* and 'theirs'"):
        merge([first, other], out)
    with pytest.raises(DatabaseError, match="there is no database"):
        merge([first, tmp_path / "nowhere"], out)
    assert rows(out) == {}
    with pytest.raises(ConfigError, match="Leave it out"):
        merge([first], first)
    with pytest.raises(ConfigError, match="nothing to merge"):
        merge([], out)


def test_export_to_a_folder_and_to_a_table(make_store: MakeStore, jobs: Sequence[Job], tmp_path: Path) -> None:
    path = make_store(jobs)
    with Store(path) as store:
        store.put(Record.failure(jobs[0], "DivergedError: too fast, too wild"))
    export(path, tmp_path / "one", name="mine")
    export(tmp_path / "one", tmp_path / "two", licences={GLYPHS: "still ours"})
    one, two = MetaDatabase.load(tmp_path / "one"), MetaDatabase.load(tmp_path / "two")
    assert (one.name, two.name, two.manifest["sources"]) == ("mine", "mine", {GLYPHS: "still ours"})
    assert one.records.equals(two.records)
    assert one.manifest["files"] == two.manifest["files"]
    export(tmp_path / "one", tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        table = {row["key"]: row for row in csv.DictReader(file)}
    assert list(table[jobs[0].key]) == list(CSV_COLUMNS)
    assert table[jobs[0].key]["error"] == "DivergedError: too fast, too wild"
    row = table[jobs[1].key]
    assert float(row["accuracy"]) == rows(path)[jobs[1].key]["accuracy"]
    assert (row["source"], row["recipe_name"], row["epochs"], row["arch"]) == (GLYPHS, "tiny", "2", jobs[1].arch)


def test_what_cannot_be_exported_is_refused(make_store: MakeStore, jobs: Sequence[Job], tmp_path: Path) -> None:
    with Store(tmp_path / "empty" / "store.sqlite") as store:
        store.announce(jobs)
    with pytest.raises(DatabaseError, match="no record yet"):
        export(tmp_path / "empty", tmp_path / "out")
    with Store(tmp_path / "empty" / "store.sqlite") as store:
        store.put(Record.failure(jobs[0], "why"))
    with pytest.raises(DatabaseError, match="licence of 'embedded:glyphs'"):
        export(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(make_store(jobs), tmp_path / "out")
    with pytest.raises(OutputError, match="give another folder"):
        export(tmp_path / "out", tmp_path / "out")
