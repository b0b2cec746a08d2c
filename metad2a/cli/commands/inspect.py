"""metad2a inspect."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Column, Table

from metad2a.cli import output
from metad2a.data.findings import Finding
from metad2a.data.inspection import Inspection, Sizes, inspect
from metad2a.runtime import check_writable, duration, write_json

SHOWN = 20  # classes that are printed one by one; of more, so many of the largest and smallest together
_LEVELS = {"refused": "[red]stops[/red]", "look": "[yellow]look at[/yellow]", "handled": "handled"}


def run(images: str, *, json_file: Path | None) -> None:
    """Inspect, print, write what was asked for; exit with 1 if the data set cannot be used."""
    if json_file is not None:
        check_writable(json_file)
    result = inspect(images)
    _print(result)
    if json_file is not None:
        write_json(json_file, result.to_dict())
        output.wrote(json_file)
    if not result.usable:
        print(f"error: {_refusal(result)}", file=sys.stderr)
        sys.exit(1)


def _print(result: Inspection) -> None:
    console = output.console
    console.print(
        f"{escape(result.name)}: {len(result.counts):,} classes, {result.images:,} images "
        f"(looked at in {duration(result.seconds)})"
    )
    _print_classes(result.counts)
    if result.sizes is not None:
        console.print(f"sizes: {_sizes(result.sizes)}")
    console.print(f"modes: {_counted(result.modes)}")
    if result.formats:
        console.print(f"formats: {_counted(result.formats)}")
    if not result.findings:
        console.print("nothing that needs to be looked at")
        return
    table = Table(
        "", Column("number", justify="right"), "what", "what is done", Column("for example", overflow="fold")
    )
    for found in result.findings:
        examples = "\n".join(found.examples)
        table.add_row(_LEVELS[found.level], f"{found.count:,}", found.what, found.action, escape(examples))
    console.print(table)


def _print_classes(counts: Mapping[str, int]) -> None:
    numbers = np.array(list(counts.values()))
    output.console.print(
        f"images of a class: {numbers.min():,} to {numbers.max():,}, median {np.median(numbers):,.0f}"
    )
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    if len(ordered) <= SHOWN:
        output.console.print("  " + ", ".join(f"{escape(name)} {count:,}" for name, count in ordered))
        return
    half = SHOWN // 2
    for title, some in (("largest", ordered[:half]), ("smallest", ordered[-half:])):
        output.console.print(f"  {title}: " + ", ".join(f"{escape(name)} {count:,}" for name, count in some))


def _sizes(sizes: Sizes) -> str:
    common = f"{sizes.commonest[0]:,} x {sizes.commonest[1]:,}"
    if sizes.distinct == 1:
        return f"all {common} pixels"
    width, height = (f"{side[0]:,} to {side[2]:,}, median {side[1]:,}" for side in (sizes.width, sizes.height))
    return f"width {width}; height {height} pixels; {sizes.distinct:,} sizes, {sizes.share:.0%} are {common}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{escape(name)} {count:,}" for name, count in counts.items()) or "none"


def _refusal(result: Inspection) -> str:
    stops: list[Finding] = [found for found in result.findings if found.level == "refused"]
    reasons = "; ".join(f"{found.what} ({found.count:,})" for found in stops)
    return f"{result.name} cannot be used as it is: {reasons}. The table says what to do."
