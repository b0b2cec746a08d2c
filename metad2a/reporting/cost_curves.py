"""Accuracy against what it costs: a line a method, its name at its end."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metad2a.evaluation.compare.results import Line
from metad2a.reporting.figures import COLOURS, DASHES, MARKERS, Cell, Chart, Table, _figure, _svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACCURACY = "true accuracy of the pick, %"
_HEIGHT = 5.0  # inches; more where there are many names
_NAMES = 0.32  # of the width, for the names
_SHOWN = 6.0  # of the distance from the typical to the best accuracy: what lies below is cut off
_APART = 0.048  # of the height, between two names


def cost_curves(
    lines: Mapping[str, Line],
    *,
    x_label: str,
    y_label: str = ACCURACY,
    best: float | None = None,
    best_label: str = "best there is",
) -> Chart:
    """Draw a figure, such as the pick's true accuracy, against a cost, on a log axis, with 95 % bands.

    Lines are told apart by colour, dash and marker, and by their names at the right end. What is far below the
    others is cut off.

    Args:
        lines: by method.
        x_label: what the cost is.
        y_label: what the figure is.
        best: the best there is, if known.
        best_label: what to write on that.
    """
    figure, (axis,) = _figure(1, height=_HEIGHT * max(1.0, _APART * len(lines)))
    rows: list[tuple[Cell, ...]] = []
    for number, (method, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        dash = DASHES[(number + number // len(COLOURS)) % len(DASHES)]
        marker = MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
        axis.plot(line.x, line.mean, color=colour, ls=dash, lw=1.6, marker=marker, ms=4, markevery=(number % 5, 8))
        axis.fill_between(line.x, line.low, line.high, color=colour, alpha=0.13, lw=0)
        rows += [(method, *point) for point in zip(line.x, line.mean, line.low, line.high, strict=True)]
    axis.set_xscale("log")
    axis.set(xlabel=x_label, ylabel=y_label)
    _limit(axis, lines, best, best_label)
    _name_ends(axis, lines)
    return Chart(Table(("method", x_label, "mean", "low", "high"), rows), _svg(figure))


def _limit(axis: "Axes", lines: Mapping[str, Line], best: float | None, best_label: str) -> None:
    """Show what is near the best, with plain numbers on the log axis."""
    from matplotlib.ticker import FuncFormatter

    values = np.concatenate([line.mean for line in lines.values()])
    top = float(values.max()) if best is None else best
    reach = max(top - float(np.median(values)), 2e-4 * abs(top))
    low = max(float(values.min()), top - _SHOWN * reach)
    axis.set_ylim(low - 0.04 * (top - low), top + 0.06 * (top - low))
    if best is not None:
        axis.axhline(best, color="#555555", lw=1, ls=(0, (1, 3)))
        axis.annotate(best_label, (0.01, best), xycoords=("axes fraction", "data"), va="bottom", color="#555555")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))


def _name_ends(axis: "Axes", lines: Mapping[str, Line]) -> None:
    """Write each name beside the end of its line, with a thread; those that would overlap move apart."""
    low, high = axis.get_ylim()
    ends = {name: float(np.clip(line.mean[-1], low, high)) for name, line in lines.items()}
    heights = {name: (end - low) / (high - low) for name, end in ends.items()}
    order = sorted(heights, key=heights.__getitem__)
    places = _spread([heights[name] for name in order])
    left = min(min(line.x) for line in lines.values())
    right = max(max(line.x) for line in lines.values())
    margin = (right / left) ** _NAMES if right > left else 10.0
    axis.set_xlim(left / margin**0.05, right * margin)
    numbers = list(lines)
    for name, place in zip(order, places, strict=True):
        axis.annotate(
            name,
            xy=(lines[name].x[-1], ends[name]),
            xytext=(right * margin**0.12, low + place * (high - low)),
            va="center",
            color=COLOURS[numbers.index(name) % len(COLOURS)],
            arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.6, "relpos": (0, 0.5), "shrinkA": 1},
        )


def _spread(heights: Sequence[float]) -> list[float]:
    """Return ascending heights (of 0..1) so moved that neighbours are apart, as little as that takes.

    The lowest stays half a name above the axis, which would strike it through.
    """
    gap = min(_APART, 1 / max(len(heights), 1))
    places = [max(height, gap / 2) for height in heights]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    # What was pushed over the top comes back down, and pushes those below it.
    ceiling = 1.0
    for i in reversed(range(len(places))):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - gap
    return places
