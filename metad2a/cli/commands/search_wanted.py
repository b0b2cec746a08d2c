"""What ``metad2a search`` is to do with a result."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metad2a.cli.commands.named_numbers import named_numbers


@dataclass(frozen=True)
class Wanted:
    """What becomes of a result.

    Attributes:
        top: candidates to print, to show in the report and to export.
        pareto: a cost, of which the best trade-offs are printed too.
        json: file for all of it.
        html: file for the report.
        export: folder for the first candidates' networks.
        onnx: whether they get an ONNX file; None: if the package is installed.
        then_train: how many of the first candidates are trained; 0 trains none.
        recipe: of these trainings, and of queries.
        train_seeds: trainings of each network.
        runs: where they are kept.
        queries: true evaluations to spend on the candidates; 0 spends none.
        enough: percent of accuracy that the next one must promise.
        oracle: table of true accuracies; None: networks are really trained, in ``recipe``.
        oracle_column: of the table.
    """

    top: int
    pareto: str | None
    json: Path | None
    html: Path | None
    export: Path | None
    onnx: bool | None
    then_train: int
    recipe: str
    train_seeds: int
    runs: Path
    queries: int
    enough: float
    oracle: Path | None
    oracle_column: str | None

    @property
    def trains(self) -> bool:
        """Whether networks are to be trained."""
        return bool(self.then_train) or (bool(self.queries) and self.oracle is None)


def wishes(texts: Sequence[str]) -> dict[str, float]:
    """Return what a generator is to aim at, given as ``NAME=NUMBER``.

    Raises:
        ConfigError: a text has another form.
    """
    return named_numbers("--want", texts, float, "accuracy=0.9")
