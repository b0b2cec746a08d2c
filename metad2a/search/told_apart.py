"""With how many decimals people are shown predicted accuracies."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

_FEWEST, _MOST = 2, 4


def told_apart(numbers: Sequence[float]) -> list[Decimal]:
    """Return the numbers of a table's rows, all with as few decimals as tell neighbours apart: two to four."""
    for decimals in range(_FEWEST, _MOST):
        if all(_rounded(a, decimals) != _rounded(b, decimals) for a, b in _neighbours(numbers)):
            return [_rounded(number, decimals) for number in numbers]
    return [_rounded(number, _MOST) for number in numbers]


def _neighbours(numbers: Sequence[float]) -> list[tuple[float, float]]:
    """Return those that can be told apart at all."""
    return [(a, b) for a, b in pairwise(numbers) if _rounded(a, _MOST) != _rounded(b, _MOST)]


def _rounded(number: float, decimals: int) -> Decimal:
    return Decimal(f"{number:.{decimals}f}")
