"""What the commands print."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from metad2a.errors import ConfigError, unknown_name
from metad2a.evaluation.protocol import SEARCH, Evaluation
from metad2a.search.pareto import COSTS
from metad2a.search.querying import Queried
from metad2a.search.result import Candidate, SearchResult
from metad2a.search.told_apart import told_apart

# Architectures are long texts: in a file or a pipe nothing limits the width of a table.
console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def wrote(path: str | Path) -> None:
    """Say that a file was written."""
    console.print(f"wrote {escape(str(path))}")


def print_search(result: SearchResult, top: int) -> None:
    """Print the first candidates of a search, and where the time went."""
    dataset, made, timing = result.dataset, result.generation, result.timing
    console.print(
        f"{escape(dataset['name'])}: {dataset['classes']} classes, {dataset['images_used']} images, "
        f"embedder {dataset['embedder']}, checkpoint {escape(result.checkpoint)}"
    )
    console.print(
        f"{made['unique']} distinct architectures ({made['novel']} not seen in meta-training) "
        f"of {made['sampled']} sampled, {made['valid']} valid"
    )
    if result.networks.differs(result.best.space):
        console.print(f"networks of {result.networks}")
    console.print(_candidates(result, result.candidates[:top]))
    if result.latency is not None:
        console.print(_latency_note(result.latency))
    console.print(
        f"embed {timing['embed_s']:.2f} s, generate {timing['generate_s']:.2f} s, rank {timing['rank_s']:.2f} s"
        + (f", measure {timing['measure_s']:.2f} s" if "measure_s" in timing else "")
    )


def check_cost(cost: str | None, *, timed: bool) -> None:
    """Refuse what ``print_pareto`` cannot print, before anything is searched.

    Raises:
        UnknownNameError: there is no such cost.
        ConfigError: it is the latency, and that will not be known.
    """
    if cost is not None and cost not in COSTS:
        raise unknown_name("cost", cost, COSTS)
    if cost == "latency_ms" and not timed:
        raise ConfigError("--pareto latency_ms: latencies are not known. Give --latency or --max-latency-ms.")


def print_pareto(result: SearchResult, cost: str) -> None:
    """Print the candidates that no other one beats in both predicted accuracy and ``cost``, cheapest first."""
    front = result.pareto(cost)
    console.print(f"{len(front)} candidates that no other one beats in both predicted accuracy and {cost}:")
    console.print(_candidates(result, front))


def _candidates(result: SearchResult, shown: Sequence[Candidate]) -> Table:
    timed, weighed = (getattr(result.best, cost) is not None for cost in ("latency_ms", "memory_mb"))
    arch = Column("architecture", overflow="fold")  # an architecture cut short would be of no use
    more = [*(["MB"] if weighed else []), *(["ms"] if timed else [])]
    table = Table("rank", arch, "predicted %", "params", "MFLOPs", *more)
    for candidate, predicted in zip(shown, told_apart([one.predicted for one in shown]), strict=True):
        table.add_row(
            str(candidate.rank),
            escape(candidate.arch),
            str(predicted),
            f"{candidate.params:,}",
            f"{candidate.flops / 1e6:.2f}",
            *([f"{candidate.memory_mb:.2f}"] if weighed else []),
            *([_milliseconds(candidate)] if timed else []),
        )
    return table


def _milliseconds(candidate: Candidate) -> str:
    if candidate.latency_quartiles_ms is not None:
        low, high = candidate.latency_quartiles_ms
        return f"{candidate.latency_ms:.2f} ({low:.2f}-{high:.2f})"
    return f"{candidate.latency_ms:.2f}" if candidate.latency_measured else f"~{candidate.latency_ms:.2f}"


def _latency_note(latency: Mapping[str, Any]) -> str:
    where = f"{latency['device']}, {latency['threads']} threads" if latency["device"] else "as given"
    if latency["model_error_ms"] is None:
        return f"ms: of one image, {where}; ~ is the sum of the layers"
    return (
        f"ms: median (quartiles) of one image, {where}; ~ is predicted from {latency['model_archs']} networks, "
        f"with an error of {latency['model_error_ms']:.2f} ms"
    )


def print_sentences(sentences: Sequence[str]) -> None:
    """Print an explanation, a sentence a line."""
    for sentence in sentences:
        console.print(sentence, markup=False, highlight=False)


def print_query(arch: str, accuracy: float) -> None:
    """Print one true evaluation as soon as it is there."""
    value = "failed" if math.isnan(accuracy) else f"{accuracy:.2f} %"
    console.print(f"{value}  {arch}", markup=False)


def print_queried(queried: Queried, *, asked: int, rank: int) -> None:
    """Print what the true evaluations found, and why no more were made."""
    spent = len(queried.trail)
    why = "" if spent == asked else f", then the next one promised only {queried.promise:.2f} percent more"
    console.print(f"{spent} evaluations by {queried.oracle}{why}", markup=False)
    console.print(f"best: {queried.accuracy:.2f} %  {queried.best} (rank {rank} of the candidates)", markup=False)


def print_evaluation(result: Evaluation) -> None:
    """Print means and spread of an evaluation beside its baselines; of lists no more than is in them."""
    console.print(f"{escape(result.dataset)} against {escape(result.oracle)}, {result.runs} runs")
    rows = {SEARCH: (result.metrics, result.spread)}
    rows |= {name: (row, row.get("spread", {})) for name, row in result.baselines.items()}
    budgets = max((result.budgets(name) for name in rows), key=len)
    table = Table("", *(f"best of {budget}" for budget in budgets), "Kendall (all)")
    for name, (mean, spread) in rows.items():
        picks = [_pick(mean, spread, str(n)) if n in result.budgets(name) else "" for n in budgets]
        kendall = mean.get("kendall_all")
        table.add_row(name, *picks, "" if kendall is None else f"{kendall:.3f}")
    console.print(table)
    numbers = {name: value for name, value in result.metrics.items() if isinstance(value, float)}
    for name, value in numbers.items():
        console.print(f"{name:>20} {value:8.3f} ± {result.spread[name]:.3f}")


def _pick(mean: Mapping[str, Any], spread: Mapping[str, Any], budget: str) -> str:
    return f"{mean['best_of'][budget]:.2f}" + (f" ± {spread['best_of'][budget]:.2f}" if spread else "")


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table."""
    table = Table(*(Column(escape(name), overflow="fold") for name in columns), title=escape(title))
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
