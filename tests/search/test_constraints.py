import re
from collections.abc import Iterator

import numpy as np
import pytest

from metad2a.errors import ConfigError, LimitError
from metad2a.search.constraints import Limits
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.nasbench201 import NASBench201


@pytest.fixture
def archs(space: NASBench201) -> list[Architecture]:
    return space.sample(200, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["max_params", "max_flops", "max_latency_ms"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_refuses_what_is_no_positive_number(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}={value} is not a positive number"):
        Limits(**{name: value})


def test_no_limit_admits_everything(space: NASBench201, archs: list[Architecture]) -> None:
    assert Limits().admits(space, archs, 10).all()
    assert Limits(max_latency_ms=1e-9).admits(space, archs, 10).all(), "latency is measured, not looked up"
    assert Limits(max_params=1).admits(space, [], 10).shape == (0,)
    Limits().check_possible(space, 10)


@pytest.mark.parametrize("num_classes", [2, 200])
def test_limits_are_the_networks_own_costs(space: NASBench201, archs: list[Architecture], num_classes: int) -> None:
    params, flops = space.params(archs, num_classes), space.flops(archs, num_classes, space.resolution)
    max_params, max_flops = int(np.median(params)), int(np.quantile(flops, 0.3))
    by_params = Limits(max_params=max_params).admits(space, archs, num_classes)
    assert by_params.tolist() == (params <= max_params).tolist()
    assert by_params[params == max_params].all(), "the limit itself is allowed"
    assert 0 < by_params.sum() < len(archs)
    by_both = Limits(max_params=max_params, max_flops=max_flops).admits(space, archs, num_classes)
    assert by_both.tolist() == ((params <= max_params) & (flops <= max_flops)).tolist()


@pytest.mark.parametrize("name", ["max_params", "max_flops"])
def test_impossible_limits_name_the_smallest_costs(space: NASBench201, name: str) -> None:
    assert space.listable
    archs = list(space.enumerate())
    smallest = {
        "max_params": space.params(archs, 7).min(),
        "max_flops": space.flops(archs, 7, space.resolution).min(),
    }
    Limits(**{name: float(smallest[name])}).check_possible(space, 7)
    with pytest.raises(LimitError) as error:
        Limits(**{name: float(smallest[name] - 1)}).check_possible(space, 7)
    message = str(error.value)
    assert f"{smallest['max_params']:,} parameters" in message
    assert f"{smallest['max_flops']:,} multiply-adds" in message
    assert re.search(rf"'nasbench201' meets {name}=.* 7 classes", message)
    assert "Raise the limit" in message


def test_limits_that_exclude_each_other(space: NASBench201, monkeypatch: pytest.MonkeyPatch) -> None:
    # The true costs of these cells go together; here the cheap in one are dear in the other.
    archs = list(space.enumerate())
    flops = space.flops(archs, 7, space.resolution)
    monkeypatch.setattr(space, "params", lambda archs, num_classes: flops.max() + 1 - flops)
    half = float(flops.max()) / 3
    Limits(max_params=half).check_possible(space, 7)
    Limits(max_flops=half).check_possible(space, 7)
    with pytest.raises(LimitError):
        Limits(max_params=half, max_flops=half).check_possible(space, 7)


def test_a_space_that_cannot_be_listed_is_not_searched_for_the_smallest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Endless(NASBench201):
        listable = False

        def enumerate(self) -> Iterator[Architecture]:
            raise AssertionError("it was listed")

    space: SearchSpace = Endless()
    Limits(max_params=1).check_possible(space, 7)


def test_says_what_it_limits() -> None:
    assert str(Limits(max_params=1e6, max_latency_ms=2.5)) == "max_params=1e+06, max_latency_ms=2.5"
