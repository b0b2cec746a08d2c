"""The cheapest or best architectures by a number that is known of each, and architectures of all sizes."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.product import ProductSpace

Score = Callable[[Sequence[Architecture]], Float[np.ndarray, " A"]]
_CLASSES = 10  # of the networks whose sizes are compared; their number changes no order


def best_by(space: SearchSpace, score: Score) -> Architecture:
    """Return the architecture of the highest score: of all, or in large spaces from neighbour to neighbour.

    The second way finds it where each decision has a best choice whatever the others are, as with costs.
    """
    if space.listable:
        archs = list(space.enumerate())
        return archs[int(score(archs).argmax())]
    [best] = space.sample(1, numpy_rng("extreme"))
    most = -math.inf
    while (here := float(score([best])[0])) > most:
        most = here
        near = space.neighbours(best)
        scores = score(near)
        tried = [best, near[int(scores.argmax())]]
        if isinstance(space, ProductSpace):
            # All decisions that are better by themselves at once, and if that is no good the best one.
            changed = list(best.choices)
            for i in np.argsort(scores):  # the best of a decision comes last
                if scores[i] > here:
                    place = next(p for p, choice in enumerate(near[i].choices) if choice != best.choices[p])
                    changed[place] = near[i].choices[place]
            tried.insert(1, Architecture(best.space, tuple(changed)))
        best = tried[int(score(tried).argmax())]
    return best


def sample_sizes(space: ProductSpace, n: int, rng: np.random.Generator) -> list[Architecture]:
    """Return ``n`` architectures of all sizes: the smallest, the largest, and random ones in between.

    Of many decisions drawn uniformly, about as many make a network larger as make it smaller: in a large space
    all are of middling size. So each of these is a uniform one that takes every decision from the smallest or from
    the largest network with a chance of its own, drawn uniformly from 0 to 1.
    """
    ends = _smallest_and_largest(space)
    options = np.array(space.options)
    # One block of numbers, a row each, so that more architectures begin with the fewer.
    draws = rng.random((max(n - len(ends), 0), 2 + 2 * len(options)))
    side, chance, takes, uniform = np.split(draws, [1, 2, 2 + len(options)], axis=1)
    end = np.where(side < 0.5, *space.choices(ends))
    mixed = np.where(takes < chance, end, (uniform * options).astype(np.int64))
    drawn = [*ends, *(Architecture(space.name, tuple(row)) for row in mixed.tolist())]
    # As graphs and back: a space may write what a network does not use in one way only.
    return [arch for arch in space.decode(space.encode(drawn[:n])) if arch is not None]


@lru_cache(maxsize=8)  # asked for once a task
def _smallest_and_largest(space: ProductSpace) -> tuple[Architecture, Architecture]:
    def params(archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        return space.params(archs, _CLASSES).astype(float)

    return best_by(space, lambda archs: -params(archs)), best_by(space, params)
