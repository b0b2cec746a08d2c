"""Every surrogate learns what it can learn; the one that ranks best in a validation is chosen."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from metad2a.runtime import numpy_rng
from metad2a.search.nsganetv2_surrogates import CODINGS, KINDS, choose, cross_validate
from metad2a.spaces.mobilenetv3 import MobileNetV3, from_official
from metad2a.spaces.nasbench201 import NASBench201

CELLS, MOBILE = NASBench201(), MobileNetV3()


def made_up(n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of cells and values to which each operation adds something."""
    archs = list(dict.fromkeys(CELLS.sample(2 * n, numpy_rng(seed))))[:n]
    x = CODINGS["one_hot"](CELLS, archs)
    return x, x @ numpy_rng("weights").uniform(0, 10, x.shape[1])


@pytest.mark.parametrize("kind", ["rbf", "gp", "carts", "mlp"])
def test_each_kind_ranks_what_it_has_not_seen(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metad2a.search.nsganetv2_surrogates._EPOCHS", 40)
    x, values = made_up(160)
    fitted = KINDS[kind].fit(x[:80], values[:80], 0, None)
    again = KINDS[kind].fit(x[:80], values[:80], 0, None)
    found = fitted(x[80:])
    assert kendalltau(found, values[80:]).statistic > 0.5
    np.testing.assert_array_equal(found, again(x[80:]))


def test_an_interpolation_goes_through_what_it_knows_even_if_given_twice() -> None:
    x, values = made_up(30)
    fitted = KINDS["rbf"].fit(np.concatenate([x, x[:5]]), np.concatenate([values, values[:5]]), 0, None)
    np.testing.assert_allclose(fitted(x), values, rtol=1e-6)


@pytest.mark.parametrize("kind", ["rbf", "gp", "carts"])
def test_few_and_equal_values_are_no_trouble(kind: str) -> None:
    x, values = made_up(3)
    assert KINDS[kind].fit(x[:2], values[:2], 0, None)(x).shape == (3,)
    same = KINDS[kind].fit(x, np.full(3, 7.0), 0, None)(x)
    np.testing.assert_allclose(same, 7.0, atol=1e-6)
    assert KINDS[kind].fit(x[:1].repeat(2, axis=0), np.array([1.0, 3.0]), 0, None)(x[:1])[0] == pytest.approx(2.0)


def test_what_a_network_does_not_use_is_no_feature() -> None:
    net = {"ks": [3] * 20, "e": [3] * 20, "d": [2] * 5}
    archs = [from_official(net), from_official(net | {"ks": [3, 3, 7, 5] * 5})]
    for coding in CODINGS.values():
        one, same = coding(MOBILE, archs)
        np.testing.assert_array_equal(one, same)


def test_a_validation_has_a_tau_for_each_part() -> None:
    x, values = made_up(60)
    taus = cross_validate(KINDS["rbf"], x, values, 0)
    assert taus.shape == (10,)
    assert taus.mean() > 0.5
    np.testing.assert_array_equal(cross_validate(KINDS["rbf"], x, np.ones(60), 0), np.zeros(10))


def test_the_one_of_the_highest_mean_less_deviation_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    steady, shaky = np.full(10, 0.5), np.array([0.2, 1.0] * 5)  # mean .5 and .6, less deviation .5 and .2
    monkeypatch.setattr(
        "metad2a.search.nsganetv2_surrogates.cross_validate",
        lambda kind, *_: steady if kind is KINDS["gp"] else shaky,
    )
    archs = CELLS.sample(30, numpy_rng("cells"))
    values = CELLS.params(archs, 10).astype(float)
    name, predict = choose(CELLS, archs, values, kinds=("rbf", "gp"), codings=("one_hot",), seed=0)
    assert name == "gp, one_hot"
    assert kendalltau(predict(archs), values).statistic > 0.8
