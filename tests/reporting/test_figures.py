import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

from metad2a.reporting.figures import (
    MAX_POINTS,
    Chart,
    Curve,
    best_of_curves,
    curves_of,
    growth,
    learning_curves,
    predicted_histogram,
    predicted_vs_true,
    timings,
)

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</svg><script>alert("$\\bad{")</script>&\x00'


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - what we just drew


def curves() -> Chart:
    rng = np.random.default_rng(0)
    steps = list(range(20))
    return learning_curves(
        [
            Curve(name, f"seed {seed}", steps, (base + rng.random(20)).tolist())
            for name, base in (("train/loss", 1.0), ("val/loss", 2.0), ("val/spearman", 0.0))
            for seed in range(3)
        ]
    )


def scatter(name: str = "a") -> Chart:
    rng = np.random.default_rng(1)
    true = rng.normal(70, 5, 50)
    return predicted_vs_true([name] * 50, true + rng.normal(0, 2, 50), true)


def histogram() -> Chart:
    return predicted_histogram(np.random.default_rng(2).normal(70, 3, 500), picked=[74.0, 75.5])


def best_of(method: str = "metad2a") -> Chart:
    return best_of_curves({method: {1: [70.0, 72.0], 10: [73.0, 73.5]}, "random": {1: [60.0], 10: [70.0]}}, best=74)


def bars() -> Chart:
    return timings({"embed": 1.25, "generate": 0.5, "rank": 0.01})


def grown(name: str = "classes") -> Chart:
    return growth({name: [(10, 0.1, 800.0), (100, 1.0, 820.0)], "images": [(20, 0.2, 700.0)]})


ALL = [curves, scatter, histogram, best_of, bars, grown]


def words(chart: Chart) -> list[str]:
    return ["".join(element.itertext()) for element in parse(chart.svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("make", ALL)
def test_every_figure_is_a_picture_with_its_numbers(make: Callable[[], Chart]) -> None:
    chart = make()
    assert parse(chart.svg).tag == f"{SVG}svg"
    assert chart.data.rows
    assert all(len(row) == len(chart.data.columns) for row in chart.data.rows)
    assert all(isinstance(cell, str | int | float | None) for row in chart.data.rows for cell in row)


@pytest.mark.parametrize("make", ALL)
def test_the_same_numbers_give_the_same_picture(make: Callable[[], Chart]) -> None:
    assert make() == make()


def test_drawing_leaves_no_trace() -> None:
    before = dict(mpl.rcParams)
    for make in ALL:
        make()
    assert dict(mpl.rcParams) == before
    code = "import sys, metad2a.reporting.figures, metad2a.reporting.html; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"matplotlib", "pandas", "scipy", "jinja2"} & set(loaded)


def test_figures_of_one_page_share_no_ids() -> None:
    seen: set[str] = set()
    for make in ALL:
        root = parse(make().svg)
        ids = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
        wanted = {v[1:] for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")}
        wanted |= {e.attrib["clip-path"][5:-1] for e in root.iter() if "clip-path" in e.attrib}
        assert wanted
        assert wanted <= ids
        assert not seen & ids
        seen |= ids


def test_learning_curves_have_a_panel_per_kind_and_name_every_metric_once() -> None:
    chart = curves()
    text = words(chart)
    assert [text.count(name) for name in ("loss", "spearman", "train/loss", "val/loss", "val/spearman")] == [1] * 5
    assert len(chart.data.rows) == 3 * 3 * 20


def test_long_curves_are_thinned_but_keep_their_ends() -> None:
    rows = learning_curves([Curve("train/loss", "r", range(5000), np.arange(5000.0).tolist())]).data.rows
    assert len(rows) == MAX_POINTS
    assert (rows[0][2], rows[-1][2]) == (0, 4999)
    assert all(row[2] == row[3] for row in rows)


def test_curves_are_taken_from_a_metrics_frame() -> None:
    frame = pd.DataFrame({"step": [1, 2, 3], "time": 0.0, "train/loss": [3.0, math.nan, 1.0]})
    assert curves_of(frame, "seed 0", ["train/loss", "absent"]) == [
        Curve("train/loss", "seed 0", [1, 3], [3.0, 1.0])
    ]


def test_the_scatter_states_its_rank_correlations() -> None:
    chart = scatter()
    predicted, true = zip(*[row[1:] for row in chart.data.rows], strict=True)
    rho, tau = spearmanr(predicted, true).statistic, kendalltau(predicted, true).statistic
    assert f"Spearman {rho:.3f}, Kendall {tau:.3f} (n = 50)" in words(chart)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0]])
def test_ranks_without_meaning_are_called_undefined(values: list[float]) -> None:
    chart = predicted_vs_true(["a"] * len(values), values, values)
    assert f"Spearman undefined, Kendall undefined (n = {len(values)})" in words(chart)


def test_the_histogram_counts_everything_once() -> None:
    rows = histogram().data.rows
    assert sum(row[2] for row in rows) == 500
    assert sum(row[3] for row in rows) == 2


@pytest.mark.parametrize("values", [[], [70.0], [70.0, 70.0]])
def test_the_histogram_takes_few_values(values: list[float]) -> None:
    assert sum(row[2] for row in predicted_histogram(values).data.rows) == len(values)


def test_best_of_gives_mean_and_spread_over_the_seeds() -> None:
    assert list(best_of().data.rows) == [
        ("metad2a", 1, 71.0, pytest.approx(math.sqrt(2)), 2),
        ("metad2a", 10, 73.25, pytest.approx(math.sqrt(0.125)), 2),
        ("random", 1, 60.0, None, 1),
        ("random", 10, 70.0, None, 1),
    ]
    assert {"metad2a", "random", "best there is", "1", "10"} <= set(words(best_of()))


def test_bars_carry_their_names_and_numbers() -> None:
    assert {"embed", "generate", "rank", "1.25 s", "0.5 s", "0.01 s"} <= set(words(bars()))


def test_growth_is_drawn_on_log_axes() -> None:
    chart = growth({"classes": [(10, 1.0, 800.0), (100, 10.0, 900.0), (1000, 100.0, 1000.0)]})
    assert {"classes", "CPU seconds", "peak memory, MB", "100", "1,000"} <= set(words(chart))
    assert chart.data.rows[1] == ("classes", 100, 10.0, 900.0)
    lines = [e.attrib["d"] for e in parse(chart.svg).iter(f"{SVG}path") if "#0072b2" in e.attrib.get("style", "")]
    drawn = next(line for line in lines if line.count("L") == 2)
    x, y = np.array([[float(number) for number in point.split()] for point in re.split("[ML]", drawn)[1:]]).T
    assert x[1] - x[0] == pytest.approx(x[2] - x[1]), "each step is a decade"
    assert y[1] - y[0] == pytest.approx(y[2] - y[1])


def test_nothing_to_draw_is_an_empty_figure() -> None:
    for chart in (learning_curves([]), timings({}), best_of_curves({}), growth({})):
        assert parse(chart.svg).tag == f"{SVG}svg"
        assert not chart.data.rows


def test_hostile_names_stay_names() -> None:
    named = [
        best_of(HOSTILE),
        grown(HOSTILE),
        timings({HOSTILE: 1.0}),
        learning_curves([Curve(HOSTILE, HOSTILE, [1], [1.0])]),
    ]
    for chart in named:
        assert "<script" not in chart.svg
        assert any('<script>alert("$\\bad{")</script>&' in word for word in words(chart))
