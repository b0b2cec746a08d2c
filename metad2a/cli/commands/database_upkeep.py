"""metad2a database status | verify | export | merge."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from metad2a.cli import output
from metad2a.database.upkeep.contents import STORE_FILE, store_file
from metad2a.database.upkeep.export import export as export_database
from metad2a.database.upkeep.merge import merge as merge_databases
from metad2a.database.upkeep.repair import repair as repair_store
from metad2a.database.upkeep.status import Status
from metad2a.database.upkeep.status import status as status_of
from metad2a.database.upkeep.verify import verify as verify_database
from metad2a.errors import ConfigError, DatabaseError
from metad2a.runtime import check_writable, duration, write_json

_SHOWN = 20  # problems or conflicts


def status(where: str, *, json_file: Path | None) -> None:
    """Print how far a database is; write it to a file where one is given."""
    if json_file is not None:
        check_writable(json_file)
    found = status_of(where)
    rows = [
        [
            *(count.source, count.split or "", count.status, found.recipes.get(count.recipe, count.recipe)),
            *(f"{count.tasks:,}", f"{count.labels:,}", f"{count.seconds / 3600:.2f}" if count.seconds else ""),
        ]
        for count in found.counts
    ]
    columns = ["images", "split", "status", "recipe", "tasks", "labels", "core-hours"]
    output.print_rows(f"{found.name} ({found.space or 'no records yet'})", columns, rows)
    for line in _lines(found):
        output.console.print(escape(line))
    if json_file is not None:
        write_json(json_file, {"schema_version": 1, **asdict(found), "where": str(found.where)})
        output.wrote(json_file)


def _lines(found: Status) -> list[str]:
    growth = found.growth
    labels = sum(count.labels for count in found.counts)
    lines = [f"{labels:,} labels, {found.bytes / 1e6:,.1f} MB at {found.where}"]
    if growth.left is not None:
        rate, left = growth.per_minute, f"{growth.left:,} of the last plan's labels are left"
        lines.append(
            left if rate is None else f"{left}: {duration(60 * growth.left / rate)} at {rate:.3g} a minute"
        )
    if growth.last is not None:
        lines.append(f"the last label came {duration(growth.last)} ago")
    lines += ["a program is building it now"] * growth.building
    return [*lines, *([f"built by: {found.command}"] if found.command else [])]


def verify(where: str, *, repair: bool) -> None:
    """Print what is wrong; with ``repair``, drop it from a store. Exit with 1 if something is wrong in the end."""
    problems = verify_database(where)
    for problem in problems[:_SHOWN]:
        print(problem, file=sys.stderr)
    if len(problems) > _SHOWN:
        print(f"... and {len(problems) - _SHOWN:,} more", file=sys.stderr)
    path = store_file(where)
    if problems and repair and path is not None:
        _repair(path)
        problems = verify_database(where)
    if problems:
        if path is None:
            advice = "A published database is not changed: get it again, or export it again from its store."
        elif not repair:
            advice = f"`metad2a database verify {where} --repair` drops what is wrong from the store."
        else:
            advice = f"The store is whole: `metad2a database export {path} {path.parent}` publishes it again."
        raise DatabaseError(f"{len(problems):,} problems in {where}. {advice}")
    output.console.print(f"{escape(where)} is whole")


def _repair(path: Path) -> None:
    done = repair_store(path)
    output.console.print(
        f"{done.kept:,} labels kept, {len(done.dropped):,} dropped; the same build again computes what is missing"
    )
    if done.set_aside is not None:
        output.console.print(f"the damaged file is now {escape(str(done.set_aside))}")


def export(where: str, out: Path, *, name: str | None, licences: Sequence[str]) -> None:
    """Write a database for others."""
    export_database(where, out, name=name, licences=_licences(licences))
    output.wrote(out)


def _licences(texts: Sequence[str]) -> Mapping[str, str]:
    pairs = [text.partition("=") for text in texts]
    for source, _, licence in pairs:
        if not source or not licence:
            raise ConfigError(f"--licence '{source}': give SOURCE=TEXT, such as --licence 'mine=CC BY 4.0'.")
    return {source: licence for source, _, licence in pairs}


def merge(databases: Sequence[str], out: Path) -> None:
    """Make one store of several databases."""
    path = out / STORE_FILE if out.is_dir() or not out.suffix else out
    done = merge_databases(databases, path)
    output.console.print(
        f"{escape(str(path))}: {done.added:,} labels added, {done.replaced:,} in place of failures, "
        f"{done.same:,} known before, {len(done.conflicts):,} conflicts"
    )
    for conflict in done.conflicts[:_SHOWN]:
        print(conflict, file=sys.stderr)
    if len(done.conflicts) > _SHOWN:
        print(f"... and {len(done.conflicts) - _SHOWN:,} more", file=sys.stderr)
