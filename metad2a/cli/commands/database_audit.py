"""metad2a database audit."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from metad2a.cli import output
from metad2a.database.audit.benchmark import Comparison
from metad2a.database.audit.noise import Noise
from metad2a.database.audit.ranks import Correlation
from metad2a.database.audit.report import Audit, audit
from metad2a.database.audit.splits import PartOverlap
from metad2a.database.published import MetaDatabase
from metad2a.errors import ConfigError
from metad2a.oracles.table import TableOracle
from metad2a.runtime import check_writable, write_json
from metad2a.spaces.registry import get_space


def run(where: str, *, benchmark: Path | None, column: str | None, at_least: int, json_file: Path | None) -> None:
    """Audit a published database; print the result, and write it where asked.

    Raises:
        ConfigError: a benchmark without a column, or the reverse.
    """
    if (benchmark is None) != (column is None):
        raise ConfigError("--benchmark and --column belong together: give the file, and which column is true.")
    if json_file is not None:
        check_writable(json_file)
    database = MetaDatabase.load(where)
    oracle = None
    if benchmark is not None and column is not None:
        oracle = TableOracle.from_file(benchmark, column, get_space(database.space))
    result = audit(database, oracle, at_least=at_least)
    _print(result)
    if json_file is not None:
        write_json(json_file, result.to_dict())
        output.wrote(json_file)


def _print(result: Audit) -> None:
    cells = result.cells
    output.console.print(
        f"{escape(result.database)}: {result.labels:,} labels on {result.tasks:,} tasks, "
        f"{result.failures:,} trainings failed"
    )
    output.print_rows(
        "cells",
        ["", "number"],
        [
            ["distinct", f"{cells.distinct:,}"],
            ["distinct functions (isomorphic cells count once)", f"{cells.functions:,}"],
            ["labels of a cell that has another on its task", f"{cells.repeated:,}"],
            ["  of these, with an unknown seed or the same one", f"{cells.repeated_unknown:,}"],
            ["cells isomorphic to another one of their task", f"{cells.isomorphic:,}"],
        ],
    )
    for overlap in result.overlaps:
        _print_overlap(overlap)
    if not result.overlaps:
        output.console.print("no split of its own: nothing to say about what its parts share")
    if result.noise is None:
        output.console.print("no cell was trained twice on a task: nothing to say about noise")
    else:
        _print_noise(result.noise, result.at_least)
    if result.comparison is not None:
        _print_comparison(result.comparison, result.at_least)


def _print_overlap(found: PartOverlap) -> None:
    rows = [
        ("tasks that also occur there", found.same_tasks, found.tasks),
        ("tasks of the same set of classes", found.same_classes, found.tasks),
        ("tasks that share a class", found.sharing_classes, found.tasks),
        ("classes", found.shared_classes, found.classes),
        ("cells", found.same_cells, found.cells),
        ("cells, or isomorphic ones", found.isomorphic_cells, found.cells),
    ]
    output.print_rows(
        f"what '{found.part}' ({found.labels:,} labels) shares with '{found.known}'",
        ["", "shared", "of", "%"],
        [[name, f"{shared:,}", f"{of:,}", f"{100 * shared / of:.1f}"] for name, shared, of in rows],
    )


def _print_noise(noise: Noise, at_least: int) -> None:
    output.print_rows(
        f"noise: {noise.cells:,} cells with {noise.labels:,} labels on {noise.tasks:,} tasks",
        ["", "accuracy, % points"],
        [
            ["standard deviation between labels of one cell", _figure(noise.within_std, 2)],
            ["standard deviation between cells of one task", _figure(noise.between_std, 2)],
            ["share of a label's variance that is the cell's", _figure(noise.reliability, 2)],
        ],
    )
    _print_correlations(
        "first and second labels",
        [("means of tasks removed", noise.repeats), (_within(at_least), noise.repeats_within)],
    )


def _print_comparison(found: Comparison, at_least: int) -> None:
    output.print_rows(
        f"cells among the best of {found.benchmark}",
        [
            "best",
            f"% of {found.labels:,} labels",
            f"% of {found.cells:,} distinct cells",
            f"% of {found.cells:,} drawn uniformly (95 %)",
        ],
        [
            [
                f"{top.percent} %",
                f"{top.labels:.1f}",
                f"{top.cells:.1f}",
                "{:.1f} ({:.1f} to {:.1f})".format(top.uniform, *top.uniform_interval),
            ]
            for top in found.top
        ],
    )
    output.console.print(
        f"mean accuracy there: all {found.benchmark_cells:,} cells {found.benchmark_mean:.2f}, the labels' "
        f"{found.labels_mean:.2f}, the distinct cells' {found.cells_mean:.2f}"
    )
    if found.unknown:
        output.console.print(f"{found.unknown:,} labels are of cells that it does not list, and left out")
    _print_correlations(
        "labels and the benchmark",
        [
            ("all labels", found.pooled),
            ("means of tasks removed", found.centred),
            (_within(at_least), found.within),
        ],
    )


def _within(at_least: int) -> str:
    return f"mean within tasks of {at_least} labels or more"


def _print_correlations(title: str, rows: Sequence[tuple[str, Correlation]]) -> None:
    output.print_rows(
        f"agreement of {title}",
        ["", "labels", "tasks", "Spearman (95 %)", "Kendall (95 %)"],
        [
            [
                name,
                f"{found.labels:,}",
                f"{found.tasks:,}",
                _with_interval(found.spearman, found.spearman_interval),
                _with_interval(found.kendall, found.kendall_interval),
            ]
            for name, found in rows
        ],
    )


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    text = _figure(value, 3)
    return text if math.isnan(interval[0]) else f"{text} ({interval[0]:.3f} to {interval[1]:.3f})"


def _figure(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
