import re
from typing import Any

import numpy as np
import pytest

from metad2a.costs.latency_model import LatencyModel
from metad2a.errors import ConfigError, LimitError
from metad2a.runtime import numpy_rng
from metad2a.search.constraints import Costs, Limits
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201


@pytest.fixture
def archs(space: NASBench201) -> list[Architecture]:
    return space.sample(200, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["max_params", "max_flops", "max_latency_ms", "max_memory_mb"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_refuses_what_is_no_positive_number(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}={value} is not a positive number"):
        Limits(**{name: value})


def test_no_limit_admits_everything(space: NASBench201, archs: list[Architecture]) -> None:
    costs = Costs(space, 10)
    assert Limits().admits(costs, archs).all()
    assert Limits(max_latency_ms=1e-9).admits(costs, archs).all(), "nothing is known of latencies"
    assert Limits(max_params=1).admits(costs, []).shape == (0,)
    Limits().check_possible(costs)


@pytest.mark.parametrize("num_classes", [2, 200])
def test_limits_are_the_networks_own_costs(space: NASBench201, archs: list[Architecture], num_classes: int) -> None:
    costs = Costs(space, num_classes)
    params, flops = space.params(archs, num_classes), space.flops(archs, num_classes, space.resolution)
    memory = space.memory(archs, num_classes, space.resolution) / 1e6
    max_params, max_flops = int(np.median(params)), int(np.quantile(flops, 0.3))
    by_params = Limits(max_params=max_params).admits(costs, archs)
    assert by_params.tolist() == (params <= max_params).tolist()
    assert by_params[params == max_params].all(), "the limit itself is allowed"
    assert 0 < by_params.sum() < len(archs)
    by_both = Limits(max_params=max_params, max_flops=max_flops).admits(costs, archs)
    assert by_both.tolist() == ((params <= max_params) & (flops <= max_flops)).tolist()
    by_memory = Limits(max_memory_mb=1.2).admits(costs, archs)
    assert by_memory.tolist() == (memory <= 1.2).tolist()
    assert 0 < by_memory.sum() < len(archs)


def test_latencies_are_those_of_the_model(space: NASBench201, archs: list[Architecture]) -> None:
    times = space.params(archs, 10) / 1e5
    model = LatencyModel.fit(space, archs[:20], times[:20])
    costs = Costs(space, 10, model)
    limit = float(np.median(times))
    admitted = Limits(max_latency_ms=limit).admits(costs, archs)
    assert admitted.tolist() == (model.predict(archs) <= limit).tolist()
    with pytest.raises(LimitError, match=r"meets max_latency_ms=1e-05\..* and \d\.\d\d ms \(predicted\)"):
        Limits(max_latency_ms=1e-5).check_possible(costs)
    with pytest.raises(ConfigError, match="latency_ms is unknown"):
        Costs(space, 10).of("latency_ms", archs)


WORDS = {"max_params": "{:,} parameters", "max_flops": "{:,} multiply-adds", "max_memory_mb": "{:.3f} MB of memory"}


@pytest.mark.parametrize("name", list(WORDS))
def test_impossible_limits_name_the_smallest_costs(space: NASBench201, name: str) -> None:
    archs = list(space.enumerate())
    smallest: dict[str, Any] = {
        "max_params": space.params(archs, 7).min(),
        "max_flops": space.flops(archs, 7, space.resolution).min(),
        "max_memory_mb": space.memory(archs, 7, space.resolution).min() / 1e6,
    }
    Limits(**{name: float(smallest[name])}).check_possible(Costs(space, 7))
    with pytest.raises(LimitError) as error:
        Limits(**{name: float(smallest[name] * 0.99999)}).check_possible(Costs(space, 7))
    message = str(error.value)
    for named in {"max_params", "max_flops", name}:
        assert WORDS[named].format(smallest[named]) in message
    assert re.search(rf"'nasbench201' meets {name}=.* 7 classes the smallest has", message)
    assert "Raise the limit" in message


def test_limits_that_exclude_each_other(space: NASBench201, monkeypatch: pytest.MonkeyPatch) -> None:
    # The true costs of these cells go together; here the cheap in one are dear in the other.
    archs = list(space.enumerate())
    flops = space.flops(archs, 7, space.resolution)
    most = flops.max() + 1
    monkeypatch.setattr(space, "params", lambda archs, _: most - space.flops(archs, 7, space.resolution))
    costs, third = Costs(space, 7), float(flops.max()) / 3
    Limits(max_params=third).check_possible(costs)
    Limits(max_flops=third).check_possible(costs)
    with pytest.raises(
        LimitError, match=r"Each of the limits can be met, but not all together: the closest has \d"
    ):
        Limits(max_params=third, max_flops=third).check_possible(costs)


def test_the_smallest_of_a_space_that_cannot_be_listed() -> None:
    space = MobileNetV3()
    costs, least = Costs(space, 10), Architecture(space.name, (0,) * len(space.options))
    for name in ("params", "flops", "memory_mb"):
        found = costs.smallest({name: 1e-6})
        assert costs.of(name, [found])[0] == costs.of(name, [least])[0]
        assert costs.of(name, [found])[0] < costs.of(name, space.sample(100, numpy_rng("any"))).min()
    smallest = int(space.params([least], 10)[0])
    Limits(max_params=smallest).check_possible(costs)
    with pytest.raises(LimitError, match=f"the smallest has {smallest:,} parameters"):
        Limits(max_params=smallest - 1).check_possible(costs)


def test_says_what_it_limits() -> None:
    assert str(Limits(max_params=1e6, max_latency_ms=2.5)) == "max_params=1e+06, max_latency_ms=2.5"
