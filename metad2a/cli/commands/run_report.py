"""metad2a report."""

from pathlib import Path

from metad2a.cli import output
from metad2a.cli.commands.search import command_line
from metad2a.errors import UserError
from metad2a.reporting.reports import runs_report
from metad2a.runtime import check_writable
from metad2a.tracking.read import list_runs


def run(folder: Path, html: Path) -> None:
    """Write the learning curves of the runs below ``folder``."""
    check_writable(html)
    if not list_runs(folder):
        raise UserError(f"there is no run in {folder}. Give a run's folder, or one that holds runs.")
    runs_report(html, folder, command=command_line())
    output.wrote(html)
