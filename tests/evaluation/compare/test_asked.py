"""Oracles that are no tables: they are asked, and a sample stands for the space."""

import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from metad2a.data.features import FeatureSet
from metad2a.errors import CheckpointError, ConfigError, DataError, MetaD2AError, UnknownNameError
from metad2a.evaluation.asking import Remembered, uniform_sample
from metad2a.evaluation.compare.asked_judge import AskedJudge, open_judge, split_oracle
from metad2a.evaluation.compare.defaults import Defaults
from metad2a.evaluation.compare.judge import Judge, Noise
from metad2a.evaluation.compare.kept import Kept
from metad2a.evaluation.compare.opening import Settings, compare, open_grid
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.ranks import rank_quality
from metad2a.models.checkpoint import Checkpoint
from metad2a.oracles.ofa import AccuracyPredictor
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201

SPACE = MobileNetV3()


@pytest.fixture
def settings(ofa_predictor: Path, tmp_path: Path) -> Settings:
    return Settings(
        methods=("random", "flops", "params"),
        datasets=("embedded:digits",),
        oracles=(f"{ofa_predictor}:224",),
        kept=str(tmp_path / "kept"),
        budgets=(1, 8),
        sample=40,
        defaults=Defaults(space="mobilenetv3"),
    )


def asked(path: Path, folder: Path, column: str = "224", **options: object) -> AskedJudge:
    judge = open_judge(f"{path}:{column}", SPACE, kept=Kept(folder), **options)  # type: ignore[arg-type]
    assert isinstance(judge, AskedJudge)
    return judge


def test_a_sample_is_uniform_and_a_larger_one_begins_with_it() -> None:
    some = uniform_sample(SPACE, 300)
    assert some[:20] == uniform_sample(SPACE, 20)
    assert len({SPACE.canonical(arch) for arch in some}) == 300
    choices = SPACE.choices(some)
    for decision, options in enumerate(SPACE.options):
        assert (np.bincount(choices[:, decision], minlength=options) > 60).all()


def test_no_network_is_evaluated_twice(ofa_predictor: Path) -> None:
    oracle = AccuracyPredictor.from_file(ofa_predictor, 224, SPACE)
    archs = uniform_sample(SPACE, 5)
    with mock.patch.object(oracle, "evaluate", side_effect=oracle.evaluate) as evaluate:
        remembered = Remembered(oracle, SPACE)
        first, seconds = remembered.timed(archs[:3] + archs[:1])
        again, same = remembered.timed(archs)
    assert [len(call.args[0]) for call in evaluate.call_args_list] == [3, 2]
    np.testing.assert_array_equal(first, again[[0, 1, 2, 0]])
    np.testing.assert_array_equal(seconds, same[[0, 1, 2, 0]])
    np.testing.assert_array_equal(again, oracle.evaluate(archs))


def test_it_tells_what_the_oracle_says(ofa_predictor: Path, tmp_path: Path) -> None:
    judge = asked(ofa_predictor, tmp_path, sample=30)
    truth = AccuracyPredictor.from_file(ofa_predictor, 224, SPACE)
    assert (judge.name, len(judge.archs), judge.listed) == ("accuracy.safetensors:224", 30, False)
    np.testing.assert_array_equal(judge.truth, truth.evaluate(judge.archs))
    looked = judge.looker(0)(judge.archs[:4])
    np.testing.assert_array_equal(looked.told, judge.truth[:4])
    assert looked.seconds is not None
    noisy = asked(ofa_predictor, tmp_path, sample=30, noise=Noise(sd=2.0))
    told = [noisy.looker(seed)(noisy.archs).told - noisy.truth for seed in (0, 0, 1)]
    np.testing.assert_array_equal(told[0], told[1])
    assert not np.allclose(told[0], told[2])
    assert np.std(told) == pytest.approx(2, rel=0.4)
    small = asked(ofa_predictor, tmp_path, sample=30, noise=Noise(columns=("112", "128")))
    for seed, pixels in enumerate((112, 128, 112)):
        coarse = AccuracyPredictor.from_file(ofa_predictor, pixels, SPACE).evaluate(small.archs[:3])
        np.testing.assert_array_equal(small.looker(seed)(small.archs[:3]).told, coarse)


def test_networks_are_those_of_the_oracle(
    ofa_predictor: Path, supernet_file: tuple[Path, Path], settings: Settings, tmp_path: Path
) -> None:
    [trial] = open_grid(settings).trials
    archs = SPACE.sample(3, np.random.default_rng(0))
    expected = SPACE.flops(archs, 1000, 224, width=120)
    np.testing.assert_array_equal(trial.problem.costs(archs), expected)
    net, images = supernet_file
    of_net = replace(settings, oracles=(f"{net}:{images}",), datasets=(str(images),), cost="params", sample=3)
    [trial] = open_grid(of_net).trials
    assert trial.judge.name == "net.safetensors:noise"
    np.testing.assert_array_equal(trial.problem.costs(archs), SPACE.params(archs, 4, width=10, downsampling=8))


def test_fingerprints_tell_oracles_apart(
    ofa_predictor: Path, supernet_file: tuple[Path, Path], tmp_path: Path
) -> None:
    net, images = supernet_file
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(ofa_predictor.read_bytes())
    with np.load(images, allow_pickle=False) as arrays:
        np.savez(tmp_path / "other.npz", **{**arrays, "x": 255 - arrays["x"]})
    judges = [
        asked(ofa_predictor, tmp_path),
        asked(ofa_predictor, tmp_path, "112"),
        asked(ofa_predictor, tmp_path, sample=10),
        asked(ofa_predictor, tmp_path, noise=Noise(sd=1.0)),
        asked(ofa_predictor, tmp_path, noise=Noise(columns=("112",))),
        asked(net, tmp_path, str(images)),
        asked(net, tmp_path, str(tmp_path / "other.npz")),
    ]
    assert len({judge.fingerprint() for judge in judges}) == len(judges)
    assert asked(moved, tmp_path).fingerprint() == judges[0].fingerprint()


def test_a_comparison_without_a_table(settings: Settings) -> None:
    result = compare(settings, seeds=2, baseline="random", rank_seeds=1)
    [facts] = result.oracles
    assert (facts.listed, facts.archs, facts.timed, facts.volume) == (False, 40, True, None)
    judge = open_grid(settings).trials[0].judge
    found = [value for row in result.rows for value in row.per_seed]
    assert facts.best == max(judge.best, *found)
    assert {row["score"]: row["archs"] for row in result.ranks} == {"flops": 40, "params": 40}
    flops = SPACE.flops(judge.archs, 1000, 224, width=120).astype(float)
    expected = rank_quality(flops, np.asarray(judge.truth))["kendall_all"]
    assert result.ranks[0]["kendall_all"]["mean"] == pytest.approx(expected)
    assert not result.audits
    largest = result.row(facts.name, "flops", 1)
    assert largest.sd == 0, "the largest network has no equal"
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["oracles"][0]["fingerprint"]


def test_nothing_is_evaluated_again(settings: Settings, supernet_file: tuple[Path, Path]) -> None:
    net, images = supernet_file
    of_net = replace(
        settings,
        methods=("random", "flops"),
        oracles=(f"{net}:{images}",),
        datasets=(str(images),),
        budgets=(1, 2),
        sample=4,
    )
    first = compare(of_net, seeds=1, baseline="random", rank_seeds=1)
    with mock.patch("metad2a.oracles.supernet.measure_inherited", side_effect=AssertionError("evaluated again")):
        again = compare(of_net, seeds=1, baseline="random", rank_seeds=1)
    assert again.rows == first.rows
    assert again.reach == first.reach


def test_files_and_columns_may_hold_colons(tmp_path: Path) -> None:
    (tmp_path / "a:b.safetensors").write_text("")
    assert split_oracle(f"{tmp_path}/a:b.safetensors:embedded:digits") == (
        tmp_path / "a:b.safetensors",
        "embedded:digits",
    )
    assert split_oracle("away.csv:a") == (Path("away.csv"), "a")
    for text in ("table", ":a", "table:"):
        with pytest.raises(ConfigError, match="names no column"):
            split_oracle(text)


def test_what_cannot_be_used(
    ofa_predictor: Path, supernet_file: tuple[Path, Path], settings: Settings, judge: Judge, tmp_path: Path
) -> None:
    net, images = supernet_file
    table = tmp_path / "cells.csv"
    table.write_text(f"arch,true\n{NASBench201().format(judge.archs[0])},50\n")
    with np.load(images, allow_pickle=False) as arrays:
        np.savez(tmp_path / "strange.npz", **{**arrays, "classes": np.array(["a", "b", "c", "zebra"])})
    cells = Defaults(space="nasbench201")
    cases: list[tuple[dict[str, object], type[MetaD2AError], str]] = [
        ({"defaults": cells}, DataError, "knows architectures of 'mobilenetv3', not of 'nasbench201'"),
        ({"defaults": cells, "oracles": (f"{net}:{images}",)}, DataError, "a supernet of 'mobilenetv3'"),
        ({"oracles": (f"{table}:true",)}, DataError, "data row 1"),
        ({"oracles": (f"{ofa_predictor}:100",)}, DataError, "no column '100'.*pixels a side, 112"),
        ({"oracles": (f"{net}:{tmp_path / 'strange.npz'}",)}, UnknownNameError, "class of the supernet 'zebra'"),
        ({"oracles": (f"{net}:embedded:digit",)}, UnknownNameError, "digit"),
        ({"seconds_column": "hours"}, ConfigError, "is no table.*measured"),
        ({"noise": Noise(columns=("100",))}, DataError, "no column '100'"),
        ({"cost": "flop"}, UnknownNameError, "Did you mean 'flops'"),
        ({"reference": (50.0,)}, ConfigError, "give two numbers above 0"),
        ({"methods": ("random", "static:demo")}, ConfigError, "'static' lists what is no architecture of 'mobile"),
        ({"methods": ("metad2a:nasbench201",)}, CheckpointError, "'nasbench201', not for 'mobilenetv3'"),
    ]
    for fields, error, words in cases:
        with pytest.raises(error, match=words):
            open_grid(replace(settings, **fields))  # type: ignore[arg-type]


def test_a_searcher_starts_from_metad2a_on_mobile_networks(
    settings: Settings, mobile_checkpoint: Path, problem: Problem, tmp_path: Path
) -> None:
    pytest.importorskip("pymoo")
    assert isinstance(problem.data, FeatureSet)
    problem.data.save(tmp_path / "images.safetensors")
    few = "doe=8&population=8&generations=2&surrogate=rbf"
    text = f"searcher:nsganetv2?first=metad2a&samples=6&order=limits&{few}"
    warm = replace(
        settings,
        methods=("metad2a", text),
        datasets=(str(tmp_path / "images.safetensors"),),
        budgets=(10,),
        defaults=Defaults(checkpoint=str(mobile_checkpoint), candidates=20),
    )
    result = compare(warm, seeds=1, baseline="metad2a", rank_seeds=1)
    assert {row["score"] for row in result.ranks} == {f"metad2a {n}" for n in ("predictor", "generator", "both")}
    assert {row["method"] for row in result.generated} == {"metad2a"}
    assert [row["method"] for row in result.provenance] == ["metad2a"] * 2 + ["nsganetv2"] * 2
    [share] = result.provenance[0]["top10"].values()
    judge = open_grid(warm).trials[0].judge
    assert isinstance(judge, AskedJudge)
    known = list(map(SPACE.parse, Checkpoint.load(mobile_checkpoint).train_archs))
    best = judge.accuracies(known) >= np.quantile(judge.truth, 0.9)
    assert share == pytest.approx(100 * best.mean())


def test_the_largest_are_those_of_the_oracle(supernet_file: tuple[Path, Path], settings: Settings) -> None:
    net, images = supernet_file
    of_net = replace(settings, oracles=(f"{net}:{images}",), datasets=(str(images),), sample=3)
    grid = open_grid(of_net)
    problem, _ = grid.trials[0]
    archs = SPACE.sample(20, np.random.default_rng(0))
    flops = SPACE.flops(archs, 4, 8, width=10, downsampling=8)
    np.testing.assert_array_equal(grid.methods[1].scores(problem, archs, 0)["flops"], flops)
    assert np.argsort(flops).tolist() != np.argsort(SPACE.flops(archs, 4, 224)).tolist()
