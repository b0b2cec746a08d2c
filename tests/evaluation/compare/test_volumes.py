"""Hypervolumes from one reference point, and how soon a method has what another one has."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from metad2a.errors import ConfigError
from metad2a.evaluation.compare import volumes as volumes_module
from metad2a.evaluation.compare.grid import Grid, Trial, run_grid
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.methods import ListMethod, SearcherMethod
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.reach import REACHED, grouped, reach_rows
from metad2a.evaluation.compare.summary import summarise
from metad2a.evaluation.compare.trajectory import Trajectory
from metad2a.evaluation.compare.volumes import find_reference, measure_volumes
from metad2a.search.hypervolume import hypervolume
from metad2a.spaces.nasbench201 import NASBench201

pytest.importorskip("pymoo")
SPACE = NASBench201()


def run(true: Sequence[float], costs: Sequence[float]) -> Trajectory:
    """Return a search whose method takes a second for each evaluation, which takes ten."""
    seconds, training = (tuple(step * (place + 1.0) for place in range(len(true))) for step in (1, 10))
    accuracy = tuple(map(float, true))
    return Trajectory(accuracy, accuracy, seconds, training, (), tuple(map(float, costs)))


RUNS = {
    "slow": [run([50, 60, 70, 80], [4, 4, 4, 4]), run([50, 50, 50, 80], [4, 4, 4, 4])],
    "fast": [run([80, 70], [4, 1]), run([60, 80], [4, 1])],
}


def test_the_reference_depends_on_the_oracle_alone(problem: Problem, judge: Judge) -> None:
    error, cost = find_reference(Trial(problem, judge))
    costs = SPACE.flops(judge.archs, 5, 32)
    assert cost == pytest.approx(1.01 * costs.max())
    smallest = judge.truth[int(costs.argmin())]
    assert 1.01 * (100 - smallest) <= error <= 1.01 * (100 - judge.truth.min())
    params = replace(problem, cost="params")
    assert find_reference(Trial(params, judge))[1] == pytest.approx(1.01 * SPACE.params(judge.archs, 5).max())


def test_volumes_are_those_of_what_was_evaluated(problem: Problem, judge: Judge) -> None:
    found = measure_volumes(Trial(problem, judge), RUNS, reference=(100.0, 8.0))
    assert found is not None
    # 50 % of error at half the cost: a quarter of the rectangle. Once there is more, it stays.
    np.testing.assert_allclose(found.curves["slow"][0], [0.25, 0.3, 0.35, 0.4])
    np.testing.assert_allclose(found.curves["fast"][0], [0.4, 0.4 + 0.7 * 3 / 8])
    np.testing.assert_allclose(found.at("fast", [1, 2, 99])[1], [0.3, 0.8 * 7 / 8, 0.8 * 7 / 8])
    costs = SPACE.flops(judge.archs, 5, 32).astype(float)
    assert found.whole == pytest.approx(hypervolume(100 - judge.truth, costs, (100.0, 8.0)))


def test_without_pymoo_they_are_left_out(problem: Problem, judge: Judge, caplog: pytest.LogCaptureFixture) -> None:
    with mock.patch.object(volumes_module, "check_pymoo", side_effect=ConfigError("pip install it")):
        assert measure_volumes(Trial(problem, judge), RUNS) is None
    assert "hypervolumes are left out: pip install it" in caplog.text
    assert {row["what"] for row in reach_rows("table", RUNS, None)} == {"accuracy"}


def test_how_soon_a_method_has_what_another_one_has(problem: Problem, judge: Judge) -> None:
    volumes = measure_volumes(Trial(problem, judge), RUNS, reference=(100.0, 8.0))
    rows = {(row["what"], row["method"], row["of"]): row for row in reach_rows("table", RUNS, volumes)}
    assert len(rows) == 8
    other = rows["accuracy", "fast", "slow"]
    assert (other["target"], other["evaluations"], other["high"]) == (80, 1, 2)
    assert (other["seconds"], other["reached"], other["seeds"]) == (11, 2, 2)
    assert rows["hypervolume", "slow", "slow"]["evaluations"] == 4
    never = rows["hypervolume", "slow", "fast"]
    assert (never["evaluations"], never["seconds"], never["reached"]) == (None, None, 0)
    # The mean of the ends lies between them: one seed gets there, the other one never does.
    half = rows["hypervolume", "fast", "fast"]
    assert half["target"] == pytest.approx((0.4 + 0.7 * 3 / 8 + 0.8 * 7 / 8) / 2)
    assert (half["evaluations"], half["high"], half["reached"]) == (2, None, 1)
    # The same by oracle, what and whose end it is; who never gets there is left out.
    groups = grouped(list(rows.values()))["table"]
    assert set(groups["hypervolume"]["fast"]["methods"]) == {"fast"}
    assert groups["hypervolume"]["fast"]["target"] == half["target"]
    for (what, method, of), row in rows.items():
        listed = groups[what][of]["methods"].get(method)
        assert listed == ([row[name] for name in REACHED] if row["reached"] else None)


def test_a_comparison_tells_them(problem: Problem, judge: Judge, tmp_path: Path) -> None:
    one = ListMethod("one", {SPACE.format(judge.archs[int(judge.truth.argmax())]): 1.0})
    grid = Grid([SearcherMethod("random", "random"), one], [Trial(problem, judge)], 30, tmp_path)
    found = run_grid(grid, range(3))
    result = summarise(grid, found, seeds=range(3), budgets=[1, 30], baseline="random")
    [facts] = result.oracles
    assert facts.reference == find_reference(grid.trials[0])
    row = result.row("made up", "random", 30)
    assert row.hypervolume == pytest.approx(np.mean(row.hypervolume_per_seed))
    assert row.hypervolume_sd == pytest.approx(np.std(row.hypervolume_per_seed, ddof=1))
    assert facts.volume is not None
    assert row.hypervolume is not None
    assert 0 < row.hypervolume < facts.volume
    line = result.by_volume["made up"]["random"]
    assert line.mean[-1] == pytest.approx(row.hypervolume)
    assert list(line.mean) == sorted(line.mean)
    accuracy = {(r["method"], r["of"]): r for r in result.reach if r["what"] == "accuracy"}
    assert (accuracy["one", "random"]["evaluations"], accuracy["random", "one"]["evaluations"]) == (1, None)
    given = summarise(grid, found, seeds=range(3), budgets=[30], baseline="random", reference=(100.0, 1e9))
    assert given.oracles[0].reference == (100.0, 1e9)
    assert "hypervolume_per_seed" not in given.to_frame()
