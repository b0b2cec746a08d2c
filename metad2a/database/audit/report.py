"""The audit of a database: leakage and quality in figures."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from metad2a.database.audit.benchmark import Comparison, compare
from metad2a.database.audit.cells import Cells, count_cells
from metad2a.database.audit.noise import Noise, measure_noise
from metad2a.database.audit.splits import PartOverlap, find_overlaps
from metad2a.database.published import MetaDatabase
from metad2a.errors import ConfigError, DatabaseError
from metad2a.oracles.table import TableOracle
from metad2a.spaces.registry import get_space

SCHEMA_VERSION = 1
AT_LEAST = 4
"""Labels of a task for ranks within it."""


@dataclass(frozen=True)
class Audit:
    """What was measured; accuracies are in percent.

    Attributes:
        database: its name.
        space: of its architectures.
        tasks: that have labels.
        labels: those held out for testing included.
        failures: trainings that gave none.
        at_least: labels of a task that ranks within it were taken of.
        cells: how often they repeat.
        overlaps: between the parts of its split; none when it comes without one.
        noise: of repeated trainings; None when there are none.
        comparison: with a benchmark; None when none was given.
    """

    database: str
    space: str
    tasks: int
    labels: int
    failures: int
    at_least: int
    cells: Cells
    overlaps: tuple[PartOverlap, ...]
    noise: Noise | None
    comparison: Comparison | None

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metad2a database audit --json FILE``; figures that do not exist are null."""
        return {"schema_version": SCHEMA_VERSION, **_without_nan(asdict(self))}


def audit(database: MetaDatabase, benchmark: TableOracle | None = None, *, at_least: int = AT_LEAST) -> Audit:
    """Measure leakage and quality of a database.

    Args:
        database: with the labels that its authors held out, which are looked at too.
        benchmark: what is true, to compare with.
        at_least: labels of a task for ranks within it.

    Raises:
        ConfigError: ``at_least`` is less than 2.
        DatabaseError: there are no labels, or the benchmark lists none of the cells.
    """
    if at_least < 2:
        raise ConfigError(f"at_least is {at_least}; ranks within a task need two labels.")
    labels = pd.concat([database.records, database.held_out], ignore_index=True)
    if labels.empty:
        raise DatabaseError(f"the database '{database.name}' has no labels to audit.")
    space = get_space(database.space)
    return Audit(
        database=database.name,
        space=database.space,
        tasks=labels["task"].nunique(),
        labels=len(labels),
        failures=len(database.failures),
        at_least=at_least,
        cells=count_cells(labels),
        overlaps=tuple(find_overlaps(labels, database.tasks)),
        noise=measure_noise(labels, at_least=at_least),
        comparison=None if benchmark is None else compare(labels, benchmark, space, at_least=at_least),
    )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
