import json
import os
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from metad2a.errors import ConfigError, UnknownNameError
from metad2a.evaluation.compare import grid as grid_module
from metad2a.evaluation.compare.grid import Cell, Grid, Trial, run_grid
from metad2a.evaluation.compare.judge import Judge, Noise
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.methods import ListMethod, Method, ProxyMethod, SearcherMethod
from metad2a.evaluation.compare.opening import Settings, compare, open_grid
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.statistics import paired_p
from metad2a.evaluation.compare.summary import summarise
from metad2a.evaluation.compare.trajectory import follow
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()


@pytest.fixture
def methods(meta: MetaMethod) -> list[Method]:
    return [SearcherMethod("random", "random"), ProxyMethod("params", "params"), meta]


@pytest.fixture
def grid(methods: list[Method], problem: Problem, judge: Judge, tmp_path: Path) -> Grid:
    return Grid(methods, [Trial(problem, judge)], 20, tmp_path / "kept")


def test_what_is_missing_is_computed_and_nothing_else(
    grid: Grid, methods: list[Method], problem: Problem, judge: Judge
) -> None:
    found = run_grid(grid, [0, 1])
    assert set(found) == {Cell(method, 0, seed) for method in range(3) for seed in (0, 1)}
    assert len(list(grid.kept.rglob("*.json"))) == 6
    with mock.patch.object(grid_module, "follow", side_effect=AssertionError("computed again")):
        assert run_grid(grid, [0, 1]) == found
    again = mock.Mock(side_effect=follow)
    # Another label and another order are the same work; another seed is not.
    renamed = Grid([ProxyMethod("largest", "params"), methods[0]], [Trial(problem, judge)], 20, grid.kept)
    with mock.patch.object(grid_module, "follow", again):
        run_grid(renamed, [0, 1, 2])
    assert [call.kwargs["seed"] for call in again.call_args_list] == [2, 2]


def test_each_part_of_a_result_belongs_to_its_name(
    grid: Grid, methods: list[Method], problem: Problem, judge: Judge
) -> None:
    cell = Cell(0, 0, 0)
    noisy = Judge(judge.name, judge.archs, judge.truth, noise=Noise(sd=1.0))
    others = [
        Grid(methods, [Trial(problem, judge)], 21, grid.kept),
        Grid(methods, [Trial(problem, judge)], 20, grid.kept, batch=2),
        Grid(methods, [Trial(problem, noisy)], 20, grid.kept),
        Grid(methods[1:], [Trial(problem, judge)], 20, grid.kept),
    ]
    grid.search(cell)
    assert not grid.missing([cell])
    assert grid.missing([Cell(0, 0, 1)])
    for other in others:
        assert other.missing([cell])


def test_a_damaged_file_is_made_again(grid: Grid) -> None:
    found = run_grid(grid, [0])
    file = next(iter(grid.kept.rglob("*.json")))
    file.write_text(file.read_text()[:40])
    assert {cell: run.true for cell, run in run_grid(grid, [0]).items()} == {c: r.true for c, r in found.items()}
    json.loads(file.read_text())


def test_means_tests_and_curves(grid: Grid) -> None:
    found = run_grid(grid, range(8))
    result = summarise(grid, found, seeds=range(8), budgets=[1, 5, 20], baseline="random")
    random = [found[Cell(0, 0, seed)] for seed in range(8)]
    row = result.row("made up", "random", 5)
    five = np.array([max(run.true[:5]) for run in random])
    assert row.mean == pytest.approx(five.mean())
    assert row.sd == pytest.approx(five.std(ddof=1))
    assert row.per_seed == tuple(five)
    assert row.low < row.mean < row.high
    assert (row.difference, row.p, row.p_holm, row.evaluations) == (0, None, None, 5)
    params = result.row("made up", "params", 5)
    assert params.difference == pytest.approx(params.mean - row.mean)
    assert params.p == pytest.approx(paired_p(np.array(params.per_seed)[:, None] - five[:, None])[0])
    assert params.p is not None
    assert params.p_holm is not None
    assert params.p_holm >= params.p
    line = result.by_evaluations["made up"]["random"]
    assert (line.x[0], line.x[-1]) == (1, 20)
    assert line.mean[0] == pytest.approx(np.mean([run.true[0] for run in random]))
    assert list(line.mean) == sorted(line.mean)
    timed = result.by_seconds["made up"]["params"]
    assert timed.mean[-1] == pytest.approx(result.row("made up", "params", 20).mean)
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert content["schema_version"] == 2
    assert len(result.to_frame()) == 9
    with pytest.raises(UnknownNameError, match="unknown baseline 'rndom'"):
        summarise(grid, found, seeds=range(8), budgets=[1], baseline="rndom")


def test_a_list_that_ends_early_is_said_to(problem: Problem, judge: Judge, tmp_path: Path) -> None:
    short = ListMethod("static", {SPACE.format(judge.archs[5]): 2.0})
    grid = Grid([short], [Trial(problem, judge)], 20, tmp_path)
    result = summarise(grid, run_grid(grid, [0]), seeds=[0], budgets=[1, 20], baseline="static")
    row = result.row("made up", "static", 20)
    assert (row.evaluations, row.mean, row.sd, row.p) == (1, judge.truth[5], 0, None)


@pytest.fixture(scope="module")
def table(judge: Judge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "table.csv"
    texts = [f"{SPACE.format(arch)},{value}" for arch, value in zip(judge.archs, judge.truth, strict=True)]
    path.write_text("\n".join(["arch,true", *texts]))
    return path


@pytest.fixture
def settings(table: Path, tmp_path: Path) -> Settings:
    return Settings(
        methods=("random", "params", "static:demo"),
        datasets=("embedded:digits",),
        oracles=(f"{table}:true",),
        kept=str(tmp_path / "kept"),
        budgets=(1, 10),
    )


@pytest.mark.slow
def test_two_processes_find_what_one_finds(settings: Settings, tmp_path: Path) -> None:
    with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):
        two = run_grid(open_grid(settings), [0, 1], processes=2, opener=partial(open_grid, settings))
    alone = open_grid(Settings(**{**vars(settings), "kept": str(tmp_path / "other")}))
    one = run_grid(alone, [0, 1])
    assert {cell: run.true for cell, run in two.items()} == {cell: run.true for cell, run in one.items()}


def test_a_whole_comparison_without_metad2a(settings: Settings) -> None:
    result = compare(settings, seeds=2, baseline="params", rank_seeds=1)
    assert result.methods == ("random", "params", "static")
    [ranks] = result.ranks
    assert ranks["score"] == "params"
    assert ranks["kendall_all"]["mean"] > 0.3
    assert [one["database"] for one in result.audits] == ["open"]
    assert not result.provenance


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"oracles": ()}, "no oracle was given"),
        ({"datasets": ("a", "b")}, "2 datasets for 1 oracles"),
        ({"budgets": (0, 1)}, "give numbers of at least 1"),
        ({"budgets": ()}, "give numbers of at least 1"),
    ],
)
def test_settings_that_cannot_be_used(settings: Settings, fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_grid(Settings(**{**vars(settings), **fields}))  # type: ignore[arg-type]


def test_grids_that_cannot_be_used(grid: Grid, problem: Problem, judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of them twice"):
        Grid(grid.methods, [Trial(problem, judge)] * 2, 5, tmp_path)
    with pytest.raises(ConfigError, match="evaluations=0"):
        Grid(grid.methods, [Trial(problem, judge)], 0, tmp_path)
    with pytest.raises(ConfigError, match="several processes an opener"):
        run_grid(grid, [0], processes=2)
    with pytest.raises(ConfigError, match=r"seeds=\[\]"):
        run_grid(grid, [])
