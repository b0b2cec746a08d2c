"""Better candidates from good ones: the neighbours of the best are looked at, and theirs, as long as it helps."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float

from metad2a.search.constraints import Costs, Limits
from metad2a.spaces.base import Architecture, SearchSpace

_BEAM = 50

Draws = Callable[[Sequence[Architecture]], Float[np.ndarray, "D A"]]


def refine(
    archs: Sequence[Architecture], predict: Draws, costs: Costs, limits: Limits, *, rounds: int
) -> tuple[list[Architecture], Float[np.ndarray, "D N"]]:
    """Return the ``len(archs)`` best of ``archs`` and of what was found around them, with their predictions.

    In each round the neighbours of the 50 best are predicted, those within the limits. Of architectures with one
    canonical form a second one would only say the same again: it stays where limits leave nothing in its place.

    Args:
        archs: distinct architectures within the limits.
        predict: the predicted accuracy of each on several draws of the data set.
        costs: of the architectures.
        limits: that must be kept.
        rounds: at most; it ends when a round finds nothing that belongs to the best. 0: all stay as they are.
    """
    if not rounds:
        return list(archs), predict(archs)
    space = costs.space
    seen: set[str] = set()
    known = _unseen(space, archs, seen)
    first = set(known)
    twins = [arch for arch in archs if arch not in first]
    draws = predict(known)
    for _ in range(rounds):
        best = np.argsort(-draws.mean(0), kind="stable")
        near = list(dict.fromkeys(arch for place in best[:_BEAM] for arch in space.neighbours(known[place])))
        allowed = limits.admits(costs, near).tolist()
        new = _unseen(space, (arch for arch, ok in zip(near, allowed, strict=True) if ok), seen)
        if not new:
            break
        full = len(known) >= len(archs)
        worst = draws.mean(0)[best[: len(archs)][-1]]
        more = predict(new)
        known, draws = known + new, np.concatenate([draws, more], axis=1)
        if full and not (more.mean(0) > worst).any():
            break
    if fill := twins[: max(len(archs) - len(known), 0)]:
        known, draws = known + fill, np.concatenate([draws, predict(fill)], axis=1)
    kept = np.sort(np.argsort(-draws.mean(0), kind="stable")[: len(archs)])
    return [known[place] for place in kept], draws[:, kept]


def _unseen(space: SearchSpace, archs: Iterable[Architecture], seen: set[str]) -> list[Architecture]:
    """Return the first architecture of each canonical form that is not ``seen``; from now on it is."""
    new = []
    for arch in archs:
        text = space.canonical(arch)
        if text not in seen:
            seen.add(text)
            new.append(arch)
    return new
