"""Making one store of several databases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from metad2a.database.store import Store
from metad2a.database.upkeep.contents import Contents, contents
from metad2a.errors import ConfigError, DatabaseError
from metad2a.runtime import Bar

_AT_ONCE = 1000


@dataclass(frozen=True)
class Conflict:
    """One label that two databases tell differently.

    Attributes:
        key: of the record.
        what: is told: ``accuracy`` or ``split``.
        kept: value that stays, of what came first.
        other: value that does not.
        where: it was found.
    """

    key: str
    what: str
    kept: Any
    other: Any
    where: Path

    def __str__(self) -> str:
        return f"{self.where}: record {self.key}: its {self.what} is {self.other}, but was {self.kept}, which stays"


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        added: labels that were not there before.
        replaced: failures for which there is a label now.
        same: labels that were there already.
        conflicts: labels that are told differently.
    """

    added: int
    replaced: int
    same: int
    conflicts: tuple[Conflict, ...]


def merge(databases: Sequence[str | Path], out: str | Path) -> Merged:
    """Write the records of ``databases`` to the store at ``out``, which may have some already.

    A label that several have is kept once; where they disagree, the first stays and the conflict is reported. A
    label beats a failure. Where the databases come from goes to the notes. It can be interrupted and run again.

    Args:
        databases: stores, folders, names of shipped databases; they are only read.
        out: a store's file.

    Raises:
        ConfigError: there is nothing to merge, or ``out`` is one of ``databases``.
        DatabaseError: they are of several search spaces, one is damaged, or a source has two licences.
        OutputError: ``out`` cannot be written.
    """
    if not databases:
        raise ConfigError("there is nothing to merge. Name at least one database.")
    with Store(out) as store:
        _check(databases, store)
        parts = []
        for where in databases:
            with contents(where) as found:
                parts.append(_add(found, store))
    return Merged(
        added=sum(part.added for part in parts),
        replaced=sum(part.replaced for part in parts),
        same=sum(part.same for part in parts),
        conflicts=tuple(conflict for part in parts for conflict in part.conflicts),
    )


def _check(databases: Sequence[str | Path], store: Store) -> None:
    """Refuse what cannot be merged before anything is written."""
    spaces = {store.space: store.path} if store.space else {}
    licences = {source: (text, store.path) for source, text in store.sources().items()}
    for where in databases:
        with contents(where) as found:
            if found.where.absolute() == store.path.absolute():
                raise ConfigError(f"{store.path} is what is written to. Leave it out of what is merged.")
            if found.space is not None:
                spaces.setdefault(found.space, found.where)
            for source, text in found.sources.items():
                known, first = licences.setdefault(source, (text, found.where))
                if known != text:
                    raise DatabaseError(
                        f"the licence of '{source}' is '{known}' in {first} and '{text}' in {found.where}. Agree "
                        "on one: `metad2a database export --licence` writes a copy with another text."
                    )
    if len(spaces) > 1:
        listed = " and ".join(f"{space} ({path})" for space, path in spaces.items())
        raise DatabaseError(f"databases of several search spaces cannot be merged: {listed}.")


def _add(found: Contents, store: Store) -> Merged:
    store.add_tasks(found.tasks)
    store.add_recipes(found.recipes)
    origin = {"name": found.name, "command": found.command, "notes": dict(found.notes)}
    store.describe(sources=found.sources, notes=_with_origin(store.notes(), origin))
    counts = dict.fromkeys(("added", "replaced", "same"), 0)
    conflicts: list[Conflict] = []
    rows = iter(found.rows())
    with Bar(f"merging {found.where}", None) as bar:
        while batch := list(islice(rows, _AT_ONCE)):
            known = store.rows_by_key([row["key"] for row in batch])
            changed = []
            for row in batch:
                old = known.get(row["key"])
                told = [] if old is None else _conflicts(old, row, found.where)
                kind, best = _best(old, row)
                if best != old:
                    changed.append(best)
                if not told:
                    counts[kind] += 1
                conflicts += told
            store.put_rows(changed)
            bar.advance(f"{sum(counts.values()) + len(conflicts):,} labels")
    return Merged(**counts, conflicts=tuple(conflicts))


def _with_origin(notes: dict[str, Any], origin: dict[str, Any]) -> dict[str, Any]:
    merged = notes.get("merged", [])
    return notes | {"merged": [*merged, *([] if origin in merged else [origin])]}


def _best(old: dict[str, Any] | None, new: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what becomes of a row, and what is stored."""
    if old is None:
        return "added", new
    split = {"split": old["split"] or new["split"]}
    if old["status"] == "failed" and new["status"] == "ok":
        return "replaced", new | split
    return "same", old | split


def _conflicts(old: Mapping[str, Any], new: Mapping[str, Any], where: Path) -> list[Conflict]:
    return [
        Conflict(old["key"], what, old[what], new[what], where)
        for what in ("accuracy", "split")
        if old[what] is not None and new[what] is not None and old[what] != new[what]
    ]
