"""Figures: each is a function from plain numbers to a table of them and an SVG that shows it.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart; lines and points differ in
dash and shape as well. Drawing leaves no trace in matplotlib: no window, no global figure, no changed settings.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cell = str | int | float | Decimal | None
Numbers = Sequence[float | int] | np.ndarray

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MAX_POINTS = 200
WIDTH = 5.6  # inches; narrow, so that the words stay readable on a phone


@dataclass(frozen=True)
class Table:
    """Columns and rows of plain values; None is an unknown one."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Chart(NamedTuple):
    """What a figure shows, and the figure as an ``<svg>`` element to be put into a page."""

    data: Table
    svg: str


@dataclass(frozen=True)
class Curve:
    """One metric of one run, over steps."""

    metric: str
    run: str
    steps: Sequence[int]
    values: Sequence[float | int]


def curves_of(frame: "pd.DataFrame", run: str, metrics: Iterable[str]) -> list[Curve]:
    """Return those of ``metrics`` that ``tracking.read.read_metrics`` found in a run, without empty places."""
    present = [name for name in metrics if name in frame.columns]
    found = {name: frame[["step", name]].dropna() for name in present}
    return [Curve(name, run, part["step"].tolist(), part[name].tolist()) for name, part in found.items()]


def learning_curves(curves: Sequence[Curve]) -> Chart:
    """Draw metrics over steps: a panel per last part of the name (``loss``, ``spearman``), a line per run.

    Lines of more than 200 points are thinned evenly, first and last point kept; the table holds what is drawn.
    """
    curves = [_thinned(curve) for curve in curves]
    panels = list(dict.fromkeys(curve.metric.rsplit("/", 1)[-1] for curve in curves)) or [""]
    metrics = list(dict.fromkeys(curve.metric for curve in curves))
    figure, axes = _figure(len(panels), height=2.3 * len(panels) + 0.3)
    for axis, panel in zip(axes, panels, strict=True):
        axis.set_ylabel(panel)
        named = set()
        for curve in (c for c in curves if c.metric.rsplit("/", 1)[-1] == panel):
            number, single = metrics.index(curve.metric), len(curve.steps) == 1
            label = None if curve.metric in named else curve.metric
            named.add(curve.metric)
            (line,) = axis.plot(curve.steps, curve.values, lw=1.3, marker="o" if single else "", label=label)
            line.set(color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number % len(DASHES)])
        if named:
            axis.legend()
    axes[-1].set_xlabel("step")
    rows = [(c.metric, c.run, s, float(v)) for c in curves for s, v in zip(c.steps, c.values, strict=True)]
    return Chart(Table(("metric", "run", "step", "value"), rows), _svg(figure))


def predicted_vs_true(names: Sequence[str], predicted: Numbers, true: Numbers) -> Chart:
    """Draw predicted against true accuracy (percent), a point per architecture, and their rank correlations."""
    from scipy.stats import kendalltau, spearmanr

    figure, (axis,) = _figure(1, height=4.2)
    axis.scatter(predicted, true, s=16, alpha=0.6, color=COLOURS[0], linewidths=0)
    axis.set_xlabel("predicted accuracy, %")
    axis.set_ylabel("true accuracy, %")
    ranks = (
        f"{label} {value:.3f}" if np.isfinite(value) else f"{label} undefined"
        for label, value in (
            ("Spearman", _rank(spearmanr, predicted, true)),
            ("Kendall", _rank(kendalltau, predicted, true)),
        )
    )
    axis.set_title(f"{', '.join(ranks)} (n = {len(names)})")
    rows = [(n, float(p), float(t)) for n, p, t in zip(names, predicted, true, strict=True)]
    return Chart(Table(("architecture", "predicted", "true"), rows), _svg(figure))


def predicted_histogram(predicted: Numbers, *, picked: Numbers = ()) -> Chart:
    """Draw how the predicted accuracies (percent) of the candidates spread, and where the picked ones lie."""
    counts, edges = np.histogram(np.asarray(predicted, dtype=float), bins="doane" if len(predicted) > 1 else 1)
    figure, (axis,) = _figure(1, height=2.8)
    axis.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=COLOURS[4], edgecolor="white", lw=0.8)
    if len(picked):
        low = -0.05 * max(int(counts.max()), 1)
        axis.plot(picked, [low] * len(picked), ls="", marker="|", ms=11, mew=1.6, color=COLOURS[1], label="picked")
        axis.legend()
    axis.set_xlabel("predicted accuracy, %")
    axis.set_ylabel("candidates")
    chosen = np.histogram(np.asarray(picked, dtype=float), edges)[0]
    rows = [
        (float(low), float(high), int(count), int(mine))
        for low, high, count, mine in zip(edges[:-1], edges[1:], counts, chosen, strict=True)
    ]
    return Chart(Table(("from", "to", "candidates", "picked"), rows), _svg(figure))


def best_of_curves(methods: Mapping[str, Mapping[int, Numbers]], *, best: float | int | None = None) -> Chart:
    """Draw the best true accuracy (percent) among a method's first n picks, over n.

    Args:
        methods: method -> n -> one number per seed; the line is their mean, the band one standard deviation.
        best: the best accuracy there is, if known.
    """
    figure, (axis,) = _figure(1, height=3.6)
    rows: list[tuple[Cell, ...]] = []
    for number, (method, results) in enumerate(methods.items()):
        sizes = sorted(results)
        values = [np.asarray(results[size], dtype=float) for size in sizes]
        mean = np.array([value.mean() for value in values])
        spread = np.array([value.std(ddof=1) if len(value) > 1 else 0.0 for value in values])
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        dash = DASHES[number % len(DASHES)]
        axis.plot(sizes, mean, color=colour, marker=marker, ls=dash, lw=1.5, ms=5, label=method)
        axis.fill_between(sizes, mean - spread, mean + spread, color=colour, alpha=0.15, lw=0)
        rows += [
            (method, size, float(m), float(s) if len(value) > 1 else None, len(value))
            for size, m, s, value in zip(sizes, mean, spread, values, strict=True)
        ]
    if best is not None:
        axis.axhline(best, color="#555555", lw=1, ls=(0, (1, 3)), label="best there is")
    _log_ticks(axis, sorted({size for results in methods.values() for size in results}))
    axis.set_xlabel("architectures tried")
    axis.set_ylabel("best true accuracy, %")
    if methods:
        axis.legend()
    return Chart(Table(("method", "tried", "mean", "standard deviation", "seeds"), rows), _svg(figure))


def timings(seconds: Mapping[str, float | int]) -> Chart:
    """Draw how long each stage took, as bars with their numbers."""
    figure, (axis,) = _figure(1, height=0.42 * max(len(seconds), 1) + 0.9)
    bars = axis.barh(list(range(len(seconds))), list(seconds.values()), color=COLOURS[0], height=0.6)
    axis.bar_label(bars, [f"{value:.3g} s" for value in seconds.values()], padding=3)
    axis.set_yticks(range(len(seconds)), list(seconds))
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.margins(x=0.15)
    axis.set_xlabel("seconds")
    return Chart(
        Table(("stage", "seconds"), [(name, float(value)) for name, value in seconds.items()]), _svg(figure)
    )


def growth(lines: Mapping[str, Sequence[tuple[int, float, float]]]) -> Chart:
    """Draw time and peak memory against size, both on log axes.

    Args:
        lines: what grows -> size, CPU seconds and megabytes of each measurement, ascending.
    """
    figure, axes = _figure(2, height=6.4)
    for axis, column, label in zip(axes, (1, 2), ("CPU seconds", "peak memory, MB"), strict=True):
        for number, (name, points) in enumerate(lines.items()):
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            dash = DASHES[number % len(DASHES)]
            sizes, values = [point[0] for point in points], [point[column] for point in points]
            axis.plot(sizes, values, color=colour, marker=marker, ls=dash, lw=1.5, ms=5, label=name)
        axis.set(xscale="log", yscale="log", ylabel=label)
        _plain_decades(axis)
    axes[-1].set_xlabel("size: number of what grows")
    if lines:
        axes[1].legend(loc="upper left")
    rows = [(name, *point) for name, points in lines.items() for point in points]
    return Chart(Table(("what grows", "size", "CPU seconds", "peak MB"), rows), _svg(figure))


def _thinned(curve: Curve) -> Curve:
    size = len(curve.steps)
    if size <= MAX_POINTS:
        return curve
    kept = np.linspace(0, size - 1, MAX_POINTS).round().astype(int)
    steps, values = [curve.steps[i] for i in kept], [curve.values[i] for i in kept]
    return Curve(curve.metric, curve.run, steps, values)


def _rank(measure: Callable[..., Any], predicted: Numbers, true: Numbers) -> float:
    """Return a rank correlation, NaN where it has no meaning: fewer than two points, or all equal."""
    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return float("nan")
    return float(measure(predicted, true).statistic)


def _figure(panels: int, *, height: float) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    axes = list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])
    for axis in axes:
        axis.grid(visible=True, color="#dddddd", lw=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=10)
    return figure, axes


def _log_ticks(axis: "Axes", places: Sequence[int]) -> None:
    """Make the x axis logarithmic, with a tick and its plain number at each of ``places``."""
    from matplotlib.ticker import NullLocator

    axis.set_xscale("log")
    axis.set_xticks(places, [str(place) for place in places])
    axis.xaxis.set_minor_locator(NullLocator())


def _plain_decades(axis: "Axes") -> None:
    """Give both logarithmic axes plain numbers at the decades, and let the y axis begin and end with one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_ylim()
    axis.set_ylim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(LogLocator(numticks=12))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
        side.set_minor_formatter(NullFormatter())


def _svg(figure: "Figure") -> str:
    """Return the figure as an ``<svg>`` element that is the same every time and whose ids are nobody else's."""
    import matplotlib as mpl
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a name may hold a dollar sign
        text.set_fontsize(10)
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "metad2a"}):
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", " ", file.getvalue())
    svg = svg[svg.index("<svg") :]
    own = "f" + blake2b(svg.encode(), digest_size=5).hexdigest()
    tag = re.compile(r'(\sid="|href="#|url\(#)')
    return re.sub(r"<[^>]+>", lambda found: tag.sub(rf"\g<1>{own}-", found[0]), svg)
