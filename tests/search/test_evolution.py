from itertools import pairwise

import pytest

from metad2a.errors import ConfigError
from metad2a.search.evolution import Evolution
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201


def value(arch: Architecture) -> float:
    """Return how many edges are a 3x3 convolution, whose number is 3."""
    return float(sum(choice == 3 for choice in arch.choices))


def differences(a: Architecture, b: Architecture) -> int:
    return sum(x != y for x, y in zip(a.choices, b.choices, strict=True))


def run(searcher: Evolution, queries: int) -> list[Architecture]:
    asked = []
    for _ in range(queries):
        [arch] = searcher.ask(1)
        searcher.tell([arch], [value(arch)])
        asked.append(arch)
    return asked


def test_children_differ_from_one_of_the_latest_in_one_decision(space: NASBench201) -> None:
    asked = run(Evolution(space, population=4, sample=2, seed=1), 14)
    assert any(differences(a, b) > 1 for a, b in pairwise(asked[:4]))
    for place in range(4, 14):
        assert min(differences(asked[place], other) for other in asked[:place]) == 1


def test_the_oldest_goes_even_if_it_is_the_best(space: NASBench201) -> None:
    best = Architecture(space.name, (3,) * 6)
    rest = [Architecture(space.name, (0, 0, 0, 0, *pair)) for pair in ((0, 1), (0, 2), (1, 0), (2, 0))]
    for drop, near in (("oldest", False), ("worst", True)):
        searcher = Evolution(space, population=3, sample=40, drop=drop)
        searcher.tell([best, *rest], [6.0, 0.0, 0.0, 0.0, 0.0])
        assert (differences(searcher.ask(1)[0], best) == 1) is near


def test_the_best_of_a_ranking_become_the_population(space: NASBench201) -> None:
    best = Architecture(space.name, (3,) * 6)
    rest = list(dict.fromkeys(Architecture(space.name, (0, 0, 0, 0, a, b)) for a in range(3) for b in range(3)))
    searcher = Evolution(space, first=[best, *rest], population=3, sample=40)
    run(searcher, 10)
    assert differences(searcher.ask(1)[0], best) == 1


def test_it_climbs(space: NASBench201) -> None:
    found = [max(map(value, run(Evolution(space, seed=seed), 120))) for seed in range(5)]
    assert min(found) >= 5, found


def test_repeats_are_proposals_but_no_queries(space: NASBench201) -> None:
    searcher = Evolution(space, population=2, sample=5)
    asked = run(searcher, 80)
    assert len(set(asked)) == 80 < searcher.proposals


def test_crossover_takes_from_two_parents(space: NASBench201) -> None:
    zeros, threes = (Architecture(space.name, (choice,) * 6) for choice in (0, 3))
    searcher = Evolution(space, population=2, sample=1, crossover=1.0)
    searcher.tell([zeros, threes], [1.0, 1.0])
    mixed = searcher.ask(20)
    assert any(min(differences(arch, zeros), differences(arch, threes)) > 1 for arch in mixed)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"population": 0}, "population=0"),
        ({"sample": 0}, "sample=0"),
        ({"drop": "newest"}, "oldest, worst"),
        ({"crossover": 1.5}, "crossover=1.5"),
    ],
)
def test_impossible_options_are_told(space: NASBench201, options: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        Evolution(space, **options)  # type: ignore[arg-type]
