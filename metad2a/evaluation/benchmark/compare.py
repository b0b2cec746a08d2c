"""Two runs of the benchmark side by side."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metad2a.errors import UserError
from metad2a.evaluation.benchmark.suite import KIND, SCHEMA_VERSION


@dataclass(frozen=True)
class Comparison:
    """One case in two files.

    Attributes:
        name: of the case.
        old_s: median CPU seconds in the first file; None where it has none.
        new_s: in the second.
        ratio: ``new_s / old_s``; above 1 it became slower.
        normalised: the same, had both been measured on equally fast cores.
    """

    name: str
    old_s: float | None
    new_s: float | None
    ratio: float | None
    normalised: float | None


def compare(old: Path, new: Path) -> list[Comparison]:
    """Compare what ``metad2a benchmark --json`` wrote; cases of the second file first, then those it lacks.

    Raises:
        UserError: a file cannot be read or is no such file.
    """
    old_speed, old_seconds = _read(old)
    new_speed, new_seconds = _read(new)
    found = []
    for name in {**new_seconds, **old_seconds}:
        before, after = old_seconds.get(name), new_seconds.get(name)
        ratio = after / before if before and after else None
        speed = new_speed / old_speed if new_speed and old_speed else None
        found.append(Comparison(name, before, after, ratio, ratio * speed if ratio and speed else None))
    return found


def _read(path: Path) -> tuple[float | None, dict[str, float | None]]:
    """Return the speed of the file's core in GFLOP/s, and the CPU seconds of each case."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path} as JSON: {error}. Give a file of `metad2a benchmark --json`."
        ) from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UserError(f"{path} is no result of the benchmark. Give a file of `metad2a benchmark --json`.")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{path} is in format {content.get('schema_version')}, this is format {SCHEMA_VERSION}. Measure again."
        )
    try:
        speed = _positive(content["machine"]["core_gflops"])
        seconds = {str(row["name"]): _positive(row["cpu_s"]) for row in content["rows"]}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Measure again.") from error
    return speed, seconds


def _positive(value: Any) -> float | None:
    if value is None:
        return None
    if not float(value) > 0:
        raise ValueError(f"{value} is not positive")
    return float(value)
