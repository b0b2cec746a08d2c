"""metad2a benchmark: its commands and their options."""

from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core


class _SuiteByDefault(typer.core.TyperGroup):
    """``metad2a benchmark`` and options without a command mean ``metad2a benchmark suite``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the command that was left out."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["suite", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_SuiteByDefault, help="Measure speed, memory and growth; without a command, the suite.")

Threads = Annotated[int, typer.Option(help="Compute threads.")]
Only = Annotated[str | None, typer.Option(help="A part of the names of those wanted, or all of it with * and ?.")]
ResultFile = Annotated[Path | None, typer.Option("--json", help="Write all numbers here.")]


@app.command("suite")
def suite(
    only: Only = None,
    threads: Threads = 1,
    repeat: Annotated[int | None, typer.Option(help="Repetitions; else as many as a steady median needs.")] = None,
    json: ResultFile = None,
) -> None:
    """Measure the speed and memory of everything, beside the official figures and a matrix product."""
    from metad2a.cli.commands import benchmark as command

    command.run(only=only, threads=threads, repeat=repeat, json_file=json)


@app.command("compare")
def compare(
    old: Annotated[Path, typer.Argument(help="What `metad2a benchmark --json` wrote.")],
    new: Annotated[Path, typer.Argument(help="The same, later or elsewhere.")],
    worse_than: Annotated[
        float | None,
        typer.Option(help="Exit with 1 where a case is more than so many times slower, on equal cores."),
    ] = None,
) -> None:
    """Compare two results of the benchmark."""
    from metad2a.cli.commands import benchmark as command

    command.compare(old, new, worse_than=worse_than)


@app.command("profile")
def profile(
    case: Annotated[str, typer.Argument(help="Name of a case, as in the suite's table.")],
    threads: Threads = 1,
    top: Annotated[int, typer.Option(help="How many operators to print.")] = 12,
) -> None:
    """Show where the time of a case goes, by PyTorch's operators."""
    from metad2a.cli.commands import benchmark as command

    command.profile(case, threads=threads, top=top)


@app.command("growth")
def growth(
    only: Only = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only the smallest sizes: does it run?")] = False,
    threads: Threads = 1,
    json: ResultFile = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with the picture here.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the picture here.")] = None,
) -> None:
    """Measure how time and memory grow with candidates, classes, images and records."""
    from metad2a.cli.commands import benchmark as command

    command.growth(only=only, quick=quick, threads=threads, json_file=json, html_file=html, svg_file=svg)
