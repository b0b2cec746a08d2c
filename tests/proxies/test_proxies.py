import numpy as np
import pytest

from metad2a import plugins
from metad2a.errors import UnknownNameError
from metad2a.proxies.base import Proxy, get_proxy
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.proxies import ProxyContract


class TestInstalledProxies(ProxyContract):
    @pytest.fixture(params=plugins.names("proxies"))
    def proxy(self, request: pytest.FixtureRequest) -> Proxy:
        return get_proxy(request.param)

    @pytest.fixture
    def space(self) -> SearchSpace:
        return NASBench201()

    def test_has_the_name_it_is_found_by(self, proxy: Proxy, request: pytest.FixtureRequest) -> None:
        assert request.node.callspec.params["proxy"] == proxy.name


def test_the_built_in_proxies_are_installed() -> None:
    assert {"params", "flops"} <= set(plugins.names("proxies")), "install the project: pip install -e ."


def test_cost_proxies_are_the_costs_of_the_networks(space: NASBench201) -> None:
    archs = space.sample(20, np.random.default_rng(1))
    assert get_proxy("params").score(space, archs, 9).tolist() == space.params(archs, 9).tolist()
    assert get_proxy("flops").score(space, archs, 9).tolist() == space.flops(archs, 9, 32).tolist()


def test_an_unknown_proxy() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown proxy 'parms'\. Did you mean 'params'\?"):
        get_proxy("parms")
