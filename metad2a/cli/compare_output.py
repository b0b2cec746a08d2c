"""What ``metad2a compare`` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from metad2a.cli import output
from metad2a.evaluation.compare.results import Comparison, OracleFacts, Row

_RANKS = ("kendall_all", "kendall_top10pct", "kendall_top5pct", "spearman_all", "regret_1", "regret_5", "regret_10")
_RANKED = ("score", "oracle", "archs")
_CALIBRATION = ("coverage_50", "coverage_80", "coverage_95", "nll", "rmse", "mean_std")
_GENERATED = ("validity", "uniqueness", "novelty", "unique_functions", "novel_functions", "diversity")


def show(result: Comparison) -> None:
    """Print means, tests and hypervolumes by oracle, then rank quality, leakage, calibration, what is generated."""
    for facts in result.oracles:
        best = "best there is" if facts.listed else "best known"
        _print_oracle(result, facts.name, f"{facts.dataset}, told {facts.signal}; {best} {facts.best:.2f}")
        _print_volumes(result, facts)
        for what in ("hypervolume", "accuracy"):
            _print_reach(result, facts.name, what)
    _print_ranks(result)
    _print_numbers("calibration", result.calibration, ("method", "on", "unit", "std"), _CALIBRATION)
    _print_numbers("generated", result.generated, ("method", "what"), _GENERATED)
    for row in result.provenance:
        shares = ", ".join(
            f"{_number(share, 1)} % in the best tenth of {name}" for name, share in row["top10"].items()
        )
        output.console.print(
            f"{row['method']}, {row['model']}: trained on {row['trained_on']}, epoch selected on "
            f"{row['selected_on'] or 'nobody says what'}; of its {row['cells']} cells {shares}",
            markup=False,
        )


def _print_oracle(result: Comparison, oracle: str, about: str) -> None:
    rows = {(row.method, row.budget): row for row in result.rows if row.oracle == oracle}
    output.print_rows(
        f"{oracle}: true accuracy of the pick, mean ± standard deviation of {len(result.seeds)} seeds\n"
        f"({about}; * differs from {result.baseline}, p < .05 after Holm)",
        ["evaluations", *(str(budget) for budget in result.budgets), "CPU s"],
        [
            [
                method,
                *(_cell(rows[method, budget]) for budget in result.budgets),
                f"{rows[method, result.budgets[-1]].seconds:.2f}",
            ]
            for method in result.methods
        ],
    )


def _print_volumes(result: Comparison, facts: OracleFacts) -> None:
    if facts.reference is None:
        return
    rows = {(row.method, row.budget): row for row in result.rows if row.oracle == facts.name}
    error, cost = facts.reference
    whole = "" if facts.volume is None else f"; of all architectures {facts.volume:.4f}"
    output.print_rows(
        f"{facts.name}: hypervolume of error and {facts.cost}, mean ± standard deviation\n"
        f"(from {error:.4g} % and {cost:.4g}{whole})",
        ["evaluations", *(str(budget) for budget in result.budgets)],
        [[method, *(_volume(rows[method, budget]) for budget in result.budgets)] for method in result.methods],
    )


def _volume(row: Row) -> str:
    return f"{_number(row.hypervolume, 4)} ± {_number(row.hypervolume_sd, 4)}"


def _print_reach(result: Comparison, oracle: str, what: str) -> None:
    found = {
        (row["method"], row["of"]): row for row in result.reach if (row["oracle"], row["what"]) == (oracle, what)
    }
    if found and len(result.methods) > 1:
        output.print_rows(
            f"{oracle}: evaluations (seconds) until a method has the {what} that another one has at its end\n"
            f"(median of {len(result.seeds)} seeds; - where half of them never get there)",
            ["", *(f"{other}'s" for other in result.methods)],
            [[method, *(_reached(found[method, other]) for other in result.methods)] for method in result.methods],
        )


def _reached(row: Mapping[str, Any]) -> str:
    return "-" if row["evaluations"] is None else f"{row['evaluations']:.0f} ({row['seconds']:.3g} s)"


def _cell(row: Row) -> str:
    star = "*" if row.p_holm is not None and row.p_holm < 0.05 else ""
    return f"{row.mean:.2f} ± {row.sd:.2f}{star}"


def _print_ranks(result: Comparison) -> None:
    if result.ranks:
        rows = [
            {name: row[name] for name in _RANKED} | {name: row[name]["mean"] for name in _RANKS}
            for row in result.ranks
        ]
        sampled = any(not facts.listed for facts in result.oracles)
        what = "all cells, of an oracle that is no table over a uniform sample" if sampled else "all cells"
        _print_numbers(f"rank quality over {what}", rows, _RANKED, _RANKS)
    if result.unseen:
        output.print_rows(
            "rank quality within tasks of meta-validation (95 % over tasks)",
            ["score", "tasks", "Spearman", "Kendall"],
            [
                [row["score"], str(row["tasks"]), *(_interval(row[name]) for name in ("spearman", "kendall"))]
                for row in result.unseen
            ],
        )


def _interval(figures: Mapping[str, float]) -> str:
    low, high = (_number(figures[name], 3) for name in ("low", "high"))
    return f"{_number(figures['mean'], 3)} ({low} to {high})"


def _print_numbers(
    title: str, rows: Sequence[Mapping[str, Any]], texts: Sequence[str], numbers: Sequence[str]
) -> None:
    if rows:
        columns = [*texts, *(name.replace("_", " ") for name in numbers)]
        cells = [
            [*(str(row[name]) for name in texts), *(_number(row[name], 3) for name in numbers)] for row in rows
        ]
        output.print_rows(title, columns, cells)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or value != value else f"{value:.{digits}f}"
