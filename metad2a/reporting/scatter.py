"""A plot of accuracy against a cost whose points say what they are when they are pointed at, touched or tabbed to.

It needs no script: the words of a point are a part of it that the page's style shows only then.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from metad2a.reporting.cells import Point
from metad2a.reporting.figures import COLOURS, Chart, Table

WIDTH, HEIGHT = 400.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 84.0, 40.0  # around the axes; the words of a point stand above them
_SMALL = ' class="d"'
_LINE, _LINES, _SIGNS = 12.0, 3, 64
_TEXT = 'font-family="sans-serif" font-size="11"'

STYLE = """
.point { outline: none; }
.point .words { visibility: hidden; pointer-events: none; }
.words text { font: 11px sans-serif; fill: #111; }
.words .d { font: 9.5px ui-monospace, Menlo, Consolas, monospace; }
circle.mark { fill: #8a949e; fill-opacity: .55; stroke: transparent; stroke-width: 5; pointer-events: all; }
.point:hover .words, .point:focus .words { visibility: visible; }
.scatter:has(.point:hover) .point:focus:not(:hover) .words { visibility: hidden; }
.point:hover .mark, .point:focus .mark { stroke: #000; stroke-width: 2.5; }
.scatter:has(.point:hover) .hint, .scatter:has(.point:focus) .hint { visibility: hidden; }
"""
"""What a page that holds such a plot must have in its style."""


@dataclass(frozen=True)
class Spot:
    """A point of the plot.

    Attributes:
        cost: where it is.
        value: accuracy in percent.
        title: a line that says what it is.
        detail: more of that, perhaps long; broken into lines.
        kind: ``front``, ``top`` or ``other``: how it looks, and whether the keyboard reaches it.
    """

    cost: float
    value: float
    title: str
    detail: str
    kind: str = "other"


def scatter(spots: Sequence[Spot], *, cost: str, table: Table) -> Chart:
    """Draw ``spots`` and the line through those of the front.

    Args:
        spots: in any order; those of kind ``front`` must be what nobody beats.
        cost: name of the x axis.
        table: the numbers of the front.
    """
    front = sorted((spot for spot in spots if spot.kind == "front"), key=lambda spot: spot.cost)
    scale = _Scale(spots)
    order = {"other": 0, "top": 1, "front": 2}  # later ones lie above
    marks = [_spot(spot, scale.place(spot)) for spot in sorted(spots, key=lambda spot: order[spot.kind])]
    line = " ".join(f"{place.x:.1f},{place.y:.1f}" for place in map(scale.place, front))
    parts = [
        *scale.axes(cost),
        _legend(),
        f'<polyline points="{line}" fill="none" stroke="{COLOURS[0]}" stroke-width="1.5"/>'
        if len(front) > 1
        else "",
        *marks,
    ]
    title = (
        f"Predicted accuracy against {cost}: {len(spots)} candidates, {len(front)} of which nobody beats in both."
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="scatter" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="group" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
    return Chart(table, svg)


class _Scale:
    """Where numbers lie in the plot."""

    def __init__(self, spots: Sequence[Spot]) -> None:
        self.x = _Axis([spot.cost for spot in spots], _LEFT, WIDTH - _RIGHT)
        self.y = _Axis([spot.value for spot in spots], HEIGHT - _BOTTOM, _TOP)

    def place(self, spot: Spot) -> Point:
        return Point(self.x.at(spot.cost), self.y.at(spot.value))

    def axes(self, cost: str) -> list[str]:
        right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
        parts = [f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#333"/>']
        for tick in self.y.ticks:
            y = self.y.at(tick)
            parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#ddd" stroke-width="0.6"/>')
            parts.append(_words(Point(_LEFT - 5, y + 4), _short(tick), anchor="end"))
        for tick in self.x.ticks:
            x = self.x.at(tick)
            parts.append(f'<path d="M{x:.1f} {bottom}v4" stroke="#333"/>')
            parts.append(_words(Point(x, bottom + 16), _short(tick), anchor="middle"))
        parts.append(_words(Point((_LEFT + right) / 2, HEIGHT - 6), cost, anchor="middle"))
        return [*parts, _words(Point(_LEFT, _TOP - 7), "predicted accuracy, %")]


class _Axis:
    """From numbers to pixels, with round ticks."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        from matplotlib.ticker import MaxNLocator

        low, high = min(values), max(values)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        self._low, self._high, self._start, self._end = low - margin, high + margin, start, end
        ticks = MaxNLocator(5).tick_values(self._low, self._high)
        self.ticks = [float(tick) for tick in ticks if self._low <= tick <= self._high]

    def at(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)


def _spot(spot: Spot, place: Point) -> str:
    words = [spot.title, *textwrap.wrap(spot.detail, _SIGNS, max_lines=_LINES, break_on_hyphens=False)]
    lines = "".join(
        f'<text{_SMALL if number else ""} x="4" y="{14 + _LINE * number:g}">{escape(line)}</text>'
        for number, line in enumerate(words)
    )
    mark = _mark(spot.kind, place)
    if spot.kind == "other":
        return f'<g class="point">{mark}<g class="words">{lines}</g></g>'
    # The wide invisible circle is what a finger hits.
    return (
        f'<g class="point" tabindex="0" role="img" aria-label="{escape(spot.title)}">{mark}'
        f'<circle cx="{place.x:.1f}" cy="{place.y:.1f}" r="8" fill="transparent"/>'
        f'<g class="words" aria-hidden="true">{lines}</g></g>'
    )


def _mark(kind: str, place: Point) -> str:
    x, y = place
    if kind == "front":
        return f'<rect class="mark" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{COLOURS[0]}"/>'
    if kind == "top":
        path = f"M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"
        return f'<path class="mark" d="{path}" fill="{COLOURS[1]}" stroke="#fff" stroke-width="0.6"/>'
    return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>'


def _legend() -> str:
    right = WIDTH - _RIGHT
    named = (("front", "nobody beats it", 182.0), ("top", "first-ranked", 78.0))
    marks = [_mark(kind, Point(right - x, _TOP - 11)) for kind, _, x in named]
    words = [_words(Point(right - x + 9, _TOP - 7), name) for _, name, x in named]
    hint = _words(
        Point(4, 14), "Point at, touch or tab to a candidate to see what it is.", fill="#5a6570", kind="hint"
    )
    return "".join(marks + words) + hint


def _words(place: Point, text: str, *, anchor: str = "start", fill: str = "#333", kind: str = "") -> str:
    named = f'class="{kind}" ' if kind else ""
    return (
        f'<text {named}x="{place.x:.1f}" y="{place.y:.1f}" text-anchor="{anchor}" fill="{fill}" {_TEXT}>'
        f"{escape(text)}</text>"
    )


def _short(value: float) -> str:
    """Return a number of an axis: 0.4M, 25k, 71.5."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{sign}"
    return f"{np.format_float_positional(value, precision=4, trim='-', fractional=False)}"
