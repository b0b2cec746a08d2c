from collections.abc import Callable, Sequence

import numpy as np
import pytest

from metad2a.search.constraints import Costs, Limits
from metad2a.search.refinement import refine
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3_compact import CompactMobileNetV3
from metad2a.spaces.nasbench201 import NASBench201

Predict = Callable[[Sequence[Architecture]], np.ndarray]


def likes_3x3(archs: Sequence[Architecture]) -> np.ndarray:
    """Two draws that agree on the order: the number of 3x3 convolutions, then of skips."""
    value = np.array([10 * arch.choices.count(3) + arch.choices.count(1) for arch in archs], float)
    return np.stack([value, value + 1])


@pytest.fixture
def start(space: NASBench201) -> list[Architecture]:
    return list(dict.fromkeys(space.sample(30, np.random.default_rng(0))))


def test_the_best_is_climbed_to(space: NASBench201, start: list[Architecture]) -> None:
    archs, draws = refine(start, likes_3x3, Costs(space, 10), Limits(), rounds=6)
    assert len(set(archs)) == len(archs) == len(start)
    np.testing.assert_array_equal(draws, likes_3x3(archs))
    assert draws[0].max() == 60
    assert draws[0].min() >= likes_3x3(start)[0].min()


def test_what_computes_the_same_is_there_once() -> None:
    """Where a stage has two layers, a network does not depend on what the code says of the others."""
    space = CompactMobileNetV3()
    start = list(dict.fromkeys(space.sample(30, np.random.default_rng(0))))

    def likes_shallow(archs: Sequence[Architecture]) -> np.ndarray:
        return -space.params(archs, 10)[None].astype(float)

    archs, draws = refine(start, likes_shallow, Costs(space, 10), Limits(), rounds=4)
    assert len({space.canonical(arch) for arch in archs}) == len(archs) == len(start)
    np.testing.assert_array_equal(draws, likes_shallow(archs))


def test_twins_among_what_is_given_leave_room_for_others(space: NASBench201, start: list[Architecture]) -> None:
    by_function: dict[str, list[Architecture]] = {}
    for arch in space.enumerate():
        by_function.setdefault(space.canonical(arch), []).append(arch)
    twins = next(archs for archs in by_function.values() if len(archs) > 2)[:3]
    archs, _ = refine([*start, *twins], likes_3x3, Costs(space, 10), Limits(), rounds=1)
    assert len({space.canonical(arch) for arch in archs}) == len(archs) == len(start) + 3


def test_twins_stay_where_limits_leave_nothing_else(space: NASBench201) -> None:
    costs = Costs(space, 10)
    limits = Limits(max_params=int(costs.of("params", list(space.enumerate())).min()))
    archs = list(space.enumerate())
    allowed = [arch for arch, ok in zip(archs, limits.admits(costs, archs), strict=True) if ok]
    assert len({space.canonical(arch) for arch in allowed}) < len(allowed)
    found, draws = refine(allowed, likes_3x3, costs, limits, rounds=3)
    assert set(found) == set(allowed)
    np.testing.assert_array_equal(draws, likes_3x3(found))


def test_no_rounds_change_nothing(space: NASBench201, start: list[Architecture]) -> None:
    archs, draws = refine(start, likes_3x3, Costs(space, 10), Limits(), rounds=0)
    assert archs == start
    np.testing.assert_array_equal(draws, likes_3x3(start))


def test_limits_are_kept(space: NASBench201, start: list[Architecture]) -> None:
    costs, limits = Costs(space, 10), Limits(max_params=500_000)
    allowed = [arch for arch, ok in zip(start, limits.admits(costs, start), strict=True) if ok]
    archs, draws = refine(allowed, likes_3x3, costs, limits, rounds=6)
    assert limits.admits(costs, archs).all()
    assert draws.max() > likes_3x3(allowed).max()
