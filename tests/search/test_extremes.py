"""The largest networks of a space that cannot be listed, the largest first."""

from collections.abc import Sequence

import numpy as np
import pytest

from metad2a.search.extremes import Descending
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.testing.searchers import MakeSearcher, SearcherContract

SPACE = MobileNetV3()


def flops(archs: Sequence[Architecture]) -> np.ndarray:
    return SPACE.flops(archs, 10, 224)


class TestDescending(SearcherContract):
    most = 20

    @pytest.fixture
    def space(self) -> MobileNetV3:
        return SPACE

    @pytest.fixture
    def make(self, space: MobileNetV3) -> MakeSearcher:
        return lambda seed: Descending(space, flops, seed=seed)


def test_the_order_is_that_of_the_score_and_each_network_comes_once() -> None:
    asked = Descending(SPACE, flops, seed=1).ask(15)
    found = flops(asked)
    assert (np.diff(found) <= 0).all()
    assert len({SPACE.canonical(arch) for arch in asked}) == 15
    # Whatever has more than the last of them is among them: looked for within two changes of the largest.
    once = SPACE.neighbours(asked[0])
    grown = [arch for arch, count in zip(once, flops(once), strict=True) if count > found[-1]]
    twice = list({other for arch in grown for other in SPACE.neighbours(arch)})
    more = {SPACE.canonical(arch) for arch, count in zip(twice, flops(twice), strict=True) if count > found[-1]}
    assert more <= {SPACE.canonical(arch) for arch in asked}
    assert len(more) > 8
