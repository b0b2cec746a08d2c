import numpy as np
import pytest

from metad2a.search.pareto import pareto_front


@pytest.mark.parametrize(
    ("value", "cost", "front"),
    [
        ([], [], []),
        ([1.0], [5.0], [0]),
        ([3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [0]),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0, 1, 2]),
        ([1.0, 2.0, 2.0, 0.0], [3.0, 5.0, 4.0, 3.0], [0, 2]),
        ([2.0, 2.0], [1.0, 1.0], [0]),
    ],
)
def test_small_fronts(value: list[float], cost: list[float], front: list[int]) -> None:
    assert pareto_front(np.array(value), np.array(cost)) == front


def test_a_large_front_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    value, cost = rng.integers(0, 30, 300).astype(float), rng.integers(0, 30, 300).astype(float)
    beaten = (
        (value >= value[:, None]) & (cost <= cost[:, None]) & ((value > value[:, None]) | (cost < cost[:, None]))
    )
    unbeaten = np.flatnonzero(~beaten.any(axis=1))
    front = pareto_front(value, cost)
    assert sorted({(value[i], cost[i]) for i in unbeaten}) == sorted((value[i], cost[i]) for i in front)
    assert np.all(np.diff(cost[front]) > 0)
