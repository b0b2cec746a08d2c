"""Limits of a search, latencies, trade-offs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.costs.latency import Latency, measure_latency
from metad2a.costs.latency_model import LatencyModel
from metad2a.data.features import FeatureSet
from metad2a.errors import ConfigError, LimitError, UnknownNameError
from metad2a.runtime import numpy_rng
from metad2a.search import latencies
from metad2a.search.constraints import Limits
from metad2a.search.metad2a import MetaD2A

Check = Callable[..., dict[str, Any]]


def test_limits_are_kept(check_contract: Check, model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=20, max_params=400_000, max_flops=60_000_000, max_memory_mb=1.7)
    check_contract(result, n=20, num_classes=5)
    assert max(candidate.memory_mb or 9 for candidate in result.candidates) <= 1.7
    assert max(candidate.params for candidate in result.candidates) <= 400_000
    assert max(candidate.flops for candidate in result.candidates) <= 60_000_000


@pytest.mark.parametrize("limit", [{"max_params": 100}, {"max_flops": 100}, {"max_memory_mb": 0.1}])
def test_impossible_limits_fail_at_once(model: MetaD2A, features: FeatureSet, limit: dict[str, int]) -> None:
    with pytest.raises(LimitError, match="With 5 classes the smallest has"):
        model.search(features, **limit)


def test_a_generator_that_finds_nothing_allowed(
    model: MetaD2A, features: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limits, "check_possible", lambda *_: None)
    with pytest.raises(LimitError, match="none of the generated architectures meets max_params=1"):
        model.search(features, max_params=1)


def test_latency_is_measured_on_demand(check_contract: Check, model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=6, measure_latency=True, measured=2)
    check_contract(result, n=6, num_classes=5)
    assert all(candidate.latency_ms is not None and candidate.latency_ms > 0 for candidate in result.candidates)
    assert all(candidate.latency_measured for candidate in result.candidates[:2])
    for candidate in result.candidates:
        assert (candidate.latency_quartiles_ms is not None) == candidate.latency_measured
        if candidate.latency_quartiles_ms is not None:
            low, high = candidate.latency_quartiles_ms
            assert low <= candidate.latency_ms <= high
    assert result.latency is not None
    assert result.latency["device"] == "cpu"
    assert result.latency["threads"] == torch.get_num_threads()
    assert result.latency["model_archs"] == 20
    assert 20 <= result.latency["measured"] <= 22


@pytest.fixture
def by_size(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Latencies as they are on no machine: a microsecond for a parameter; and how often they were measured."""
    measured: list[int] = []

    def take_time(net: torch.nn.Module, resolution: int, *, device: str) -> Latency:
        measured.append(sum(weight.numel() for weight in net.parameters()))
        return Latency(measured[-1] / 1000, measured[-1] / 1000, measured[-1] / 1000, 1)

    assert measure_latency is latencies.measure_latency
    monkeypatch.setattr(latencies, "measure_latency", take_time)
    return measured


def test_slow_networks_are_left_out(
    check_contract: Check, model: MetaD2A, features: FeatureSet, by_size: list[int]
) -> None:
    result = model.search(features, n_candidates=60, max_latency_ms=300, measured=5)
    check_contract(result, n=len(result.candidates), num_classes=5)
    assert len(result.candidates) > 40
    assert len(by_size) < 60, "not everything is measured"
    for candidate in result.candidates:
        assert candidate.latency_ms == pytest.approx(candidate.params / 1000, rel=0.1)
        assert candidate.latency_ms <= 300
    assert all(candidate.latency_ms == candidate.params / 1000 for candidate in result.candidates[:5])
    assert any(not candidate.latency_measured for candidate in result.candidates)


def test_what_was_predicted_to_be_fast_is_checked(
    model: MetaD2A, features: FeatureSet, by_size: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A model that takes everything for fast: only measurements keep the limit.
    monkeypatch.setattr(LatencyModel, "predict", lambda _, archs: np.full(len(archs), 1.0))
    whole = model.search(features, n_candidates=30)
    result = model.search(features, n_candidates=30, max_latency_ms=500, measured=30)
    expected = [candidate.arch for candidate in whole.candidates if candidate.params <= 500_000]
    assert 0 < len(expected) < 30
    assert [candidate.arch for candidate in result.candidates] == expected
    least = min(candidate.params for candidate in model.search(features, n_candidates=2).candidates) / 1000
    with pytest.raises(
        LimitError, match=r"none of 2 candidates meets max_latency_ms=\d.* as measured; the fastest"
    ):
        model.search(features, n_candidates=2, max_latency_ms=least - 1)


def test_impossible_latencies_name_the_fastest(model: MetaD2A, features: FeatureSet, by_size: list[int]) -> None:
    with pytest.raises(
        LimitError, match=r"the fastest of \d+ measured ones takes 72\.98 ms on this machine \(cpu\): \|"
    ):
        model.search(features, max_latency_ms=50)
    with pytest.raises(LimitError, match="the smallest has 72,981 parameters"):
        model.search(features, max_latency_ms=500, max_params=5)


def test_latencies_of_another_device(model: MetaD2A, features: FeatureSet, by_size: list[int]) -> None:
    space = model.space
    archs = space.sample(20, numpy_rng("there"))
    there = LatencyModel.fit(space, archs, space.flops(archs, 5, 32) / 1e7)
    result = model.search(features, n_candidates=40, latency=there, max_latency_ms=8)
    assert by_size == [], "nothing is measured here"
    assert len(result.candidates) == 40
    for candidate in result.candidates:
        assert candidate.latency_ms is not None
        assert candidate.latency_ms <= 8
        assert candidate.latency_ms == pytest.approx(candidate.flops / 1e7, abs=1)
        assert candidate.latency_measured == (space.parse(candidate.arch) in archs)
    assert result.latency is not None
    assert result.latency["device"] is None


@pytest.mark.parametrize("cost", ["params", "flops", "memory_mb"])
def test_nobody_beats_the_front(model: MetaD2A, features: FeatureSet, cost: str) -> None:
    result = model.search(features, n_candidates=60)
    front = result.pareto(cost)
    assert [c.rank for c in front] == result.to_dict()["pareto"][cost]
    for candidate in result.candidates:
        better = [
            other
            for other in front
            if other.predicted >= candidate.predicted and getattr(other, cost) <= getattr(candidate, cost)
        ]
        assert candidate in front or better
        assert candidate not in front or better == [candidate]
    assert front[-1] == result.best


def test_fronts_that_are_not_known(model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=5)
    with pytest.raises(ConfigError, match=r"latency_ms is not known of these candidates\. Search with a limit"):
        result.pareto("latency_ms")
    with pytest.raises(UnknownNameError, match="Did you mean 'params'"):
        result.pareto("param")
