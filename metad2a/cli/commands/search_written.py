"""What ``metad2a search`` leaves: JSON, report, networks."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metad2a.cli import output
from metad2a.cli.commands.search_evaluations import rank_of
from metad2a.cli.commands.search_wanted import Wanted
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.runtime import write_json
from metad2a.search.explanation import Explanation
from metad2a.search.querying import Queried
from metad2a.search.result import SearchResult

if TYPE_CHECKING:  # who trains nothing does not wait for the training loop
    from metad2a.search.then_train import ThenTrained

_INSPECTED = 20_000  # images, above which a report does without: looking at them takes longer than the search


def command_line() -> str:
    """Return the command as the user would type it again."""
    return shlex.join(["metad2a", *sys.argv[1:]])


def write(
    result: SearchResult,
    explanation: Explanation,
    trained: "ThenTrained | None",
    queried: Queried | None,
    opened: ImageSet | FeatureSet,
    wanted: Wanted,
) -> None:
    """Write the files that are wanted, and say so."""
    if wanted.json is not None:
        more = {"explanation": explanation.to_dict(), **evaluated(result, trained, queried)}
        write_json(wanted.json, result.to_dict() | more)
        output.wrote(wanted.json)
    if wanted.html is not None:
        _report(wanted.html, result, explanation, trained, queried, opened, wanted.top)
    if wanted.export is not None:
        from metad2a.search.export import export_candidates

        networks = {} if trained is None else {trained.chosen.candidate.rank: trained.network}
        for folder in export_candidates(
            result,
            wanted.export,
            wanted.top,
            trained=networks,
            also=[] if queried is None else [rank_of(queried.best, result)],
            classes=opened.classes,
            onnx=wanted.onnx,
            command=command_line(),
        ):
            output.wrote(folder)


def evaluated(result: SearchResult, trained: "ThenTrained | None", queried: Queried | None) -> dict[str, Any]:
    """Return what came of true evaluations as plain data."""
    return {
        "then_train": None if trained is None else trained.to_dict(),
        "queries": None if queried is None else queried.to_dict() | {"rank": rank_of(queried.best, result)},
    }


def _report(
    path: Path,
    result: SearchResult,
    explanation: Explanation,
    trained: "ThenTrained | None",
    queried: Queried | None,
    opened: ImageSet | FeatureSet,
    top: int,
) -> None:
    from metad2a.data.inspection import inspect
    from metad2a.reporting.reports import search_report

    pictured = opened if isinstance(opened, ImageSet) else None
    search_report(
        path,
        result,
        top=top,
        command=command_line(),
        images=pictured,
        inspection=inspect(pictured) if pictured is not None and len(pictured) <= _INSPECTED else None,
        explanation=explanation,
        trained=trained,
        queried=queried,
    )
    output.wrote(path)
