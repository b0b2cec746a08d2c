"""What every proxy must do, as a pytest class."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.proxies.base import Proxy
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.testing.randomness import global_randomness


class ProxyContract:
    """The tests of a proxy. Inherit from this class in a test module and give it the proxy and a space.

    For example::

        class TestMyProxy(ProxyContract):
            @pytest.fixture
            def proxy(self):
                return MyProxy()

            @pytest.fixture
            def space(self):
                return get_space("nasbench201")

    Attributes:
        num_classes: of the data set that the architectures are scored for.
        count: architectures scored; few where a score is slow.
    """

    num_classes: int = 7
    count: int = 8

    @pytest.fixture
    def proxy(self) -> Proxy:
        raise NotImplementedError("give the class a fixture `proxy` that returns the proxy to test")

    @pytest.fixture
    def space(self) -> SearchSpace:
        raise NotImplementedError("give the class a fixture `space` that returns a space it can score")

    @pytest.fixture
    def archs(self, space: SearchSpace) -> list[Architecture]:
        return space.sample(self.count, np.random.default_rng(0))

    def test_has_a_name(self, proxy: Proxy) -> None:
        assert isinstance(proxy, Proxy)
        assert proxy.name

    def test_gives_one_score_an_architecture(
        self, proxy: Proxy, space: SearchSpace, archs: list[Architecture]
    ) -> None:
        scores = proxy.score(space, archs, self.num_classes)
        assert scores.shape == (len(archs),)
        assert np.issubdtype(scores.dtype, np.floating)
        assert not np.isinf(scores).any(), "a score that is not defined is NaN"
        assert len(set(scores[~np.isnan(scores)].tolist())) > 1, "it tells no architectures apart"

    def test_nothing_to_score(self, proxy: Proxy, space: SearchSpace) -> None:
        assert proxy.score(space, [], self.num_classes).shape == (0,)

    def test_a_new_instance_gives_the_same(
        self, proxy: Proxy, space: SearchSpace, archs: list[Architecture]
    ) -> None:
        unused = copy.deepcopy(proxy)
        first = proxy.score(space, archs, self.num_classes)
        np.testing.assert_array_equal(proxy.score(space, archs, self.num_classes), first)
        np.testing.assert_array_equal(unused.score(space, archs, self.num_classes), first)

    def test_an_architecture_is_scored_by_itself(
        self, proxy: Proxy, space: SearchSpace, archs: list[Architecture]
    ) -> None:
        together = proxy.score(space, archs, self.num_classes)
        np.testing.assert_allclose(proxy.score(space, archs[::-1], self.num_classes), together[::-1], rtol=1e-6)
        np.testing.assert_allclose(proxy.score(space, archs[1:2], self.num_classes), together[1:2], rtol=1e-6)

    def test_leaves_no_trace(self, proxy: Proxy, space: SearchSpace, archs: list[Architecture]) -> None:
        before, copy = _process_state(), list(archs)
        proxy.score(space, archs, self.num_classes)
        assert _process_state() == before
        assert archs == copy


def _process_state() -> tuple[Any, ...]:
    """Return what a careless proxy would change for everything that runs after it."""
    return (
        global_randomness(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
    )
