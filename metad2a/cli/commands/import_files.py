"""metad2a import."""

from pathlib import Path

from metad2a.cli import output
from metad2a.errors import unknown_name

WHAT = ("metad2a-database",)


def run(what: str, source: Path, out: Path) -> None:
    """Read official files and write them in this project's formats."""
    if what not in WHAT:
        raise unknown_name("kind of import", what, WHAT)
    from metad2a.database.official import import_official

    database = import_official(source, out)
    output.console.print(f"{len(database.records)} records of {len(database.tasks)} tasks")
    output.wrote(out)
