"""metad2a benchmark, and its compare, growth and profile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metad2a.cli import output
from metad2a.cli.commands.search import command_line
from metad2a.errors import ConfigError, UserError
from metad2a.evaluation.benchmark import compare as comparing
from metad2a.evaluation.benchmark import growth as growing
from metad2a.evaluation.benchmark import suite
from metad2a.evaluation.benchmark.profiling import profile_case
from metad2a.reporting.html import shown
from metad2a.runtime import check_writable, write_json, write_text

_MEASURED = ("cpu_s", "cpu_min_s", "cpu_max_s", "wall_s", "items_per_s", "peak_mb", "gflops")
_COMPARED = ("official_scaled_s", "times_faster")
_COLUMNS = (
    *("case", "CPU s", "min", "max", "wall s", "items/s", "peak MB", "GFLOP/s", "of a product", "items"),
    *("official s (scaled)", "times faster", "marks"),
)
_POINT_COLUMNS = ("what grows", "size", "CPU s", "wall s", "peak MB", "of it for the work, MB")
_TREND_COLUMNS = ("what grows", "time slope", "memory slope", f"at most linear ({growing.LINEAR:g})", "doing what")


def run(*, only: str | None, threads: int, repeat: int | None, json_file: Path | None) -> None:
    """Measure the cases, print a table, write what was asked for."""
    _check(threads, json_file)
    if repeat is not None and repeat < 1:
        raise ConfigError(f"--repeat {repeat}: give a number of at least 1.")
    result = suite.run(only=only, threads=threads, repeats=repeat)
    speed = result["machine"]["product_gflops"]
    _print(_machine(result["machine"]))
    if speed is not None:
        _print(
            f"A 2048 x 2048 x 2048 float32 product reaches {shown(speed)} GFLOP per CPU second; a multiply-add "
            f"counts as two. Official seconds are scaled from {suite.OFFICIAL_GFLOPS:g} to "
            f"{shown(result['machine']['core_gflops'])} GFLOP/s of one thread."
        )
    _print_table(_COLUMNS, [_cells(row) for row in result["rows"] if row["skipped"] is None])
    for row in result["rows"]:
        notes = [row["skipped"] and f"skipped, {row['skipped']}", _numbers(row["numbers"])]
        _print(f"- {row['name']}: {row['what']}" + "".join(f"; {note}" for note in notes if note))
    if json_file is not None:
        write_json(json_file, result)
        output.wrote(json_file)


def compare(old: Path, new: Path, *, worse_than: float | None) -> None:
    """Print two results side by side.

    Raises:
        UserError: a file is none, or a case became slower than ``worse_than`` allows.
    """
    if worse_than is not None and not worse_than > 0:
        raise ConfigError(f"--worse-than {worse_than:g}: give a number above 0, such as 1.2.")
    rows = comparing.compare(old, new)
    columns = ("case", "old CPU s", "new CPU s", "new / old", "new / old on equal cores")
    _print_table(columns, [[r.name, *map(shown, (r.old_s, r.new_s, r.ratio, r.normalised))] for r in rows])
    slower = [r.name for r in rows if worse_than and r.normalised is not None and r.normalised > worse_than]
    if slower:
        raise UserError(f"more than {worse_than:g} times slower on equal cores: {', '.join(slower)}.")


def profile(case: str, *, threads: int, top: int) -> None:
    """Print the dearest operators of a case."""
    _check(threads)
    if top < 1:
        raise ConfigError(f"--top {top}: give a number of at least 1.")
    operators = profile_case(case, threads=threads)
    shown_ones, rest = operators[:top], operators[top:]
    rows = [[o.name, f"{o.calls:g}", f"{o.cpu_ms:.2f}", f"{100 * o.share:.1f} %"] for o in shown_ones]
    if rest:
        share = sum(o.share for o in rest)
        rows.append([f"{len(rest)} more", "", f"{sum(o.cpu_ms for o in rest):.2f}", f"{100 * share:.1f} %"])
    _print_table(("operator", "calls", "CPU ms in itself", "share"), rows)


def growth(
    *,
    only: str | None,
    quick: bool,
    threads: int,
    json_file: Path | None,
    html_file: Path | None,
    svg_file: Path | None,
) -> None:
    """Measure how time and memory grow, print tables, write what was asked for."""
    _check(threads, json_file, html_file, svg_file)
    result = growing.run(only=only, quick=quick, threads=threads)
    points, trends = result["rows"], result["trends"]
    _print(_machine(result["machine"]))
    names = ("axis", "size", "cpu_s", "wall_s", "peak_mb", "work_mb")
    _print_table(_POINT_COLUMNS, [[shown(point[name]) for name in names] for point in points])
    _print_table(_TREND_COLUMNS, [_trend_cells(trend) for trend in trends])
    for trend in trends:
        _print(f"- {trend['axis']}: {trend['bounded_by']}")
    if json_file is not None:
        write_json(json_file, result)
        output.wrote(json_file)
    if html_file is not None or svg_file is not None:
        _draw(points, trends, html_file, svg_file)


def _draw(
    points: Sequence[Mapping[str, Any]],
    trends: Sequence[Mapping[str, Any]],
    html_file: Path | None,
    svg_file: Path | None,
) -> None:
    from metad2a.reporting.figures import growth as growth_figure
    from metad2a.reporting.html import Section, write_report

    lines: dict[str, list[tuple[int, float, float]]] = {}
    for point in points:
        lines.setdefault(point["axis"], []).append((point["size"], point["cpu_s"], point["peak_mb"]))
    chart = growth_figure(lines)
    if svg_file is not None:
        write_text(svg_file, chart.svg)
        output.wrote(svg_file)
    if html_file is not None:
        slopes = {trend["axis"]: f"time {trend['time']:.2f}, memory {trend['memory']:.2f}" for trend in trends}
        text = "Slopes on log axes over the largest decade: 1 is linear."
        section = Section("Time and memory against size", text=text, facts=slopes, chart=chart)
        write_report(html_file, [section], title="Growth", command=command_line())
        output.wrote(html_file)


def _check(threads: int, *files: Path | None) -> None:
    if threads < 1:
        raise ConfigError(f"--threads {threads}: give a number of at least 1.")
    for path in files:
        if path is not None:
            check_writable(path)


def _machine(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, torch {machine['torch']}, "
        f"threads: {machine['threads']}, metad2a {machine['metad2a']}"
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    marks = [
        f"{mark['what']} {shown(mark['value'])}, mark {shown(mark['limit'])}: {_yes(mark['reached'])}"
        for mark in row["marks"]
    ]
    return [
        row["name"],
        *(shown(row[name]) for name in _MEASURED),
        f"{100 * row['share']:.1f} %",
        f"{row['items']:,} {row['unit']}{'s' if row['items'] > 1 else ''}",
        *(shown(row[name]) for name in _COMPARED),
        "; ".join(marks),
    ]


def _trend_cells(trend: Mapping[str, Any]) -> list[str]:
    slopes = (f"{trend[name]:.2f}" for name in ("time", "memory"))
    return [trend["axis"], *slopes, _yes(trend["linear"]), trend["what"]]


def _numbers(numbers: Mapping[str, float] | None) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in (numbers or {}).items())


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that is one in Markdown too."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [columns, ["-" * width for width in widths], *rows]
    for line in lines:
        _print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
    _print("")


def _print(text: str) -> None:
    output.console.print(text, markup=False, highlight=False)
