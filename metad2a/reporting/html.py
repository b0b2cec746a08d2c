"""One report, one HTML file: no script, no network, readable on a phone, on a desktop and on paper."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from metad2a.reporting.figures import Cell, Chart, Table
from metad2a.reporting.scatter import STYLE
from metad2a.reporting.thumbnails import ClassPictures
from metad2a.runtime import write_text

if TYPE_CHECKING:
    from markupsafe import Markup

_MANY, _LONG = 3, 30  # columns, signs in a cell
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Drawing:
    """A small picture with words below it: ``svg`` from ``cells.draw_cell``."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Step:
    """Something to do: why, and the command."""

    text: str
    command: str


@dataclass(frozen=True)
class Section:
    """One part of a report; what is empty is left out, the rest comes in the order of the fields.

    Attributes:
        heading: its title.
        text: a short text; an empty line begins a new paragraph.
        warning: a sentence that must not be overlooked.
        notes: sentences, as a list.
        facts: names and values, as a list.
        classes: pictures of the classes of a data set, as a grid.
        chart: a figure, with its numbers as a table to unfold.
        charts: figures beside each other, each with its numbers.
        cells: drawings, as a grid.
        table: a table.
        more: a second table to unfold, under the given words.
        steps: what to do, with commands to be copied.
    """

    heading: str
    text: str = ""
    warning: str = ""
    notes: Sequence[str] = ()
    facts: Mapping[str, Cell] = field(default_factory=dict)
    classes: Sequence[ClassPictures] = ()
    chart: Chart | None = None
    charts: Sequence[Chart] = ()
    cells: Sequence[Drawing] = ()
    table: Table | None = None
    more: tuple[str, Table] | None = None
    steps: Sequence[Step] = ()


def write_report(
    path: str | Path,
    sections: Sequence[Section],
    *,
    title: str,
    subtitle: str = "",
    command: str = "",
    footer: str = "",
) -> None:
    """Write the report, atomically. Every text is escaped; only this package's SVGs are put in as they are.

    Args:
        path: the file to write.
        sections: what it says.
        title: its title.
        subtitle: one line below it.
        command: the command that made it, to be copied.
        footer: one line at the end.

    Raises:
        OutputError: the file cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "is_number": is_number, "is_wide": is_wide, "breakable": breakable}
    page = environment.get_template("report.html.j2").render(
        sections=sections, title=title, subtitle=subtitle, command=command, footer=footer, style=STYLE
    )
    write_text(path, page)


def shown(value: Cell) -> str:
    """Return a value as people read it: thousands apart, four digits of a fraction, a dash for nothing.

    A ``Decimal`` has all its decimals.
    """
    if isinstance(value, bool | str):
        return str(value)
    if value is None or math.isnan(value):
        return "\N{EN DASH}"
    if isinstance(value, Decimal):
        return f"{value:,}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:#.4g}".rstrip(".")


def breakable(text: str) -> "Markup":
    """Return ``text`` as HTML that may be broken before each plus sign: architectures are long."""
    from markupsafe import Markup, escape

    return Markup("<wbr>+").join(escape(part) for part in text.split("+"))


def is_wide(table: Table) -> bool:
    """Return whether a table is too wide for a phone, where its rows then become lists."""
    return len(table.columns) > _MANY or any(
        len(cell) > _LONG for row in table.rows for cell in row if isinstance(cell, str)
    )


def is_number(value: Cell) -> bool:
    """Return whether a table cell is aligned as a number."""
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))
