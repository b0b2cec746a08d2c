"""What the commands print of trained networks."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from metad2a.cli.output import console, print_rows, wrote
from metad2a.fitting.fitted import BEST_FILE, CHECKPOINTS
from metad2a.runtime import duration
from metad2a.search.then_train import ThenTrained
from metad2a.search.told_apart import told_apart

_SHOWN_AT_MOST = 20  # classes


def print_fit(result: Mapping[str, Any]) -> None:
    """Print the content of a run's ``result.json``."""
    card, images = result["card"], result["images"]
    console.print(
        f"{escape(card['dataset'])}: {len(card['classes'])} classes, {images['train']} images to learn from, "
        f"{images['valid']} to choose the epoch by, {images['test']} to measure on"
    )
    console.print(
        f"{escape(card['arch'])}, {result['params']:,} parameters, recipe {escape(card['recipe']['name'])}, "
        f"seed {card['seed']}, {_from(card)}{duration(result['seconds'])}"
    )
    console.print(
        f"validation: {_percent(result['valid'])} in epoch {card['epoch']}, the best of {len(result['curve'])} "
        f"(last: {result['last']:.2f} %)"
    )
    console.print(f"[bold]test: {_percent(result['test'])}[/bold]")
    if len(card["classes"]) <= _SHOWN_AT_MOST:
        _print_confusion(result["test"])
    else:
        _print_worst(result["test"])


def _from(card: Mapping[str, Any]) -> str:
    return f"from supernet {card['start']}, " if card["start"] else ""


def print_weights(folder: Path) -> None:
    """Say where the weights are and how they are read."""
    best = folder / CHECKPOINTS / BEST_FILE
    wrote(best)
    console.print(f"in Python:  metad2a.fitting.fitted.load_fitted({str(folder)!r})", markup=False)


def print_then_trained(done: ThenTrained) -> None:
    """Print how the first candidates did, and the test of the one that was chosen."""
    images, several = done.images, len(done.seeds) > 1
    console.print(
        f"recipe {escape(done.recipe.name)}: trained on {images['train']} images, chosen on {images['valid']}"
    )
    mean = f"validation % (mean of {len(done.seeds)} seeds)" if several else "validation %"
    table = Table("rank", Column("architecture", overflow="fold"), "predicted %", mean, *(["±"] if several else []))
    for one, predicted in zip(
        done.trained, told_apart([one.candidate.predicted for one in done.trained]), strict=True
    ):
        row = [str(one.candidate.rank), escape(one.candidate.arch), str(predicted)]
        row.append("diverged" if math.isnan(one.mean) else f"{one.mean:.2f}")
        if several:
            row.append("" if one.std is None else f"{one.std:.2f}")
        table.add_row(*row, style="bold" if one is done.chosen else None)
    console.print(table)
    if done.spearman is not None:
        console.print(f"Spearman correlation of predicted and validation accuracy: {done.spearman:.2f}")
    console.print(
        f"really best: candidate {done.chosen.candidate.rank}, test {_percent(done.test.to_dict())}, "
        "on images that neither search, training nor choice has seen"
    )


def _percent(scores: Mapping[str, Any]) -> str:
    low, high = scores["interval95"]
    counts = f"{scores['right']} of {scores['images']}"
    return f"{scores['accuracy']:.2f} % ({counts}, 95 % interval {low:.2f} to {high:.2f})"


def _print_confusion(test: Mapping[str, Any]) -> None:
    table = Table("true \\ taken for", title="test images by class")
    for row in test["per_class"]:
        table.add_column(escape(row["name"]), justify="right")
    table.add_column("right", justify="right")
    for number, (row, counts) in enumerate(zip(test["per_class"], test["confusion"], strict=True)):
        cells = [f"[bold]{n}[/bold]" if place == number else str(n or "") for place, n in enumerate(counts)]
        table.add_row(escape(row["name"]), *cells, _share(row))
    console.print(table)


def _print_worst(test: Mapping[str, Any]) -> None:
    known = [row for row in test["per_class"] if row["images"]]
    worst: Sequence[Mapping[str, Any]] = sorted(known, key=lambda row: row["accuracy"])[:_SHOWN_AT_MOST]
    rows = [[row["name"], str(row["images"]), _share(row)] for row in worst]
    print_rows(f"the {len(rows)} classes with most mistakes, of {len(known)}", ["class", "images", "right"], rows)


def _share(row: Mapping[str, Any]) -> str:
    return "-" if row["accuracy"] is None else f"{row['accuracy']:.1f} %"
