"""metad2a database status."""

from pathlib import Path

from metad2a.cli import output
from metad2a.database.store import Store


def run(where: Path) -> None:
    """Print what a store holds."""
    path = where / "store.sqlite" if where.is_dir() else where
    with Store(path, read_only=True) as store:
        counts = store.counts()
    rows = [[*(part or "" for part in parts), f"{number:,}"] for parts, number in counts.items()]
    output.print_rows(str(path), ["images", "split", "status", "labels"], rows)
