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
