import numpy as np
import pytest
from scipy import stats

from metad2a.evaluation.compare.statistics import holm, means, paired_p
from metad2a.runtime import numpy_rng


def test_intervals_cover_the_mean_about_as_often_as_they_say() -> None:
    draws = numpy_rng("normal").normal(10, 2, (20, 400))
    found = means(draws)
    np.testing.assert_allclose(found.mean, draws.mean(0))
    np.testing.assert_allclose(found.sd, draws.std(0, ddof=1))
    covered = ((found.low <= 10) & (found.high >= 10)).mean()
    assert 0.88 < covered < 0.97
    one = means(draws[:1])
    assert not one.sd.any()
    np.testing.assert_allclose([one.low, one.high], [draws[0], draws[0]])


def test_the_test_is_exact_for_few_seeds() -> None:
    assert paired_p(np.ones((6, 1)) * [[0.3]])[0] == pytest.approx(2 / 2**6)
    differences = numpy_rng("differences").normal(0.4, 1, (8, 3))
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T
    far = np.abs(signs @ differences / 8) >= np.abs(differences.mean(0)) - 1e-12
    np.testing.assert_allclose(paired_p(differences), far.mean(0))
    assert (paired_p(differences) == paired_p(differences)).all()


def test_many_seeds_agree_with_the_t_test() -> None:
    differences = numpy_rng("many").normal(0.3, 1, (60, 4))
    np.testing.assert_allclose(paired_p(differences), stats.ttest_1samp(differences, 0).pvalue, atol=0.02)


def test_no_difference_and_a_single_seed() -> None:
    assert paired_p(np.zeros((5, 2))).tolist() == [1, 1]
    assert np.isnan(paired_p(np.ones((1, 2)))).all()


def test_holm() -> None:
    found = holm(np.array([0.01, np.nan, 0.04, 0.03, 0.9]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.09, 0.09, 0.9])
    assert holm(np.array([0.6, 0.7])).tolist() == [1, 1]
