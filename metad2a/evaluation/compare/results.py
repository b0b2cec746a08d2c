"""What the result of a comparison is made of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from metad2a.evaluation.compare.reach import grouped
from metad2a.evaluation.compare.statistics import Means

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Row:
    """One method on one oracle with one budget; accuracies in percent.

    Attributes:
        oracle: name of its file and column.
        method: label.
        budget: true evaluations allowed.
        evaluations: spent on average: fewer where a method has no more to propose.
        mean: true accuracy of the pick, over the seeds.
        sd: its standard deviation (n - 1).
        low: lower end of the 95 % bootstrap interval of the mean.
        high: its upper end.
        best_found: true accuracy of the best that was evaluated, mean; where signals are noisy it is not the pick.
        regret: the best known less ``mean``.
        seconds: CPU seconds of the method itself, mean.
        difference: of ``mean`` to that of the baseline.
        p: of the paired test of that; None for the baseline, or for a single seed.
        p_holm: corrected for all methods and budgets of the oracle.
        per_seed: true accuracy of the pick by seed.
        hypervolume: of all that was evaluated, mean; None where it was not measured.
        hypervolume_sd: its standard deviation (n - 1).
        hypervolume_per_seed: by seed.
    """

    oracle: str
    method: str
    budget: int
    evaluations: float
    mean: float
    sd: float
    low: float
    high: float
    best_found: float
    regret: float
    seconds: float
    difference: float
    p: float | None
    p_holm: float | None
    per_seed: tuple[float, ...]
    hypervolume: float | None = None
    hypervolume_sd: float | None = None
    hypervolume_per_seed: tuple[float, ...] = ()


@dataclass(frozen=True)
class Line:
    """A mean along an axis, such as the pick's true accuracy, with a 95 % interval."""

    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, x: Sequence[float | int], found: Means) -> "Line":
        """Return the line through ``found``."""
        return cls(
            tuple(map(float, x)), *(tuple(values.tolist()) for values in (found.mean, found.low, found.high))
        )


@dataclass(frozen=True)
class OracleFacts:
    """What an oracle is.

    Attributes:
        name: of its file and column.
        dataset: that methods looked at.
        classes: of it.
        best: the best accuracy that is known.
        signal: what searches were told.
        timed: whether seconds of evaluations are known.
        listed: whether all architectures are known; else the best known is the best of ``archs`` and of all that
            was evaluated.
        archs: architectures that rank quality is measured on, in a space of which no table exists drawn uniformly.
        cost: that accuracy is weighed against.
        reference: error in percent, and cost, that hypervolumes are measured from; None where they are not.
        volume: the hypervolume of the true front, if it is known.
        fingerprint: a digest of all that the oracle knows and tells.
    """

    name: str
    dataset: str
    classes: int
    best: float
    signal: str
    timed: bool
    listed: bool = True
    archs: int = 0
    cost: str = "flops"
    reference: tuple[float, float] | None = None
    volume: float | None = None
    fingerprint: str = ""


@dataclass(frozen=True)
class Comparison:
    """The result of ``metad2a compare``.

    Attributes:
        oracles: what there is to find.
        methods: labels.
        baseline: that the tests are against.
        seeds: of the searches.
        budgets: true evaluations.
        rows: a row for each oracle, method and budget.
        by_evaluations: oracle -> method -> the pick against evaluations.
        by_seconds: the same against the method's own CPU seconds, and those of evaluations where they are known.
        by_volume: oracle -> method -> the hypervolume of error and cost against evaluations.
        reach: rows, see ``metad2a.evaluation.compare.reach``.
        ranks: rows of rank quality, see ``metad2a.evaluation.compare.ranks``.
        unseen: rows of rank quality on meta-validation, see ``metad2a.evaluation.compare.unseen``.
        calibration: rows, see ``metad2a.evaluation.compare.calibration``.
        generated: rows, see ``metad2a.evaluation.compare.generated``.
        provenance: rows, see ``metad2a.evaluation.compare.provenance``.
        audits: databases audited against the oracles.
    """

    oracles: tuple[OracleFacts, ...]
    methods: tuple[str, ...]
    baseline: str
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    rows: tuple[Row, ...]
    by_evaluations: Mapping[str, Mapping[str, Line]]
    by_seconds: Mapping[str, Mapping[str, Line]]
    by_volume: Mapping[str, Mapping[str, Line]] = field(default_factory=dict)
    reach: Sequence[Mapping[str, Any]] = field(default_factory=list)
    ranks: Sequence[Mapping[str, Any]] = field(default_factory=list)
    unseen: Sequence[Mapping[str, Any]] = field(default_factory=list)
    calibration: Sequence[Mapping[str, Any]] = field(default_factory=list)
    generated: Sequence[Mapping[str, Any]] = field(default_factory=list)
    provenance: Sequence[Mapping[str, Any]] = field(default_factory=list)
    audits: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def row(self, oracle: str, method: str, budget: int) -> Row:
        """Return one row."""
        return next(r for r in self.rows if (r.oracle, r.method, r.budget) == (oracle, method, budget))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metad2a compare json=FILE``; numbers that do not exist are null.

        ``reach`` is ``metad2a.evaluation.compare.reach.grouped``: as rows, pairs of methods would be most of it.
        """
        content = asdict(self) | {"reach": grouped(self.reach)}
        return {"schema_version": SCHEMA_VERSION, **without_nan(content)}

    def to_frame(self) -> "pd.DataFrame":
        """Return ``rows`` as a table, the seeds' own numbers left out."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows]).drop(columns=["per_seed", "hypervolume_per_seed"])


def without_nan(value: Any) -> Any:
    """Return plain data, numbers that do not exist as None."""
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
