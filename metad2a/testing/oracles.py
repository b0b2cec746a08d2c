"""What every oracle must do, as a pytest class."""

from collections.abc import Sequence

import numpy as np
import pytest

from metad2a.oracles.base import Oracle
from metad2a.spaces.base import Architecture
from metad2a.testing.randomness import global_randomness


class OracleContract:
    """The tests of an oracle. Inherit from this class in a test module and give it the oracle.

    For example::

        class TestMyOracle(OracleContract):
            @pytest.fixture
            def oracle(self):
                return MyOracle()

            @pytest.fixture
            def archs(self):
                return get_space("nasbench201").sample(4, np.random.default_rng(0))

    The subclass has a fixture ``oracle``, and a fixture ``archs`` of at least two different architectures that
    it knows. A slow oracle needs no more than two.
    """

    @pytest.fixture
    def oracle(self) -> Oracle:
        raise NotImplementedError("give the class a fixture `oracle` that returns the oracle to test")

    @pytest.fixture
    def archs(self) -> Sequence[Architecture]:
        raise NotImplementedError("give the class a fixture `archs` of architectures that the oracle knows")

    def test_is_an_oracle(self, oracle: Oracle) -> None:
        assert isinstance(oracle, Oracle)
        assert oracle.name

    def test_gives_percentages(self, oracle: Oracle, archs: Sequence[Architecture]) -> None:
        accuracy = oracle.evaluate(archs)
        assert accuracy.shape == (len(archs),)
        assert np.issubdtype(accuracy.dtype, np.floating)
        known = accuracy[~np.isnan(accuracy)]
        assert len(known), "not one evaluation succeeded"
        assert ((known >= 0) & (known <= 100)).all()
        assert known.max() > 1, "these look like fractions; percentages are wanted"

    def test_nothing_asked_nothing_given(self, oracle: Oracle) -> None:
        assert oracle.evaluate([]).shape == (0,)

    @pytest.mark.parametrize("seed", [0, 7])
    def test_the_same_seed_gives_the_same(self, oracle: Oracle, archs: Sequence[Architecture], seed: int) -> None:
        before = global_randomness()
        first = oracle.evaluate(archs, seed=seed)
        assert global_randomness() == before, "it draws from a global random stream"
        np.testing.assert_array_equal(oracle.evaluate(archs, seed=seed), first)

    def test_an_architecture_is_judged_by_itself(self, oracle: Oracle, archs: Sequence[Architecture]) -> None:
        together = oracle.evaluate(archs)
        np.testing.assert_array_equal(oracle.evaluate(archs[::-1]), together[::-1])
        np.testing.assert_array_equal(oracle.evaluate(archs[1:2]), together[1:2])
