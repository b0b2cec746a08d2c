"""Drawings of architectures as SVG, written by hand: small, sharp, and the same on every machine."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import ArchBatch

STEP = 118.0  # pixels between neighbours of a cell drawn along a line
ARC = 20.0  # bend of an arc for each squared step: longer arcs leave steeper and do not cover shorter ones
ROW = 46.0  # pixels between vertices of a graph drawn downwards
RADIUS = 15.0


@dataclass(frozen=True)
class CellDrawing:
    """What is drawn: vertices in topological order, and edges (from, to, label), the label empty for none."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int, str], ...]


class Look(NamedTuple):
    """How one kind of operation looks: dash and width differ as well, so that nobody needs the colours."""

    colour: str
    dash: str
    width: float


LOOKS = {
    "none": Look("#6f6f6f", "1 5", 1.4),
    "skip": Look("#00795a", "8 5", 2.0),
    "pool": Look("#b84a00", "2 4", 2.6),
    "conv": Look("#0060a8", "", 2.8),
    "other": Look("#333333", "", 1.6),
}


class Point(NamedTuple):
    """A place in pixels, x to the right and y down."""

    x: float
    y: float


def cell_from_text(text: str) -> CellDrawing:
    """Return the drawing of a cell written like ``|op~0|+|op~0|op~1|``: vertices by ``+``, edges ``op~from``.

    Raises:
        ArchitectureError: the text is not written like that.
    """
    edges = []
    groups = text.split("+")
    for target, group in enumerate(groups, start=1):
        for item in group.strip("|").split("|"):
            label, _, source = item.rpartition("~")
            if not label or not source.isdecimal() or int(source) >= target:
                raise ArchitectureError(
                    f"cannot draw '{text}': '{item}' is no operation and earlier vertex, like 'skip_connect~0'."
                )
            edges.append((int(source), target, label))
    inner = tuple(str(number) for number in range(1, len(groups)))
    return CellDrawing(("in", *inner, "out"), tuple(edges))


def cell_from_graph(graphs: ArchBatch, index: int, type_names: Sequence[str]) -> CellDrawing:
    """Return the drawing of one graph, its vertices named by their types; edges have no label."""
    size = int(graphs.mask[index].sum())
    nodes = tuple(type_names[kind] for kind in graphs.types[index, :size].tolist())
    edges = graphs.edges[index, :size, :size].nonzero().tolist()
    return CellDrawing(nodes, tuple((source, target, "") for source, target in edges))


def draw_cell(drawing: CellDrawing) -> str:
    """Return the drawing as an ``<svg>`` element without ids, styles or references, safe to repeat in a page.

    Operations on edges are drawn from left to right with arcs, operations on vertices from top to bottom.
    """
    if any(label for _, _, label in drawing.edges):
        return _draw_along(drawing)
    return _draw_down(drawing)


def kind_of(label: str) -> str:
    """Return which of ``LOOKS`` an operation has, judged by its name."""
    name = label.lower()
    if name in ("none", "zero"):
        return "none"
    for kind, marks in {"skip": ("skip", "identity"), "pool": ("pool",), "conv": ("conv", "mb")}.items():
        if any(mark in name for mark in marks):
            return kind
    return "other"


def short_name(label: str) -> str:
    """Return an operation's name as people say it: no ``nor_``, no ``_connect``, sizes with a times sign."""
    name = label.removeprefix("nor_").removesuffix("_connect").replace("_", " ")
    return re.sub(r"(\d)x(\d)", "\\1\N{MULTIPLICATION SIGN}\\2", name)


def _draw_along(drawing: CellDrawing) -> str:
    heights = [0.0, *(_height(v - u, u) for u, v, _ in drawing.edges)]
    top, side = max(heights) / 2 + 26, RADIUS + 8
    places = [Point(side + STEP * number, top) for number in range(len(drawing.nodes))]
    parts = []
    # What is faint is drawn first, so that it never covers what counts.
    for u, v, label in sorted(drawing.edges, key=lambda edge: kind_of(edge[2]) != "none"):
        height = _height(v - u, u)
        middle = Point((places[u].x + places[v].x) / 2, top - height)
        parts.append(_arrow(places[u], middle, places[v], label))
        # A quadratic curve reaches half the height of its control point.
        parts.append(_label(Point(middle.x, top - height / 2 - 8), label))
    for place, name in zip(places, drawing.nodes, strict=True):
        parts.append(f'<circle cx="{place.x:g}" cy="{place.y:g}" r="{RADIUS:g}" fill="#fff" stroke="#333"/>')
        parts.append(_text(Point(place.x, place.y + 4), name, "#111"))
    width = 2 * side + STEP * (len(places) - 1)
    return _svg(width, top + max(-min(heights) / 2 + 12, RADIUS + 8), drawing, parts)


def _height(span: int, source: int) -> float:
    """Return how high an edge's control point is: 0 for neighbours, up from even sources, down from odd."""
    return 0.0 if span == 1 else ARC * span**2 * (1 if source % 2 == 0 else -1)


def _draw_down(drawing: CellDrawing) -> str:
    names = [short_name(name) for name in drawing.nodes]
    half = max((len(name) for name in names), default=1) * 3.6 + 12
    longest = max((v - u for u, v, _ in drawing.edges), default=1)
    side = half + 8 + (14 * math.sqrt(longest) + 10 if longest > 1 else 0)
    places = [Point(side, 20 + ROW * number) for number in range(len(names))]
    parts = []
    for u, v, label in drawing.edges:
        start, end = Point(side, places[u].y + 12), Point(side, places[v].y - 12)
        if v - u > 1:
            sign = 1 if u % 2 == 0 else -1
            start, end = (Point(side + sign * half, places[w].y) for w in (u, v))
            bend = Point(side + sign * (half + 28 * math.sqrt(v - u)), (start.y + end.y) / 2)
            parts.append(_arrow(start, bend, end, label, gap=1.0))
        else:
            parts.append(_arrow(start, Point(side, (start.y + end.y) / 2), end, label, gap=1.0))
    for place, name, raw in zip(places, names, drawing.nodes, strict=True):
        look = LOOKS[kind_of(raw)]
        parts.append(
            f'<rect x="{place.x - half:g}" y="{place.y - 12:g}" width="{2 * half:g}" height="24" rx="6" '
            f'fill="#fff" stroke="{look.colour}" stroke-width="{look.width:g}" stroke-dasharray="{look.dash}"/>'
        )
        parts.append(_text(Point(place.x, place.y + 4), name, look.colour))
    return _svg(2 * side, 40 + ROW * (len(names) - 1), drawing, parts)


def _arrow(start: Point, bend: Point, end: Point, label: str, gap: float = RADIUS + 2.0) -> str:
    """Return a curve with a head, from ``start`` to ``end`` by way of ``bend``; both ends stay ``gap`` away."""
    look = LOOKS[kind_of(label)]
    a, tip = _towards(start, bend, gap), _towards(end, bend, gap)
    back = _towards(tip, bend, 8.0)
    across = Point((back.y - tip.y) * 0.45, (tip.x - back.x) * 0.45)
    head = " ".join(f"{p.x:.1f},{p.y:.1f}" for p in (
        tip, Point(back.x + across.x, back.y + across.y), Point(back.x - across.x, back.y - across.y)
    ))  # fmt: skip
    faint = ' opacity="0.6"' if look is LOOKS["none"] else ""
    return (
        f'<g{faint}><path d="M{a.x:.1f} {a.y:.1f}Q{bend.x:.1f} {bend.y:.1f} {back.x:.1f} {back.y:.1f}" '
        f'fill="none" stroke="{look.colour}" stroke-width="{look.width:g}" stroke-dasharray="{look.dash}"/>'
        f'<polygon points="{head}" fill="{look.colour}"/></g>'
    )


def _towards(origin: Point, target: Point, distance: float) -> Point:
    length = math.hypot(target.x - origin.x, target.y - origin.y) or 1.0
    return Point(
        origin.x + (target.x - origin.x) * distance / length,
        origin.y + (target.y - origin.y) * distance / length,
    )


def _label(place: Point, label: str) -> str:
    return _text(place, short_name(label), LOOKS[kind_of(label)].colour) if label else ""


def _text(place: Point, text: str, colour: str) -> str:
    # The white rim keeps the words readable where they cross a line.
    return (
        f'<text x="{place.x:.1f}" y="{place.y:.1f}" text-anchor="middle" font-family="sans-serif" '
        f'font-size="12" fill="{colour}" stroke="#fff" stroke-width="3" paint-order="stroke">'
        f"{escape(_printable(text))}</text>"
    )


def _svg(width: float, height: float, drawing: CellDrawing, parts: Sequence[str]) -> str:
    edges = ", ".join(f"{drawing.nodes[u]} to {drawing.nodes[v]} {label}".strip() for u, v, label in drawing.edges)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img"><title>{escape(_printable(edges))}</title>{"".join(parts)}</svg>'
    )


def _printable(text: str) -> str:
    """Return ``text`` without the control characters that XML cannot hold."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
