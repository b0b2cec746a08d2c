"""Better candidates from good ones: the neighbours of the best are looked at, and theirs, as long as it helps."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from metad2a.search.constraints import Costs, Limits
from metad2a.spaces.base import Architecture

_BEAM = 50

Draws = Callable[[Sequence[Architecture]], Float[np.ndarray, "D A"]]


def refine(
    archs: Sequence[Architecture], predict: Draws, costs: Costs, limits: Limits, *, rounds: int
) -> tuple[list[Architecture], Float[np.ndarray, "D N"]]:
    """Return the ``len(archs)`` best of ``archs`` and of what was found around them, with their predictions.

    In each round the neighbours of the 50 best are predicted, those within the limits.

    Args:
        archs: distinct architectures within the limits.
        predict: the predicted accuracy of each on several draws of the data set.
        costs: of the architectures.
        limits: that must be kept.
        rounds: at most; it ends when a round finds nothing that belongs to the best.
    """
    known, draws = list(archs), predict(archs)
    for _ in range(rounds):
        best = np.argsort(-draws.mean(0), kind="stable")
        seen = set(known)
        near = dict.fromkeys(
            arch for place in best[:_BEAM] for arch in costs.space.neighbours(known[place]) if arch not in seen
        )
        allowed = limits.admits(costs, list(near)).tolist()
        new = [arch for arch, ok in zip(near, allowed, strict=True) if ok]
        if not new:
            break
        worst_kept = draws.mean(0)[best[len(archs) - 1]]
        more = predict(new)
        known, draws = known + new, np.concatenate([draws, more], axis=1)
        if not (more.mean(0) > worst_kept).any():
            break
    kept = np.sort(np.argsort(-draws.mean(0), kind="stable")[: len(archs)])
    return [known[place] for place in kept], draws[:, kept]
