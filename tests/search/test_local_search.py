import pytest

from metad2a.errors import ConfigError
from metad2a.search.local_search import LocalSearch
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201

BEST = (3, 3, 3, 3, 3, 3)


def value(arch: Architecture) -> float:
    """One hill, steeper at some decisions."""
    return float(sum((place + 1) * (choice == 3) for place, choice in enumerate(arch.choices)))


def run(searcher: LocalSearch, queries: int) -> list[Architecture]:
    asked = []
    for _ in range(queries):
        [arch] = searcher.ask(1)
        searcher.tell([arch], [value(arch)])
        asked.append(arch)
    return asked


def differences(a: Architecture, b: Architecture) -> int:
    return sum(x != y for x, y in zip(a.choices, b.choices, strict=True))


def test_it_moves_at_the_first_improvement_and_starts_anew_at_the_top(space: NASBench201) -> None:
    asked = run(LocalSearch(space, seed=1), 150)
    current, top = asked[0], None
    for place, arch in enumerate(asked[1:], start=1):
        if differences(arch, current) > 1:
            top = place
            break
        current = arch if value(arch) > value(current) else current
    assert current.choices == BEST
    assert top is not None
    assert set(space.neighbours(current)) <= set(asked[:top])


def test_the_full_neighbourhood_is_looked_at_before_it_moves(space: NASBench201) -> None:
    start = Architecture(space.name, (0,) * 6)
    searcher = LocalSearch(space, full_neighbourhood=True, first=[start])
    asked = run(searcher, 25)
    assert set(asked[1:]) == set(space.neighbours(start))
    steepest = Architecture(space.name, (0, 0, 0, 0, 0, 3))
    assert differences(run(searcher, 1)[0], steepest) == 1


def test_it_climbs_from_the_best_of_several(space: NASBench201) -> None:
    searcher = LocalSearch(space, starts=10, seed=3)
    asked = run(searcher, 10)
    best = max(asked, key=value)
    assert differences(run(searcher, 1)[0], best) == 1


def test_it_climbs_from_the_best_of_a_ranking(space: NASBench201) -> None:
    ranking = [Architecture(space.name, (choice, choice, 0, 0, 0, choice)) for choice in (1, 3, 0)]
    searcher = LocalSearch(space, first=ranking)
    run(searcher, 3)
    assert differences(run(searcher, 1)[0], ranking[1]) == 1


def test_at_the_top_it_can_go_on_from_the_next_best(space: NASBench201) -> None:
    top = Architecture(space.name, BEST)
    searcher = LocalSearch(space, first=[top], at_optimum="next_best")
    run(searcher, 25)
    next_best = Architecture(space.name, (0, 3, 3, 3, 3, 3))
    assert value(run(searcher, 1)[0]) <= value(next_best)
    assert all(2 in (differences(arch, top), differences(arch, top) + 1) for arch in run(searcher, 40))


def test_a_portion_that_is_larger_than_the_neighbourhood_is_filled_up(space: NASBench201) -> None:
    start = Architecture(space.name, (0,) * 6)
    searcher = LocalSearch(space, first=[start])
    run(searcher, 1)
    asked = searcher.ask(40)
    assert set(space.neighbours(start)) <= set(asked)
    searcher.tell(asked, [value(arch) for arch in asked])
    best = max(asked, key=value)
    assert differences(run(searcher, 1)[0], best) == 1


@pytest.mark.parametrize(
    ("options", "word"), [({"starts": 0}, "starts=0"), ({"at_optimum": "stop"}, "restart, next_best")]
)
def test_impossible_options_are_told(space: NASBench201, options: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        LocalSearch(space, **options)  # type: ignore[arg-type]
