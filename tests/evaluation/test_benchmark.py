"""The benchmark: what is measured, by which rules, and what a result says."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metad2a.errors import MetaD2AError, UnknownNameError, UserError
from metad2a.evaluation.benchmark import growth, mobile, suite
from metad2a.evaluation.benchmark.cases import CASES
from metad2a.evaluation.benchmark.compare import Comparison, compare
from metad2a.evaluation.benchmark.growth import AXES, slope
from metad2a.evaluation.benchmark.inputs import random_features, random_metad2a, random_sets
from metad2a.evaluation.benchmark.measure import (
    count_flops,
    in_fresh_process,
    peak_mb,
    product_gflops,
    time_work,
    watch_memory,
)
from metad2a.search.result import SearchResult
from metad2a.spaces.nasbench201 import NASBench201

# --- measuring ------------------------------------------------------------------------------------------------


def describe_process() -> tuple[int, int, str, float]:
    return os.getpid(), torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], peak_mb()


def die() -> None:
    os.abort()


def test_a_process_of_its_own() -> None:
    before = dict(os.environ)
    np.ones(150_000_000)  # 1.2 GB, given back at once
    large = peak_mb()
    assert large > 1200
    pid, threads, variable, peak = in_fresh_process(describe_process, threads=2)
    assert pid != os.getpid()
    assert (threads, variable) == (2, "2")
    assert peak < large - 300, "the peak of a process is not that of its parent"
    assert dict(os.environ) == before


def test_a_killed_process_is_told() -> None:
    with pytest.raises(MetaD2AError, match=r"measured die\(\) was killed"):
        in_fresh_process(die, threads=1)


def test_the_memory_of_work_is_what_it_takes_beside_what_is_there() -> None:
    held = np.ones(20_000_000)
    with watch_memory() as needed:
        np.ones(25_000_000).sum()
        assert 190 < needed() < 230
    assert len(held) == 20_000_000


def test_work_is_repeated_as_often_as_asked_or_needed() -> None:
    calls: list[int] = []

    def work() -> int:
        calls.append(1)
        return len(calls)

    timing = time_work(work, repeats=3)
    assert (len(calls), len(timing.cpu), len(timing.wall), timing.result) == (3, 3, 3, 3)
    assert len(time_work(work, at_least=4, at_least_s=0.0).cpu) == 4
    timing = time_work(lambda: sum(range(10_000)), at_least=1, at_least_s=0.05)
    assert sum(timing.wall) >= 0.05
    assert min(timing.cpu) <= timing.cpu_s <= max(timing.cpu)


def test_flops_are_counted_with_two_for_a_multiply_add() -> None:
    x, weight = torch.randn(3, 5), torch.randn(7, 5)
    assert count_flops(lambda: F.linear(x, weight)) == 2 * 3 * 5 * 7
    query = torch.randn(2, 4, 6, 8)  # two products of 6 x 6 x 8 each
    assert count_flops(lambda: F.scaled_dot_product_attention(query, query, query)) == 2 * 2 * (2 * 4) * 6 * 6 * 8


def test_flops_of_depthwise_convolutions_are_those_of_their_own_channels() -> None:
    x = torch.randn(2, 6, 5, 5, requires_grad=True)
    weight = torch.randn(6, 1, 3, 3, requires_grad=True)
    forward = 2 * 2 * 6 * 25 * 9
    assert count_flops(lambda: F.conv2d(x, weight, padding=1, groups=6)) == forward
    assert count_flops(lambda: F.conv2d(x, weight, padding=1, groups=6).sum().backward()) == 3 * forward
    assert count_flops(lambda: F.conv2d(x.detach(), weight, padding=1, groups=6).sum().backward()) == 2 * forward


def test_flops_of_a_search_can_be_counted() -> None:
    model, features = random_metad2a("nasbench201"), random_features(3, 5)
    assert count_flops(lambda: model.search(features, n_candidates=3)) > 1e6


def test_the_reference_product_leaves_the_threads_alone() -> None:
    before = torch.get_num_threads()
    assert product_gflops(before + 1) > 0.1
    assert torch.get_num_threads() == before


# --- inputs ---------------------------------------------------------------------------------------------------


def test_inputs_are_the_same_every_time() -> None:
    assert torch.equal(random_sets(2, 3, 4).features, random_sets(2, 3, 4).features)
    one, two = random_metad2a("nasbench201"), random_metad2a("nasbench201")
    pairs = zip(one.predictor.state_dict().values(), two.predictor.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_random_models_search_random_features() -> None:
    result = random_metad2a("nasbench201").search(random_features(3, 8), n_candidates=20)
    assert len({candidate.arch for candidate in result.candidates}) == 20


def test_synthetic_records_are_meta_data() -> None:
    data = growth._random_records(200)
    assert len(data.accuracy) == len(data.task_of) == len(data.arch_of) == len(data.valid) == 200
    assert len(data.tasks) == 20
    assert len(data.archs) == NASBench201().size
    assert data.train_rows.numel() + data.valid_rows.numel() == 200


# --- the suite ------------------------------------------------------------------------------------------------


def test_names_are_unique_and_marks_have_what_they_need() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({axis.name for axis in AXES}) == len(AXES)
    for case in CASES:
        assert case.at_most is None or case.official_s is not None, case.name
        assert case.within is None or case.floor is not None, case.name
    assert all(list(axis.sizes) == sorted(set(axis.sizes)) for axis in AXES)


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [(None, ["a", "ab", "b"]), ("a", ["a", "ab"]), ("a*", ["a", "ab"]), ("?", ["a", "b"]), ("ab", ["ab"])],
)
def test_a_pattern_chooses_names(pattern: str | None, chosen: list[str]) -> None:
    assert suite.choose(pattern, ["a", "ab", "b"], "case") == chosen


def test_a_pattern_that_chooses_nothing_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown case 'serch'\. Did you mean 'search'\?"):
        suite.run(only="serch")


@pytest.fixture(scope="module")
def decode() -> dict[str, Any]:
    """The result of the quickest case, after a round trip through JSON."""
    return json.loads(json.dumps(suite.run(only="decode?free", repeats=3), allow_nan=False))


def test_a_result_says_where_and_when(decode: dict[str, Any]) -> None:
    assert set(decode) == {"schema_version", "kind", "date", "machine", "rows"}
    assert (decode["schema_version"], decode["kind"]) == (1, "benchmark")
    assert set(decode["machine"]) == {
        *("cpu", "cores", "system", "python", "torch", "metad2a", "threads", "product_gflops", "core_gflops"),
    }
    assert decode["machine"]["threads"] == 1


def test_the_numbers_of_a_row_agree(decode: dict[str, Any]) -> None:
    [row] = decode["rows"]
    assert row["name"] == "decode-free"
    assert row["skipped"] is None
    assert row["repeats"] == 3
    assert 0 < row["cpu_min_s"] <= row["cpu_s"] <= row["cpu_max_s"]
    assert row["items_per_s"] == pytest.approx(row["items"] / row["wall_s"])
    assert row["gflops"] == pytest.approx(row["gflop"] / row["cpu_s"])
    assert row["share"] == pytest.approx(row["gflops"] / row["product_gflops"])
    assert row["official_scaled_s"] == pytest.approx(0.68 * 118 / row["core_gflops"])
    assert row["times_faster"] == pytest.approx(row["official_scaled_s"] / row["cpu_s"])
    assert row["product_gflops"] == row["core_gflops"], "one thread is one core"
    assert row["peak_mb"] > 100


def measured(**changes: Any) -> suite.Measured:
    values: dict[str, Any] = {
        "cpu": [1.0, 2.0, 3.0],
        "cpu_s": 2.0,
        "wall_s": 2.0,
        "peak_mb": 100.0,
        "flops": 40_000_000_000,
        "product_gflops": 59.0,
        "numbers": None,
    }
    return suite.Measured(**values | changes)


def row_of(monkeypatch: pytest.MonkeyPatch, found: suite.Measured, **case: Any) -> suite.Row:
    monkeypatch.setattr(suite, "in_fresh_process", lambda *_, **__: found)
    return suite._row(suite.Case("case", "a case", "item", 10, lambda: lambda: None, **case), 1, None, None)


def test_the_core_is_measured_without_idle_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "in_fresh_process", lambda *_, **__: measured())
    case = suite.Case("case", "a case", "item", 10, lambda: lambda: None, official_s=5.0)
    assert suite._row(case, 2, None, 118.0).official_scaled_s == pytest.approx(5.0)


@pytest.mark.parametrize(("at_most", "reached"), [(1 / 2, True), (1 / 5, True), (1 / 5.1, False)])
def test_the_official_seconds_are_scaled_by_the_speed_of_the_core(
    monkeypatch: pytest.MonkeyPatch, at_most: float, reached: bool
) -> None:
    row = row_of(monkeypatch, measured(), official_s=5.0, at_most=at_most)
    assert row.official_scaled_s == pytest.approx(10.0), "this core is half as fast as the official one"
    assert row.times_faster == pytest.approx(5.0)
    assert [mark.reached for mark in row.marks] == [reached]


@pytest.mark.parametrize(("floor", "times"), [("own", 2.95), (20_000_000_000, 5.9)])
def test_the_floor_is_one_product(monkeypatch: pytest.MonkeyPatch, floor: Any, times: float) -> None:
    row = row_of(monkeypatch, measured(), floor=floor, within=3.0)
    [mark] = row.marks
    assert mark.value == pytest.approx(times)
    assert mark.reached == (times <= 3)


def test_reported_numbers_have_marks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(numbers={"validity": 100.0, "novelty": 50.0})
    row = row_of(monkeypatch, found, at_least={"validity": 100.0, "novelty": 59.4})
    assert [(mark.what, mark.reached) for mark in row.marks] == [("validity", True), ("novelty", False)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "space"), [("search-shipped", "nasbench201"), ("mobilenetv3-search-shipped", "mobilenetv3-compact")]
)
def test_shipped_checkpoints_are_searched(name: str, space: str) -> None:
    case = next(case for case in CASES if case.name == name)
    found = case.setup()()
    assert isinstance(found, SearchResult)
    assert found.best.space.name == space
    assert len({candidate.arch for candidate in found.candidates}) == case.items


def test_a_case_of_an_absent_space_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    row = row_of(monkeypatch, measured(), space="nowhere")
    assert row.skipped == "there is no search space 'nowhere' here"
    assert row.cpu_s is None


def test_a_case_of_an_absent_package_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    row = row_of(monkeypatch, measured(), package="no_such_package")
    assert row.skipped == "the package no_such_package is not installed"
    assert row_of(monkeypatch, measured(), package="numpy").skipped is None


def test_the_work_of_mobile_networks_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mobile, "_STATISTICS", 8)
    monkeypatch.setattr(mobile, "_MEASURED", 40)
    accuracies = mobile.inherited_accuracies()()
    assert accuracies.shape == (mobile.INHERITED,)
    assert ((accuracies >= 0) & (accuracies <= 100)).all()
    assert mobile.count_multiply_adds()().shape == (mobile.COUNTED,)
    pytest.importorskip("pymoo")
    iteration = mobile.nsganetv2_iteration()
    first = iteration()
    assert len(set(first)) == mobile.ASKED
    assert iteration() == first, "each execution does the same work"


# --- comparing ------------------------------------------------------------------------------------------------


def write(path: Path, speed: float, **seconds: float | None) -> Path:
    rows = [{"name": name, "cpu_s": value} for name, value in seconds.items()]
    content = {"schema_version": 1, "kind": "benchmark", "machine": {"core_gflops": speed}, "rows": rows}
    path.write_text(json.dumps(content))
    return path


def test_two_results_are_compared_on_equal_cores(tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", 100.0, search=2.0, gone=1.0, skipped=None)
    new = write(tmp_path / "new.json", 50.0, search=3.0, skipped=1.0, added=4.0)
    assert compare(old, new) == [
        Comparison("search", 2.0, 3.0, 1.5, 0.75),
        Comparison("skipped", None, 1.0, None, None),
        Comparison("added", None, 4.0, None, None),
        Comparison("gone", 1.0, None, None, None),
    ]


def damaged(change: Callable[[dict[str, Any]], None]) -> str:
    content: dict[str, Any] = {
        "schema_version": 1,
        "kind": "benchmark",
        "machine": {"core_gflops": 1.0},
        "rows": [{"name": "a", "cpu_s": 1.0}],
    }
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read .* as JSON"),
        ("[1]", "is no result of the benchmark"),
        (damaged(lambda c: c.update(kind="growth")), "is no result of the benchmark"),
        (damaged(lambda c: c.update(schema_version=9)), "is in format 9, this is format 1"),
        (damaged(lambda c: c.pop("rows")), "is damaged"),
        (damaged(lambda c: c.update(machine=None)), "is damaged"),
        (damaged(lambda c: c["rows"][0].pop("cpu_s")), "is damaged"),
        (damaged(lambda c: c["rows"][0].update(cpu_s="fast")), "is damaged"),
        (damaged(lambda c: c["rows"][0].update(cpu_s=0)), "is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    good = write(tmp_path / "good.json", 100.0, search=2.0)
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(UserError, match=message):
            compare(*pair)
    with pytest.raises(UserError, match="cannot read"):
        compare(good, tmp_path / "nowhere.json")


# --- growth ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_slope_is_the_power(power: float) -> None:
    sizes = [1_000, 10, 100, 300]
    assert slope(sizes, [3 * size**power for size in sizes]) == pytest.approx(power, abs=1e-9)


def test_the_slope_is_that_of_the_largest_decade() -> None:
    assert slope([1, 10, 100, 1000], [5.0, 5.0, 5.0, 50.0]) == pytest.approx(1.0)
    assert slope([1, 1000], [1.0, 1000.0]) == pytest.approx(1.0), "two sizes, further apart than a decade"


def test_an_axis_that_grows_too_fast_is_told() -> None:
    def trend(power: float) -> growth.Trend:
        points = [growth.Point("classes", n, 0.1 * n**power, 1.0, 500.0, 1.0) for n in (10, 30, 100)]
        return growth._trend(AXES[1], points)

    assert trend(1.0).linear
    assert trend(1.0).memory == pytest.approx(0.0, abs=1e-9)
    assert not trend(1.2).linear


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_every_axis_can_be_set_up(axis: growth.Axis) -> None:
    assert callable(axis.setup(20))


def test_an_unknown_axis_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown axis 'clases'"):
        growth.run(only="clases")
