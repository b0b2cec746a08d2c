"""The smallest and the largest networks, and networks of all sizes."""

from collections.abc import Sequence

import numpy as np
import pytest

from metad2a.spaces.base import Architecture
from metad2a.spaces.extremes import best_by, sample_sizes
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.mobilenetv3_compact import CompactMobileNetV3
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.product import ProductSpace

SPACE = MobileNetV3()


def flops(archs: Sequence[Architecture]) -> np.ndarray:
    return SPACE.flops(archs, 10, 224)


def test_the_extremes_are_found() -> None:
    largest = Architecture(SPACE.name, (2, *(2, 2) * 4) * 5)
    assert best_by(SPACE, flops) == largest
    smallest = best_by(SPACE, lambda archs: -flops(archs))
    assert SPACE.canonical(smallest) == "+".join(["d2:k3e3-k3e3"] * 5)
    cells = NASBench201()
    archs = list(cells.enumerate())
    assert best_by(cells, lambda some: cells.params(some, 10)) == archs[int(cells.params(archs, 10).argmax())]


@pytest.mark.parametrize("space", [SPACE, CompactMobileNetV3(), NASBench201()], ids=lambda space: space.name)
def test_sizes_reach_from_the_smallest_network_to_the_largest(space: ProductSpace) -> None:
    archs = sample_sizes(space, 400, np.random.default_rng(0))
    assert archs == sample_sizes(space, 400, np.random.default_rng(0))
    assert archs[:9] == sample_sizes(space, 9, np.random.default_rng(0))
    assert archs[1:] != sample_sizes(space, 400, np.random.default_rng(1))[1:]
    least, most, *others = space.params(archs, 10).tolist()
    uniform = space.params(space.sample(4000, np.random.default_rng(0)), 10)
    assert least <= uniform.min()
    assert most >= uniform.max()
    beyond = np.quantile(uniform, [0.05, 0.95])
    assert (np.array(others) < beyond[0]).mean() > 0.15
    assert (np.array(others) > beyond[1]).mean() > 0.15
    assert all(space.decode(space.encode([arch])) == [arch] for arch in archs)  # what is not used, in one way only


def test_a_few_are_the_ends() -> None:
    assert sample_sizes(SPACE, 0, np.random.default_rng(0)) == []
    one, two = (sample_sizes(SPACE, n, np.random.default_rng(0)) for n in (1, 2))
    assert one == two[:1]
    assert SPACE.canonical(two[0]) == "+".join(["d2:k3e3-k3e3"] * 5)
