"""What every searcher must do, as a pytest class."""

import json
import math
from collections.abc import Callable

import pytest

from metad2a.runtime import numpy_rng
from metad2a.search.base import Searcher
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.testing.randomness import global_randomness

MakeSearcher = Callable[[int], Searcher]
_PORTION = 5
_ROUNDS = 4


class SearcherContract:
    """The tests of a searcher. Inherit from this class in a test module and give it the space and the searcher.

    For example::

        class TestMySearcher(SearcherContract):
            @pytest.fixture
            def space(self):
                return get_space("nasbench201")

            @pytest.fixture
            def make(self, space):
                return lambda seed: MySearcher(space, seed=seed)

    Attributes:
        most: it is asked for so many architectures to see whether it ends well; more than it can propose where
            that is feasible.
    """

    most: int = 100

    @pytest.fixture
    def space(self) -> SearchSpace:
        raise NotImplementedError("give the class a fixture `space` that returns the space to search")

    @pytest.fixture
    def make(self) -> MakeSearcher:
        raise NotImplementedError("give the class a fixture `make` that returns a function of the seed")

    def test_is_a_searcher(self, make: MakeSearcher) -> None:
        assert isinstance(make(0), Searcher)

    def test_asks_distinct_architectures_of_the_space(self, make: MakeSearcher, space: SearchSpace) -> None:
        asked = [arch for portion in _rounds(make(0), space) for arch in portion]
        assert asked
        assert [space.parse(space.format(arch)) for arch in asked] == asked
        assert len(set(asked)) == len(asked), "an architecture is asked for twice"

    def test_asks_for_no_more_than_wanted(self, make: MakeSearcher) -> None:
        searcher = make(0)
        assert searcher.ask(0) == []
        assert len(searcher.ask(1)) == 1
        assert len(searcher.ask(_PORTION)) <= _PORTION

    def test_asks_for_fewer_only_at_its_end(self, make: MakeSearcher, space: SearchSpace) -> None:
        searcher = make(0)
        asked = searcher.ask(self.most)
        searcher.tell(asked, _values(asked, space))
        assert len(asked) <= min(self.most, space.size)
        assert len(set(asked)) == len(asked)
        if len(asked) < self.most:
            assert searcher.ask(1) == [], "it had more than it gave"

    def test_asks_again_before_it_is_told(self, make: MakeSearcher) -> None:
        searcher = make(0)
        first = searcher.ask(_PORTION)
        assert set(first).isdisjoint(searcher.ask(_PORTION))

    def test_the_same_seed_asks_for_the_same(self, make: MakeSearcher, space: SearchSpace) -> None:
        assert _rounds(make(3), space) == _rounds(make(3), space)

    @pytest.mark.parametrize("before", [0, 1, _ROUNDS])
    def test_goes_on_from_its_state(self, make: MakeSearcher, space: SearchSpace, before: int) -> None:
        searcher = make(0)
        _rounds(searcher, space, rounds=before)
        state = searcher.state_dict()
        written = json.dumps(state, allow_nan=False)
        rest = _rounds(searcher, space)
        assert json.dumps(state, allow_nan=False) == written, "a state changes after it was taken"
        other = make(1)
        _rounds(other, space, rounds=2)
        other.load_state_dict(json.loads(written))
        assert _rounds(other, space) == rest
        assert other.state_dict() == searcher.state_dict()

    def test_leaves_the_global_random_streams_alone(self, make: MakeSearcher, space: SearchSpace) -> None:
        before = global_randomness()
        searcher = make(0)
        _rounds(searcher, space)
        searcher.load_state_dict(searcher.state_dict())
        assert global_randomness() == before

    def test_takes_failed_evaluations(self, make: MakeSearcher) -> None:
        searcher = make(0)
        searcher.tell([], [])
        for _ in range(_ROUNDS):
            asked = searcher.ask(2)
            searcher.tell(asked, [math.nan] * len(asked))
        json.dumps(searcher.state_dict(), allow_nan=False)
        searcher.ask(1)

    def test_takes_equal_values(self, make: MakeSearcher) -> None:
        searcher = make(0)
        for _ in range(_ROUNDS):
            asked = searcher.ask(_PORTION)
            searcher.tell(asked, [50.0] * len(asked))


def _rounds(searcher: Searcher, space: SearchSpace, *, rounds: int = _ROUNDS) -> list[list[Architecture]]:
    """Ask and tell several times; the values depend on the architecture alone."""
    portions = []
    for _ in range(rounds):
        portions.append(searcher.ask(_PORTION))
        searcher.tell(portions[-1], _values(portions[-1], space))
    return portions


def _values(archs: list[Architecture], space: SearchSpace) -> list[float]:
    return [float(numpy_rng("value", space.format(arch)).uniform(0, 100)) for arch in archs]
