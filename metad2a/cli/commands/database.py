"""metad2a database: look at a database, whatever form it has. Heavy imports happen inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Look at databases of labels: unfinished ones and published ones.")

Where = Annotated[
    Path, typer.Argument(help="A store (store.sqlite), the folder it lies in, or a published database's folder.")
]


@app.command()
def status(where: Where) -> None:
    """Show how many labels there are, by source of the images and part of the split."""
    from metad2a.cli.commands import database_status

    database_status.run(where)


@app.command()
def audit(
    where: Annotated[str, typer.Argument(help="A published database's folder, or the name of a shipped one.")],
    benchmark: Annotated[
        Path | None,
        typer.Option(help="A table of true accuracies, .csv or .parquet, with a column arch."),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Which of its columns is the truth.")] = None,
    at_least: Annotated[int, typer.Option(help="Labels of a task for ranks within it.")] = 4,
    json: Annotated[Path | None, typer.Option(help="Write all numbers here.")] = None,
) -> None:
    """Measure leakage and noise: repeated cells, what parts of a split share, agreement with a benchmark."""
    from metad2a.cli.commands import database_audit

    database_audit.run(where, benchmark=benchmark, column=column, at_least=at_least, json_file=json)
