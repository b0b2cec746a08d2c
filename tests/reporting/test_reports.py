"""Which facts the commands' reports show."""

import html
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.data.inspection import inspect
from metad2a.errors import OutputError
from metad2a.evaluation.protocol import BUDGETS, Evaluation, Row
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.reference import Reference
from metad2a.reporting.reports import TrainedCell, demo_report, evaluation_report, runs_report, search_report
from metad2a.runtime import torch_rng
from metad2a.search.explanation import explain
from metad2a.search.metad2a import MetaD2A
from metad2a.search.querying import Queried
from metad2a.search.result import Candidate, SearchResult
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.tracking.local import LocalTracker
from metad2a.tracking.run import track


def found(space: NASBench201, count: int) -> SearchResult:
    """Return the result of a search with candidates of 90, 89, 88 ... percent."""
    archs = space.sample(count, np.random.default_rng(0))
    params = space.params(archs, 7)
    candidates = tuple(
        Candidate(
            rank=number + 1,
            arch=space.format(arch),
            predicted=90.0 - number,
            std=None,
            params=int(params[number]),
            flops=1_234_567,
            latency_ms=None,
            space=space,
            num_classes=7,
        )
        for number, arch in enumerate(archs)
    )
    return SearchResult(
        candidates=candidates,
        space="nasbench201",
        checkpoint="mine <b>bold</b>",
        seed=5,
        dataset={"name": "birds & bees", "classes": 7, "images_used": 321, "embedder": "pixels"},
        generation={"sampled": 70, "valid": 60, "unique": count, "novel": 2},
        timing={"embed_s": 1.5, "generate_s": 0.25, "rank_s": 0.125, "total_s": 1.875},
    )


def recorded(folder: Path, losses: Sequence[float]) -> Path:
    """Write a run with a learning curve."""
    with track(folder, {}, run_id=folder.name, job="train", seed=0, trackers=LocalTracker()) as tracker:
        for step, loss in enumerate(losses):
            tracker.metrics({"train/loss": loss, "val/spearman": 0.5}, step=step)
    return folder


def read(path: Path) -> str:
    """Return the page without the places where a line may break."""
    return path.read_text(encoding="utf-8").replace("<wbr>", "")


def headings(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]*)</h2>", page)


def self_contained(page: str) -> bool:
    return not re.findall(r'(?:src|href)="(?!#|data:image/)|url\([^#]|@import|<script', page)


def test_the_search_report_shows_the_best_and_says_how(space: NASBench201, tmp_path: Path) -> None:
    result = found(space, 9)
    search_report(tmp_path / "r.html", result, top=4, command="metad2a search birds")
    page = read(tmp_path / "r.html")
    assert headings(page) == [
        "The first-ranked candidates",
        "Accuracy against cost",
        "All candidates",
        "Time of the search",
    ]
    assert "Networks for birds &amp; bees" in page
    for text in ("metad2a search birds", "7 classes", "321", "1,234,567", "mine &lt;b&gt;bold", "graphs novel"):
        assert text in page, text
    assert [candidate.arch in page for candidate in result.candidates] == [True] * 4 + [False] * 5
    assert f"1: 90.00 %, {result.best.params:,} parameters" in page
    assert self_contained(page)


def test_neighbours_of_each_table_are_told_apart(space: NASBench201, tmp_path: Path) -> None:
    result = found(space, 4)
    close = (41.1231, 41.1229, 41.1189, 40.0)
    candidates = [
        replace(one, predicted=predicted, flops=1_000_000 * (5 - one.rank))
        for one, predicted in zip(result.candidates, close, strict=True)
    ]
    result = replace(result, candidates=tuple(candidates))
    search_report(tmp_path / "r.html", result, top=2, command="c")
    page = read(tmp_path / "r.html")
    first, *_ = page.split("Accuracy against cost")
    assert first.count('class="number">41.1231<') == first.count('class="number">41.1229<') == 1
    assert "2: 41.1229 %" in first
    assert 'class="number">40.0000<' in page, "of the front"
    search_report(tmp_path / "r.html", replace(result, candidates=tuple(candidates[1:])), top=3, command="c")
    first, *_ = read(tmp_path / "r.html").split("Accuracy against cost")
    assert [text in first for text in (">41.123<", ">41.119<", ">40.000<")] == [True] * 3


def test_the_whole_search_report(
    space: NASBench201,
    make_checkpoint: Callable[..., Checkpoint],
    make_reference: Callable[..., Reference],
    tmp_path: Path,
) -> None:
    alone = make_reference(loneliness=torch.linspace(0, 1e-4, 101).expand(2, 101))
    scores = {"predictor": {"val/mae": 3.0, "val/pair_error": 4.0}}
    model = MetaD2A(make_checkpoint(reference=alone, metrics=scores), name="mine", device="cpu")
    names = ["ant", "bee & wasp", "cat"]
    labels = np.repeat([0, 1, 2], 5)
    rows = torch.rand(15, 6, generator=torch_rng("rows"))
    features = FeatureSet(rows, labels, names, embedder="test features", name="zoo")
    result = model.search(features, n_candidates=30)
    explanation = explain(model, features, result, images="my zoo")
    images = ImageSet.from_arrays(np.zeros((15, 8, 8, 3), np.uint8), labels, classes=names)
    inspection = inspect(images)
    seen = {"images": images, "inspection": inspection, "explanation": explanation}
    search_report(tmp_path / "r.html", result, top=3, command="c", **seen)
    page = read(tmp_path / "r.html")
    assert inspection.findings  # all of them are black
    for finding in inspection.findings:
        assert finding.what in html.unescape(page)
        assert finding.action in html.unescape(page)
    assert headings(page) == [
        "The first-ranked candidates",
        "Accuracy against cost",
        "Your images",
        "Where your data set lies",
        "How sure the predictor is",
        "How the candidates differ",
        "All candidates",
        "Time of the search",
        "What to try next",
    ]
    assert page.count("<img ") == page.count('src="data:image/jpeg;base64,') == 3
    assert 'alt="5 images of class bee &amp; wasp"' in page
    assert escape(explanation.warnings[0], quote=False) in page
    for sentence in (
        *explanation.about_likeness(),
        *explanation.about_sureness(),
        *explanation.about_differences(),
    ):
        assert html.unescape(page).count(sentence) >= 1, sentence
    assert all(one.command in html.unescape(page) for one in explanation.advice)
    shown = {tuple(c.arch for c in result.pareto(cost)) for cost in ("params", "flops")}
    assert page.count('tabindex="0"') >= sum(map(len, shown))
    assert self_contained(page)


def test_what_queries_found_is_shown(space: NASBench201, tmp_path: Path) -> None:
    result = found(space, 9)
    third, seventh = (result.candidates[place].arch for place in (2, 6))
    queried = Queried(
        ((third, 61.25), (result.best.arch, math.nan), (seventh, 63.5)), seventh, 63.5, 0.1, "a table"
    )
    search_report(tmp_path / "r.html", result, top=2, command="c", queried=queried)
    page = read(tmp_path / "r.html")
    assert headings(page)[:2] == ["Truly evaluated", "The first-ranked candidates"]
    assert "3 evaluations by a table, one after another where most was promised. Rank 7 was best: 63.50 %." in page
    assert "without training anything. Then some were evaluated truly." in page
    table = page[page.index("Truly evaluated") : page.index("The first-ranked candidates")]
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
    assert [row for row in rows if row] == [
        ["3", third, "88.00", "61.25"],
        ["1", result.best.arch, "90.00", "\N{EN DASH}"],
        ["7", seventh, "84.00", "63.50"],
    ]
    assert self_contained(page)


def test_one_candidate_is_enough(space: NASBench201, tmp_path: Path) -> None:
    search_report(tmp_path / "r.html", found(space, 1), top=10, command="c")
    assert "1: 90.00 %" in (tmp_path / "r.html").read_text()


def row(value: float) -> Row:
    return {
        "top1": value,
        "regret": 95.5 - value,
        "kendall_all": math.nan,
        "best_of": {str(budget): value + 0.01 * budget for budget in BUDGETS},
    }


def test_the_evaluation_report_shows_means_and_spread(tmp_path: Path) -> None:
    evaluation = Evaluation(
        dataset="birds",
        oracle="table.csv:birds",
        runs=2,
        metrics=row(91.25),
        spread={"top1": 0.75, "regret": 0.75, "kendall_all": math.nan, "best_of": row(0.0)["best_of"]},
        baselines={"random": row(80.5), "flops": row(85.5)},
        per_run=[row(90.5), row(92.0)],
        lists={"MetaD2A": 40, "random": 500, "flops": 2},
    )
    evaluation_report(tmp_path / "r.html", evaluation, command="metad2a evaluate dataset=birds")
    page = (tmp_path / "r.html").read_text()
    assert headings(page) == ["Best true accuracy among the first picks", "Numbers"]
    assert page.count(">MetaD2A</td>") == 5, "of 40 there are no 100, nor 500"
    assert (page.count(">random</td>"), page.count(">flops</td>")) == (7, 2)
    for text in ("birds against table.csv:birds", "over 2 seeds", "91.25", "0.7500", "random", "flops", "MetaD2A"):
        assert text in page, text
    assert "nan" not in page.replace("provenance", "")
    assert self_contained(page)


def test_the_runs_report_has_a_curve_for_every_run(tmp_path: Path) -> None:
    for name in ("first", "second"):
        recorded(tmp_path / "runs" / name, [3.0, 2.0, 1.0625])
    assert runs_report(tmp_path / "r.html", tmp_path / "runs", command="metad2a report runs") == 2
    page = (tmp_path / "r.html").read_text()
    assert all(text in page for text in ("first", "second", "train/loss", "val/spearman", "1.062"))
    assert self_contained(page)


def test_runs_that_recorded_nothing_are_told(tmp_path: Path) -> None:
    recorded(tmp_path / "runs" / "empty", [])
    runs_report(tmp_path / "r.html", tmp_path / "runs", command="c")
    assert "No run has recorded a learning curve yet." in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("failed", [False, True])
def test_the_demo_report_compares_prediction_and_truth(space: NASBench201, tmp_path: Path, failed: bool) -> None:
    result = found(space, 5)
    runs = {kind: recorded(tmp_path / kind, [2.0, 1.0]) for kind in ("predictor", "generator")}
    nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    trained = [TrainedCell("first-ranked", result.best.arch, 90.0, (70.25, 71.25))]
    trained += [TrainedCell("random", c.arch, c.predicted, (30.0 - c.rank,)) for c in result.candidates[1:4]]
    nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    trained.append(TrainedCell("random", nothing, 20.5, (math.nan if failed else 10.125,)))
    demo_report(
        tmp_path / "r.html",
        runs=runs,
        result=result,
        trained=trained,
        verdict="It beat 4 of 4.",
        seconds={"search": 2.5},
        command="metad2a demo",
    )
    page = read(tmp_path / "r.html")
    assert headings(page)[0] == "Really trained"
    assert headings(page)[-1] == "Where the time went"
    assert "It beat 4 of 4." in page
    assert page.count("first-ranked</td>") == 1
    for text in ("70.75", "0.7071", "20.50", nothing):  # mean, standard deviation, a prediction, a cell
        assert text in page, text
    assert ("10.12" in page) is not failed
    assert f"Spearman 1.000, Kendall 1.000 (n = {4 if failed else 5})" in page
    assert self_contained(page)


def test_a_report_that_cannot_be_written_is_told(space: NASBench201, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        search_report(tmp_path / "file" / "r.html", found(space, 1), top=1, command="c")
