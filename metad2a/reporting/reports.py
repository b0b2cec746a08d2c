"""The reports of the commands: which sections, from which results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metad2a import __version__
from metad2a.data.image_set import ImageSet
from metad2a.data.inspection import Inspection
from metad2a.evaluation.protocol import SEARCH, Evaluation
from metad2a.reporting.figures import (
    Curve,
    Table,
    best_of_curves,
    curves_of,
    learning_curves,
    predicted_vs_true,
    timings,
)
from metad2a.reporting.html import Section, write_report
from metad2a.reporting.search_sections import search_sections
from metad2a.search.explanation import Explanation
from metad2a.search.querying import Queried
from metad2a.search.result import SearchResult
from metad2a.tracking.read import list_runs, read_metrics

if TYPE_CHECKING:  # who trains nothing does not wait for the training loop
    from metad2a.search.then_train import ThenTrained

_CURVES = ("train/loss", "val/spearman", "val/spearman_within_tasks", "val/spearman_advantage", "val/recon_nll")
_FOOTER = f"metad2a {__version__}; MetaD2A: Lee, Hyung, Hwang, ICLR 2021"


def search_report(
    path: Path,
    result: SearchResult,
    *,
    top: int,
    command: str,
    images: ImageSet | None = None,
    inspection: Inspection | None = None,
    explanation: Explanation | None = None,
    trained: "ThenTrained | None" = None,
    queried: Queried | None = None,
) -> None:
    """Write what a search found; see ``search_sections`` for what makes the report longer."""
    evaluated = "" if trained is None and queried is None else " Then some were evaluated truly."
    write_report(
        path,
        search_sections(
            result,
            top=top,
            images=images,
            inspection=inspection,
            explanation=explanation,
            trained=trained,
            queried=queried,
        ),
        title=f"Networks for {result.dataset['name']}",
        subtitle=f"Proposed and ranked without training anything.{evaluated}",
        command=command,
        footer=_FOOTER,
    )


def evaluation_report(path: Path, evaluation: Evaluation, *, command: str) -> None:
    """Write how a search compares with the truth and with the baselines."""
    write_report(
        path,
        evaluation_sections(evaluation),
        title=f"{evaluation.dataset} against {evaluation.oracle}",
        subtitle=f"Means and standard deviations over {evaluation.runs} seeds.",
        command=command,
        footer=_FOOTER,
    )


def runs_report(path: Path, folder: Path, *, command: str) -> int:
    """Write the learning curves of all runs below ``folder``; return how many there were."""
    runs = [Path(str(run["run_dir"])) for run in list_runs(folder)]
    write_report(
        path,
        training_sections({run.name: run for run in runs}),
        title=f"Runs in {folder}",
        command=command,
        footer=_FOOTER,
    )
    return len(runs)


@dataclass(frozen=True)
class TrainedCell:
    """An architecture that was really trained.

    Attributes:
        picked: how it was chosen.
        arch: its text.
        predicted: accuracy in percent.
        accuracies: of each training, in percent; NaN where it failed.
    """

    picked: str
    arch: str
    predicted: float
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy in percent."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float | None:
        """Standard deviation of the accuracies, None for a single one."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else None


def demo_report(
    path: Path,
    *,
    runs: Mapping[str, Path],
    result: SearchResult,
    trained: Sequence[TrainedCell],
    verdict: str,
    seconds: Mapping[str, float],
    command: str,
) -> None:
    """Write the whole demo.

    Args:
        path: the file.
        runs: run folders of the meta-training, by name.
        result: of the search.
        trained: the networks that were really trained.
        verdict: whether the first-ranked one was better.
        seconds: by stage.
        command: that made all this.
    """
    known = [cell for cell in trained if np.isfinite(cell.mean)]
    chart = predicted_vs_true(
        [cell.arch for cell in known], [cell.predicted for cell in known], [cell.mean for cell in known]
    )
    truth = Table(
        ("picked", "architecture", "predicted %", "trained %", "standard deviation"),
        [(cell.picked, cell.arch, cell.predicted, cell.mean, cell.spread) for cell in trained],
    )
    write_report(
        path,
        [
            Section("Really trained", text=verdict, chart=chart, table=truth),
            *search_sections(result, top=10),
            *training_sections(runs),
            Section("Where the time went", chart=timings(seconds)),
        ],
        title=f"metad2a demo: networks for {result.dataset['name']}",
        subtitle="Meta-trained, searched and checked on this machine, with nothing downloaded.",
        command=command,
        footer=_FOOTER,
    )


def evaluation_sections(evaluation: Evaluation) -> list[Section]:
    """Return picks against baselines, and the numbers."""
    methods: dict[str, dict[int, Any]] = {
        SEARCH: {
            n: np.array([row["best_of"][str(n)] for row in evaluation.per_run])  # type: ignore[index]
            for n in evaluation.budgets(SEARCH)
        }
    }
    for name, row in evaluation.baselines.items():
        methods[name] = {n: np.array([row["best_of"][str(n)]]) for n in evaluation.budgets(name)}
    numbers = [
        (name, value, evaluation.spread[name])
        for name, value in evaluation.metrics.items()
        if isinstance(value, float)
    ]
    return [
        Section(
            "Best true accuracy among the first picks",
            text="Only the leftmost point is what a search hands out without any true evaluation.",
            chart=best_of_curves(methods),
        ),
        Section("Numbers", table=Table(("metric", "mean", "standard deviation"), numbers)),  # type: ignore[arg-type]
    ]


def training_sections(runs: Mapping[str, Path]) -> list[Section]:
    """Return the learning curves of runs."""
    curves: list[Curve] = []
    for name, folder in runs.items():
        curves += curves_of(read_metrics(folder), name, _CURVES)
    if not curves:
        return [Section("Meta-training", text="No run has recorded a learning curve yet.")]
    return [Section("Meta-training", chart=learning_curves(curves))]
