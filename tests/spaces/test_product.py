"""What holds for spaces of independent decisions with different numbers of choices."""

import numpy as np
import pytest

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import Architecture
from metad2a.spaces.product import ProductSpace


class Uneven(ProductSpace):
    """Decisions with one, two and four choices; names, graphs and networks are not needed here."""

    name = "uneven"
    options = (1, 2, 4)


class Huge(Uneven):
    options = (1000,) * 20


# The rest of a space is abstract, and no method under test calls it.
for _space in (Uneven, Huge):
    _space.__abstractmethods__ = frozenset()


def arch(*choices: int) -> Architecture:
    return Architecture("uneven", choices)


def test_sampling_is_uniform() -> None:
    table = Uneven().choices(Uneven().sample(8000, np.random.default_rng(0)))
    _, counts = np.unique(table, axis=0, return_counts=True)
    assert len(counts) == Uneven().size == 8
    assert counts.min() > 850
    assert counts.max() < 1150


def test_mutation_reaches_exactly_the_neighbours() -> None:
    rng = np.random.default_rng(0)
    mutants = {Uneven().mutate(arch(0, 1, 2), rng) for _ in range(200)}
    assert mutants == set(Uneven().neighbours(arch(0, 1, 2)))
    assert mutants == {arch(0, 0, 2), arch(0, 1, 0), arch(0, 1, 1), arch(0, 1, 3)}


def test_crossover_reaches_every_mixture() -> None:
    rng = np.random.default_rng(0)
    children = {Uneven().crossover(arch(0, 0, 1), arch(0, 1, 3), rng) for _ in range(100)}
    assert children == {arch(0, first, second) for first in (0, 1) for second in (1, 3)}


def test_counting_changes_the_last_decision_first() -> None:
    assert list(Uneven().enumerate()) == [arch(0, a, b) for a in range(2) for b in range(4)]


def test_a_huge_space_is_not_listed() -> None:
    assert Huge().size == 10**60
    with pytest.raises(ArchitectureError, match="cannot be listed"):
        Huge().enumerate()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Architecture("even", (0, 0, 0)), "belongs to the space 'even', not to 'uneven'"),
        (arch(0, 0), "has 2 choices.*has 3"),
        (arch(0, 2, 0), r"choice 1 is 2, but must lie in 0\.\.1"),
        (arch(0, 0, -1), r"choice 2 is -1, but must lie in 0\.\.3"),
    ],
)
def test_wrong_architectures_are_explained(wrong: Architecture, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        Uneven().choices([arch(0, 1, 2), wrong])
