"""metad2a database: look at a database, whatever form it has. Heavy imports happen inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Look at, check, join and write databases of labels: those being built and published ones.",
)

Where = Annotated[
    str,
    typer.Argument(
        help="A store (store.sqlite), the folder it lies in, a published folder, or a shipped one's name."
    ),
]


@app.command()
def status(
    where: Where,
    json: Annotated[Path | None, typer.Option(help="Write all numbers here.")] = None,
) -> None:
    """Show how many labels there are, of what, how fast they come, and what is left."""
    from metad2a.cli.commands import database_upkeep

    database_upkeep.status(where, json_file=json)


@app.command()
def verify(
    where: Where,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Drop wrong rows from a store, so that the next build computes them anew."),
    ] = False,
) -> None:
    """Check files and every row of a database; exit with 1 if something is wrong."""
    from metad2a.cli.commands import database_upkeep

    database_upkeep.verify(where, repair=repair)


@app.command()
def export(
    where: Where,
    out: Annotated[Path, typer.Argument(help="A folder (Parquet files and a manifest), or FILE.csv for people.")],
    name: Annotated[str | None, typer.Option(help="Of the published database.")] = None,
    licence: Annotated[
        list[str] | None, typer.Option(help="SOURCE=TEXT: of the images, where it is not known; can be repeated.")
    ] = None,
) -> None:
    """Write a database for others."""
    from metad2a.cli.commands import database_upkeep

    database_upkeep.export(where, out, name=name, licences=licence or [])


@app.command()
def merge(
    databases: Annotated[list[str], typer.Argument(help="Stores, folders, names of shipped databases.")],
    out: Annotated[
        Path, typer.Option(help="Store to write, or the folder it lies in; it may have labels already.")
    ],
) -> None:
    """Make one store of several databases; tell where they disagree."""
    from metad2a.cli.commands import database_upkeep

    database_upkeep.merge(databases, out)


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
