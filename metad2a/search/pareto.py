"""Which candidates nobody beats in both accuracy and a cost."""

import numpy as np
from jaxtyping import Float

COSTS = ("params", "flops", "latency_ms", "memory_mb")
"""The costs of a candidate, by the names of its fields."""


def pareto_front(value: Float[np.ndarray, " A"], cost: Float[np.ndarray, " A"]) -> list[int]:
    """Return the positions that no other one beats, cheapest first.

    One beats another that is no better in ``value`` (more is better) and no cheaper in ``cost``, and worse in one
    of them. Of equals the first stays.
    """
    front: list[int] = []
    best = -np.inf
    for i in np.lexsort((-value, cost)).tolist():
        if value[i] > best:
            front.append(i)
            best = value[i]
    return front
