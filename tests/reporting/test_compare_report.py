import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metad2a.evaluation.compare.results import Comparison, Line, OracleFacts, Row
from metad2a.reporting.compare_report import comparison_report, picture, volume_picture
from metad2a.reporting.cost_curves import _spread, cost_curves

HOSTILE = '</svg><script>alert("$\\bad{")</script>&'
SVG = "{http://www.w3.org/2000/svg}"


def line(end: float, start: float = 80.0) -> Line:
    mean = tuple(np.linspace(start, end, 5).tolist())
    return Line((1.0, 5.0, 20.0, 100.0, 500.0), mean, tuple(m - 0.5 for m in mean), tuple(m + 0.5 for m in mean))


def comparison(*methods: str) -> Comparison:
    rows = [
        Row("table", method, budget, float(budget), 90.0, 1.0, 89.0, 91.0, 90.5, 4.0, 0.1, 0.0, None, None, (90.0,))
        for method in methods
        for budget in (1, 500)
    ]
    lines = {"table": {method: line(90.0 + number / 10) for number, method in enumerate(methods)}}
    row = {"oracle": "table", "score": "mine", "seeds": 1, "archs": 77}
    figures = ("kendall", "spearman")
    names = [f"{f}_{share}" for f in figures for share in ("all", "top10pct", "top5pct")]
    names += [f"regret_{first}" for first in (1, 2, 5, 10, 30)]
    return Comparison(
        oracles=(OracleFacts("table", "images", 10, 94.0, "the truth", timed=False),),
        methods=methods,
        baseline=methods[0],
        seeds=(0,),
        budgets=(1, 500),
        rows=tuple(rows),
        by_evaluations=lines,
        by_seconds=lines,
        ranks=[row | {name: {"mean": 0.4321, "low": 0.4, "high": 0.5} for name in names}],
        provenance=[
            {
                "method": methods[0],
                "model": "predictor",
                "trained_on": "a database",
                "selected_on": None,
                "records": 12,
                "cells": 3,
                "weights": "abc",
                "top10": {"table": 33.3},
                "shared_classes": {"table": None},
            }
        ],
    )


def test_every_line_is_named_at_its_end() -> None:
    chart = picture(comparison("random", "ours", HOSTILE), "table")
    tree = ET.fromstring(chart.svg)  # noqa: S314 - what we just drew
    words = ["".join(text.itertext()) for text in tree.iter(f"{SVG}text")]
    assert {"random", "ours", HOSTILE, "best there is", "true evaluations spent"} <= set(words)
    assert not list(tree.iter(f"{SVG}script"))
    assert len(chart.data.rows) == 15
    assert chart.data.rows[0] == ("random", 1.0, 80.0, 79.5, 80.5)


def test_hypervolumes_and_how_soon_they_are_reached(tmp_path: Path) -> None:
    plain = comparison("random", "ours")
    [facts] = plain.oracles
    lines = {"table": {"random": line(0.4, 0.1), "ours": line(0.5, 0.1)}}
    row = {"oracle": "table", "what": "hypervolume", "of": "random", "method": "ours", "target": 0.4}
    row |= {"evaluations": 12.0, "low": 9.0, "high": None, "seconds": 0.75, "reached": 3, "seeds": 5}
    whole = replace(
        plain,
        oracles=(replace(facts, reference=(23.5, 8.4e8), listed=False),),
        rows=tuple(replace(one, hypervolume=0.4321, hypervolume_sd=0.01) for one in plain.rows),
        by_volume=lines,
        reach=[row],
    )
    tree = ET.fromstring(volume_picture(whole, "table").svg)  # noqa: S314
    words = ["".join(text.itertext()) for text in tree.iter(f"{SVG}text")]
    assert "hypervolume of error and flops" in words
    assert "best there is" not in words
    path = tmp_path / "report.html"
    comparison_report(path, whole, command="metad2a compare")
    page = path.read_text()
    for text in ("best known", "23.5 %", "0.4321", "How soon a method has", "0.75"):
        assert text in page
    assert page.count("<svg") == 3


def test_the_picture_may_be_of_some_methods() -> None:
    whole = comparison("random", "ours", "another")
    chart = picture(whole, "table", ["another", "random"])
    assert list(dict.fromkeys(row[0] for row in chart.data.rows)) == ["another", "random"]
    assert "ours" not in chart.svg


@pytest.mark.parametrize("count", [16, 40])
def test_names_do_not_overlap(count: int) -> None:
    methods = [f"method {number}" for number in range(count)]
    svg = cost_curves({method: line(93.9) for method in methods}, x_label="seconds", best=94.0).svg
    tree = ET.fromstring(svg)  # noqa: S314
    heights = sorted(
        float(text.attrib["y"] if "y" in text.attrib else re.findall(r"-?[\d.]+", text.attrib["transform"])[-1])
        for text in tree.iter(f"{SVG}text")
        if "".join(text.itertext()).startswith("method ")
    )
    assert len(heights) == count
    assert min(np.diff(heights)) > 9


@pytest.mark.parametrize("heights", [[0.5] * 20, [0.0, 0.5, 0.51, 1.0], [1.0] * 5, [0.3], []])
def test_names_move_as_little_as_that_takes(heights: list[float]) -> None:
    places = _spread(heights)
    assert len(places) == len(heights)
    assert all(low < high for low, high in itertools.pairwise(places))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    if heights == [0.0, 0.5, 0.51, 1.0]:
        assert (places[1], places[3]) == (0.5, 1.0)
        assert 0 < places[0] < 0.1  # above the axis, not on it


def test_lines_differ_in_more_than_colour() -> None:
    svg = cost_curves({str(number): line(93.0) for number in range(16)}, x_label="seconds").svg
    looks = set(re.findall(r'style="(fill: none; stroke[^"]*stroke-width: 1.6[^"]*)"', svg))
    assert len(looks) == 16


def test_the_report_tells_what_was_trained_on_what(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    comparison_report(path, comparison("random", "ours"), command="metad2a compare 'a b'")
    page = path.read_text()
    for words in ("metad2a compare", "What was trained on what", "a database", "0.4321", "best 10 % of table"):
        assert words in page
    assert "<script" not in page
    assert page.count("<svg") == 2
