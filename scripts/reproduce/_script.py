"""What the scripts of this folder share: how they are called, how they end, and the form of their results."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metad2a.errors import MetaD2AError
from metad2a.evaluation.paper.files import PREDICTOR, OfficialFile, OfficialFolder
from metad2a.runtime import DEVICES, write_json, write_text

Rows = Sequence[Sequence[str]]


def parser(doc: str | None, name: str) -> argparse.ArgumentParser:
    """Return a parser with what all scripts take; results go to ``runs/reproduce/NAME``."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "folder",
        metavar="OFFICIAL_FOLDER",
        type=Path,
        help="that in which the authors' code runs, with data/ and results/; or any with their files in it",
    )
    made.add_argument("--out", type=Path, default=Path("runs/reproduce") / name, help="(default: %(default)s)")
    return made


def add_models(made: argparse.ArgumentParser) -> None:
    """Add where the models are and where they run."""
    for name in ("generator", "predictor"):
        made.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"the {name}, where it is elsewhere")
    made.add_argument("--device", choices=DEVICES, default="auto")


def find_models(official: OfficialFolder, generator: OfficialFile, given: argparse.Namespace) -> tuple[Path, Path]:
    """Return where the generator and the predictor are."""
    return official.file(generator, given=given.generator), official.file(PREDICTOR, given=given.predictor)


def at_least(smallest: int) -> Callable[[str], int]:
    """Return the type of an option that is a number of at least ``smallest``."""

    def number(text: str) -> int:
        value = int(text)
        if value < smallest:
            raise argparse.ArgumentTypeError(f"{value} is less than {smallest}")
        return value

    return number


def run(main: Callable[[], None]) -> None:
    """Run a script; exit with 1 (the user's mistake, one message) or 130 (interrupted) if it does not end well."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    try:
        main()
    except MetaD2AError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted. The same command goes on with what is not finished.", file=sys.stderr)
        sys.exit(130)


def write(out: Path, name: str, content: dict[str, Any], table: str) -> None:
    """Write the numbers as JSON and the table as Markdown, and show both places and the table."""
    write_json(out / f"{name}.json", content)
    write_text(out / f"{name}.md", table)
    print(f"\n{table}\nwrote {out / name}.json and {name}.md", flush=True)


def markdown(columns: Sequence[str], rows: Rows) -> str:
    """Return a table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(mean: float | None, half: float | None = None) -> str:
    """Return a number with its interval, to two digits."""
    if mean is None:
        return "-"
    return f"{mean:.2f}" + ("" if half is None else f" ± {half:.2f}")
