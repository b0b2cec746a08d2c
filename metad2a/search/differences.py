"""How candidates differ: what the first ones have in common, and which of them are unlike each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from metad2a.search.result import SearchResult
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.product import ProductSpace

TOP = 20
_MOTIFS = 6
_PICKS = 4
_COMMON = 0.6  # share of the first candidates from which on a choice is common
_UNUSED = -1  # no choice
_MORE = 0.15  # by which it has to exceed that of all candidates


@dataclass(frozen=True)
class Motif:
    """A choice that the first candidates make more often than all of them.

    Attributes:
        name: what is chosen and where.
        top: share of the first candidates, 0 to 1.
        all: share of all candidates.
    """

    name: str
    top: float
    all: float


@dataclass(frozen=True)
class Differences:
    """How candidates differ; a decision is for example the operation on one edge of a cell.

    Attributes:
        top: number of first candidates that were looked at.
        decisions: of one architecture.
        apart: mean number of decisions in which two of the first candidates differ.
        motifs: what they have in common beyond what all candidates do, the most peculiar first.
        shared: choices that all of the first candidates make.
        picks: ranks of candidates, the first among them, that cannot be told from it and are unlike each other.
    """

    top: int
    decisions: int
    apart: float | None
    motifs: tuple[Motif, ...]
    shared: tuple[str, ...]
    picks: tuple[int, ...]


def differences(space: SearchSpace, result: SearchResult, *, tied: int | None) -> Differences:
    """Compare the first candidates with each other and with all.

    Args:
        space: of the candidates.
        result: of the search.
        tied: how many of the first cannot be told apart; None if unknown, then the first ``TOP``.
    """
    table = _choices(space, [space.parse(candidate.arch) for candidate in result.candidates])
    first = table[:TOP]
    unlike = (first[:, None] != first).sum(2)
    pairs = unlike[np.triu_indices(len(first), 1)]
    return Differences(
        top=len(first),
        decisions=table.shape[1],
        apart=float(pairs.mean()) if len(pairs) else None,
        motifs=_motifs(space, first, table),
        shared=tuple(
            space.decision_name(position, int(first[0, position]))
            for position in np.flatnonzero((first == first[0]).all(0) & (first[0] != _UNUSED)).tolist()
            if len(first) > 1
        ),
        picks=diverse(table[: max(tied or TOP, 1)], _PICKS),
    )


def _choices(space: SearchSpace, archs: Sequence[Architecture]) -> Int[np.ndarray, "A D"]:
    """Return the choices; ``_UNUSED`` where the network does not depend on the decision."""
    table = np.array([arch.choices for arch in archs])
    return np.where(space.used(archs), table, _UNUSED) if isinstance(space, ProductSpace) else table


def diverse(table: Int[np.ndarray, "A D"], count: int) -> tuple[int, ...]:
    """Return ranks, 1 first, each as unlike all before as can be; of equals the better ranked."""
    picks = [0]
    distance = (table != table[0]).sum(1)
    while len(picks) < count and distance.max() > 0:
        picks.append(int(distance.argmax()))
        distance = np.minimum(distance, (table != table[picks[-1]]).sum(1))
    return tuple(sorted(pick + 1 for pick in picks))


def _motifs(space: SearchSpace, first: Int[np.ndarray, "T D"], table: Int[np.ndarray, "A D"]) -> tuple[Motif, ...]:
    options = np.arange(table.max() + 1)
    shares = [(part[:, :, None] == options).mean(0) for part in (first, table)]
    top, every = shares
    peculiar = np.where((top >= _COMMON) & (top - every >= _MORE), top - every, 0.0)
    order = np.argsort(-peculiar, axis=None, kind="stable")[:_MOTIFS]
    places = [tuple(int(i) for i in np.unravel_index(flat, peculiar.shape)) for flat in order]
    return tuple(
        Motif(space.decision_name(*place), float(top[place]), float(every[place]))
        for place in places
        if peculiar[place] > 0
    )
