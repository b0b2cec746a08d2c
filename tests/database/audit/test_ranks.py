import math

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from metad2a.database.audit.ranks import pooled, within, without_means

RNG = np.random.default_rng(0)


def test_pooled_is_scipys() -> None:
    x = RNG.normal(size=300).round(1)  # with ties
    y = x + RNG.normal(size=300).round(1)
    found = pooled(x, y, np.arange(300) % 30)
    assert found.spearman == pytest.approx(spearmanr(x, y).statistic)
    assert found.kendall == pytest.approx(kendalltau(x, y).statistic)
    assert (found.labels, found.tasks) == (300, 30)
    for value, (low, high) in ((found.spearman, found.spearman_interval), (found.kendall, found.kendall_interval)):
        assert low < value < high < low + 0.4


@pytest.mark.parametrize("sizes", [[4, 9, 4, 3, 70, 12], [5] * 40])
def test_within_is_the_mean_of_scipys(sizes: list[int]) -> None:
    task = RNG.permutation(np.repeat(np.arange(len(sizes)), sizes))
    x = RNG.normal(size=len(task)).round(1)
    y = x + RNG.normal(size=len(task)).round(1)
    found = within(x, y, task, at_least=4)
    kept = [t for t, size in enumerate(sizes) if size >= 4]
    assert found.spearman == pytest.approx(np.mean([spearmanr(x[task == t], y[task == t]).statistic for t in kept]))
    assert found.kendall == pytest.approx(np.mean([kendalltau(x[task == t], y[task == t]).statistic for t in kept]))
    assert found.tasks == len(kept)
    assert found.labels == sum(sizes[t] for t in kept)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of two normal variables of correlation r, Spearman's is 6/pi arcsin(r/2)."""
    true = 6 / math.pi * math.asin(0.6 / 2)
    hits, rounds = 0, 40
    for _ in range(rounds):
        x = RNG.normal(size=100)
        y = 0.6 * x + 0.8 * RNG.normal(size=100)
        low, high = pooled(x, y, np.arange(100) // 5).spearman_interval
        hits += low <= true <= high
    assert 0.85 * rounds <= hits <= rounds


def test_labels_that_hang_together_widen_the_interval() -> None:
    """Tasks of copies say no more than one label each."""
    x = RNG.normal(size=60)
    y = x + RNG.normal(size=60)
    alone = pooled(x, y, np.arange(60)).spearman_interval
    copies = pooled(np.repeat(x, 20), np.repeat(y, 20), np.repeat(np.arange(60), 20)).spearman_interval
    assert np.ptp(copies) == pytest.approx(np.ptp(alone), rel=0.3)


def test_many_labels_are_drawn_in_part_and_the_interval_is_of_all() -> None:
    x = RNG.normal(size=64_000)
    y = x + RNG.normal(size=64_000)
    task = np.arange(64_000) // 8
    part, whole = (np.ptp(pooled(x[:n], y[:n], task[:n]).spearman_interval) for n in (4_000, 64_000))
    assert whole == pytest.approx(part / 4, rel=0.3)


def test_labels_of_a_single_task() -> None:
    x = np.arange(50.0)
    found = pooled(x, x, np.zeros(50, int))
    assert (found.spearman, found.kendall, found.tasks) == (pytest.approx(1), pytest.approx(1), 1)
    assert found.spearman_interval == (pytest.approx(1), pytest.approx(1))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_where_there_is_no_order(n: int) -> None:
    constant = np.ones(n)
    for found in (
        pooled(constant, np.arange(float(n)), np.zeros(n, int)),
        within(constant, np.arange(float(n)), np.zeros(n, int), at_least=2),
    ):
        assert math.isnan(found.spearman)
        assert math.isnan(found.kendall)
        assert all(math.isnan(end) for end in (*found.spearman_interval, *found.kendall_interval))


def test_means_are_those_of_the_tasks() -> None:
    task = np.array([0, 2, 0, 2, 2])
    assert without_means(np.array([1.0, 4, 3, 5, 9]), task).tolist() == [-1, -2, 1, -1, 3]
