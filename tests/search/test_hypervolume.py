import numpy as np
import pytest

from metad2a.errors import ConfigError
from metad2a.search.hypervolume import hypervolume, hypervolume_curve, reference_point

pytest.importorskip("pymoo")
ERRORS, COSTS = np.array([50.0, 20.0, 60.0, np.nan, 10.0]), np.array([2.0, 5.0, 1.0, 0.5, 20.0])


def test_it_is_the_covered_part_of_the_rectangle() -> None:
    # Beyond the reference of (100, 10): the last. Covered: 40 wide from 1, 50 from 2, 80 from 5.
    expected = (1 * 40 + 3 * 50 + 5 * 80) / 1000
    assert hypervolume(ERRORS, COSTS, (100.0, 10.0)) == pytest.approx(expected)
    assert hypervolume(ERRORS[::-1], COSTS[::-1], (100.0, 10.0)) == pytest.approx(expected)


def test_it_grows_with_the_evaluations() -> None:
    curve = hypervolume_curve(ERRORS, COSTS, (100.0, 10.0), [0, 1, 2, 3, 4, 99])
    np.testing.assert_allclose(curve, [0, 0.4, 0.55, 0.59, 0.59, 0.59])


def test_the_reference_is_a_little_worse_than_the_worst() -> None:
    assert reference_point(ERRORS, COSTS) == pytest.approx((60.6, 20.2))
    with pytest.raises(ConfigError, match="needs evaluations"):
        reference_point(np.array([np.nan]), np.array([1.0]))
