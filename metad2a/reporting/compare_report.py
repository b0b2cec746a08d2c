"""What a report shows of a comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metad2a import __version__
from metad2a.evaluation.compare.results import Comparison, Line, OracleFacts
from metad2a.reporting.cost_curves import cost_curves
from metad2a.reporting.figures import Cell, Chart, Table
from metad2a.reporting.html import Section, write_report

_RANKS = {
    "kendall_all": "Kendall, all",
    "spearman_all": "Spearman, all",
    "kendall_top10pct": "Kendall, best 10 %",
    "spearman_top10pct": "Spearman, best 10 %",
    "kendall_top5pct": "Kendall, best 5 %",
    "spearman_top5pct": "Spearman, best 5 %",
    **{f"regret_{first}": f"regret of {first}" for first in (1, 2, 5, 10, 30)},
}


def comparison_report(path: Path, comparison: Comparison, *, command: str) -> None:
    """Write a comparison as one HTML file."""
    write_report(
        path,
        comparison_sections(comparison),
        title=f"Methods against each other: {', '.join(one.dataset for one in comparison.oracles)}",
        subtitle=f"{len(comparison.seeds)} seeds; bands and intervals are 95 % bootstrap intervals of the mean.",
        command=command,
        footer=f"metad2a {__version__}",
    )


def picture(comparison: Comparison, oracle: str, methods: Sequence[str] = ()) -> Chart:
    """Return the pick's true accuracy against the number of true evaluations, of ``methods`` or of all."""
    facts = _facts(comparison, oracle)
    lines = _chosen(comparison.by_evaluations[oracle], methods)
    return cost_curves(lines, x_label=_EVALUATIONS, best=facts.best, best_label=_best(facts))


def volume_picture(comparison: Comparison, oracle: str, methods: Sequence[str] = ()) -> Chart:
    """Return the hypervolume of error and cost against the number of true evaluations, where it was measured."""
    facts = _facts(comparison, oracle)
    return cost_curves(
        _chosen(comparison.by_volume[oracle], methods),
        x_label=_EVALUATIONS,
        y_label=f"hypervolume of error and {facts.cost}",
        best=facts.volume,
        best_label="all architectures",
    )


def _chosen(lines: Mapping[str, Line], methods: Sequence[str]) -> dict[str, Line]:
    return {method: lines[method] for method in methods or lines}


def _facts(comparison: Comparison, oracle: str) -> OracleFacts:
    return next(one for one in comparison.oracles if one.name == oracle)


def _best(facts: OracleFacts) -> str:
    return "best there is" if facts.listed else "best known"


def comparison_sections(comparison: Comparison) -> list[Section]:
    """Return the pictures and tables of each oracle, then what is known of leakage, then the rest."""
    sections = [section for facts in comparison.oracles for section in _of_oracle(comparison, facts.name)]
    return [
        *sections,
        *_leakage(comparison),
        *_rows("Rank quality within a data set", _ranks(comparison), _ABOUT_RANKS),
        *_rows("Rank quality on tasks of meta-validation", _unseen(comparison), _ABOUT_UNSEEN),
        *_rows("Calibration of predicted uncertainty", _plain(comparison.calibration), _ABOUT_CALIBRATION),
        *_rows("What is generated", _plain(comparison.generated), _ABOUT_GENERATED),
    ]


_EVALUATIONS = "true evaluations spent"
_ABOUT_RANKS = (
    "Of all cells that the oracle lists, else of archs drawn uniformly; means over seeds. The best 10 % and 5 % "
    "are the truly best. Regret is the best accuracy among them less the best of the first so many."
)
_ABOUT_REACH = (
    "Evaluations and seconds until a method has what the other one has on average at its end: medians over the "
    "seeds, with quartiles; nothing where so many seeds never get there."
)
_ABOUT_UNSEEN = "Means over tasks, with 95 % intervals over tasks; only the labelled cells of a task count."
_ABOUT_CALIBRATION = (
    "std says where standard deviations come from. On an oracle the mean error is removed first: its labels are of "
    "another recipe. A surrogate means normal ranks within a task, so that is the unit of its errors, with and "
    "without the noise of a single training. Honest ones cover 50, 80 and 95 %."
)
_ABOUT_GENERATED = (
    "In percent; diversity is in how many decisions two distinct ones differ on average. sampled: as the decoder "
    "makes them; handed_out: what a search returns. Isomorphic cells compute the same function."
)


def _of_oracle(comparison: Comparison, name: str) -> list[Section]:
    facts = _facts(comparison, name)
    cost = "seconds, the method's own and of evaluations" if facts.timed else "CPU seconds of the method itself"
    rows = [row for row in comparison.rows if row.oracle == name]
    budgets = comparison.budgets
    means: list[list[Cell]] = [
        [method, *(comparison.row(name, method, budget).mean for budget in budgets)]
        for method in comparison.methods
    ]
    return [
        Section(
            name,
            text=f"Data set {facts.dataset}, {facts.classes} classes. A search is told {facts.signal}; what is "
            "shown is the truth about what then looks best. What lies far below the others is cut off.",
            chart=picture(comparison, name),
            table=Table(("method", *(str(budget) for budget in budgets)), means),
            more=(
                f"Intervals, and paired tests against {comparison.baseline}",
                Table(
                    (
                        *(
                            "method",
                            "evaluations allowed",
                            "spent",
                            "mean",
                            "sd",
                            "low",
                            "high",
                            "best found",
                            "regret",
                        ),
                        *("CPU seconds", "difference", "p", "p (Holm)"),
                    ),
                    [
                        (
                            *(row.method, row.budget, row.evaluations, row.mean, row.sd, row.low, row.high),
                            *(row.best_found, row.regret, row.seconds, row.difference, row.p, row.p_holm),
                        )
                        for row in rows
                    ],
                ),
            ),
        ),
        Section(
            "Against seconds",
            chart=cost_curves(comparison.by_seconds[name], x_label=cost, best=facts.best, best_label=_best(facts)),
        ),
        *_volumes(comparison, facts),
        *_rows("How soon a method has what another one has", _reach(comparison, name), _ABOUT_REACH),
    ]


def _volumes(comparison: Comparison, facts: OracleFacts) -> list[Section]:
    if facts.reference is None:
        return []
    rows: list[list[Cell]] = [
        [row.method, row.budget, row.hypervolume, row.hypervolume_sd]
        for row in comparison.rows
        if row.oracle == facts.name
    ]
    error, cost = facts.reference
    return [
        Section(
            f"Error and {facts.cost}",
            text=f"The part of the rectangle up to an error of {error:.4g} % and {cost:.4g} {facts.cost} in which "
            "something that was evaluated is at least as good: the same rectangle for all methods.",
            chart=volume_picture(comparison, facts.name),
            more=("Numbers", Table(("method", "evaluations allowed", "mean", "sd"), rows)),
        )
    ]


def _reach(comparison: Comparison, name: str) -> list[dict[str, Any]]:
    keys = ("what", "of", "target", "method", "evaluations", "low", "high", "seconds", "reached")
    return [{key: row[key] for key in keys} for row in comparison.reach if row["oracle"] == name]


def _leakage(comparison: Comparison) -> list[Section]:
    rows = []
    for row in comparison.provenance:
        facts = {
            key: row[key] for key in ("method", "model", "trained_on", "selected_on", "records", "cells", "weights")
        }
        top = {f"% of its cells in the best 10 % of {name}": value for name, value in row["top10"].items()}
        shared = {f"classes shared with {name}": value for name, value in row["shared_classes"].items()}
        rows.append(facts | top | shared)
    audits = [
        {
            "database": one["database"],
            "oracle": one["comparison"]["benchmark"],
            "labels": one["labels"],
            "% of labels in its best 10 %": _top(one, 10),
            "of uniform cells": _top(one, 10, "uniform"),
            "tasks of both parts": sum(part["same_tasks"] for part in one["overlaps"]),
            "classes of both parts": sum(part["shared_classes"] for part in one["overlaps"]),
        }
        for one in comparison.audits
    ]
    return [
        *_rows("What was trained on what, and selected on what", rows, ""),
        *_rows("Leakage of databases", audits, "See `metad2a database audit`."),
    ]


def _top(audit: Mapping[str, Any], percent: int, which: str = "labels") -> float:
    return float(next(top[which] for top in audit["comparison"]["top"] if top["percent"] == percent))


def _ranks(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {"oracle": row["oracle"], "score": row["score"], "archs": row["archs"]}
        | {name: row[key]["mean"] for key, name in _RANKS.items()}
        for row in comparison.ranks
    ]


def _unseen(comparison: Comparison) -> list[dict[str, Any]]:
    rows = []
    for row in comparison.unseen:
        found = {"score": row["score"], "tasks": row["tasks"], "labels": row["labels"]}
        for name in ("spearman", "kendall"):
            figures = row[name]
            found |= {name: figures["mean"], f"{name}, low": figures["low"], f"{name}, high": figures["high"]}
        rows.append(found)
    return rows


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key.replace("_", " "): value for key, value in row.items()} for row in rows]


def _rows(heading: str, rows: Sequence[Mapping[str, Any]], text: str) -> list[Section]:
    """Return a section with ``rows`` as a table; none without rows."""
    if not rows:
        return []
    columns = list(rows[0])
    cells: list[list[Cell]] = [[row[name] for name in columns] for row in rows]
    return [Section(heading, text=text, table=Table([str(name) for name in columns], cells))]
