"""Every search space that is installed keeps the contract of search spaces."""

import pytest

from metad2a import plugins
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.registry import get_space
from metad2a.testing.spaces import SearchSpaceContract


class TestInstalledSpaces(SearchSpaceContract):
    @pytest.fixture(params=plugins.names("spaces"))
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        return get_space(request.param)


def test_the_built_in_spaces_are_installed() -> None:
    assert {"mobilenetv3", "nasbench201"} <= set(plugins.names("spaces")), "install the project: pip install -e ."
