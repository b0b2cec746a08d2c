import numpy as np
import pytest
from scipy import optimize, stats

from metad2a.fitting.accuracy import Scores, wilson


@pytest.mark.parametrize(("right", "images"), [(0, 7), (7, 7), (1, 2), (80, 100), (359, 360), (12_345, 20_000)])
def test_the_interval_holds_the_proportions_that_a_score_test_accepts(right: int, images: int) -> None:
    share = right / images

    def beyond(p: float) -> float:  # how far p is from the share, in its own standard errors, beyond 95 %
        return abs(share - p) / np.sqrt(p * (1 - p) / images) - stats.norm.ppf(0.975)

    low, high = (bound / 100 for bound in wilson(right, images))
    if right > 0:
        assert low == pytest.approx(optimize.brentq(beyond, 1e-12, share - 1e-12), abs=1e-9)
    if right < images:
        assert high == pytest.approx(optimize.brentq(beyond, share + 1e-12, 1 - 1e-12), abs=1e-9)
    ours = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((ours.low, ours.high), abs=1e-12)


def test_the_ends_of_the_scale() -> None:
    assert wilson(0, 5)[0] == 0
    assert wilson(5, 5)[1] == 100
    assert 0 < wilson(0, 5)[1] < wilson(5, 5)[0] + 100


def test_scores_are_counted_by_class() -> None:
    labels, predicted = np.array([0, 0, 0, 2, 2, 2, 2]), np.array([0, 1, 0, 2, 2, 0, 2])
    found = Scores.of(labels, predicted, ["a", "b", "c"])
    assert found.confusion.tolist() == [[2, 1, 0], [0, 0, 0], [1, 0, 3]]
    assert (found.right, found.images) == (5, 7)
    assert found.accuracy == pytest.approx(500 / 7)
    assert found.per_class() == [
        {"name": "a", "images": 3, "accuracy": pytest.approx(200 / 3)},
        {"name": "b", "images": 0, "accuracy": None},
        {"name": "c", "images": 4, "accuracy": 75.0},
    ]
    content = found.to_dict()
    assert content["interval95"] == list(wilson(5, 7))
    assert np.sum(content["confusion"]) == content["images"] == 7
