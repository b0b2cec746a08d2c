"""Numbers that describe an architecture to a kernel model: decisions, pairs of them, scores known for free."""

from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from metad2a.errors import ConfigError, unknown_name
from metad2a.runtime import shipped
from metad2a.spaces.base import Architecture
from metad2a.spaces.product import ProductSpace

if TYPE_CHECKING:
    import pyarrow as pa

PAIR_WEIGHT = 0.5
SIZE_WEIGHT = 0.5
SCORE_WEIGHT = 2.0
MOST_PAIRS = 1000
"""Spaces of more pairs have their decisions alone: no database could tell thousands of pairs apart."""
PARTS = ("pairs", "scores", "means")
_CLASSES = 10  # of the networks whose sizes are compared; their number changes no order


class ArchFeatures:
    """The features of the architectures of one space.

    They are the one-hot decisions that the network depends on, in small spaces the products of any two of them,
    the number of parameters, and, where the package ships a table of them (``data/scores``), training-free scores.
    Isomorphic architectures compute the same, so there all of a class get the mean of its members' features.

    Args:
        space: of the architectures.
        without: parts that are left out, to see what they are worth: ``pairs`` of decisions, training-free
            ``scores``, ``means`` over isomorphic architectures.

    Raises:
        ConfigError: the space's table is not of this space.
        UnknownNameError: there is no such part.
    """

    def __init__(self, space: ProductSpace, *, without: Collection[str] = ()) -> None:
        for name in without:
            if name not in PARTS:
                raise unknown_name("part of the features", name, PARTS)
        self.space, self.without = space, without

    def matrix(self, archs: Sequence[Architecture]) -> Float[np.ndarray, "A D"]:
        """Return the features of each architecture, float32."""
        if self._table is None:
            return self._raw(archs)
        return self._all[[self._place[arch] for arch in archs]]

    def _raw(self, archs: Sequence[Architecture]) -> Float[np.ndarray, "A D"]:
        options = self.space.options
        one_hot = np.zeros((len(archs), sum(options)), np.float32)
        place = np.cumsum([0, *options[:-1]]) + self.space.choices(archs)
        one_hot[np.arange(len(archs))[:, None], place] = self.space.used(archs)
        decision = np.repeat(np.arange(len(options)), options)
        first, second = np.nonzero(decision[:, None] < decision[None, :])
        if len(first) > MOST_PAIRS or "pairs" in self.without:
            first = second = first[:0]
        sizes = np.log(np.maximum(self.space.params(archs, _CLASSES), 1)).astype(np.float32)
        return np.concatenate(
            [one_hot, PAIR_WEIGHT * one_hot[:, first] * one_hot[:, second], SIZE_WEIGHT * sizes[:, None]], axis=1
        )

    @cached_property
    def _table(self) -> "pa.Table | None":
        from pyarrow import parquet  # not pandas, whose import takes longer

        path = scores_file(self.space.name)
        if not self.space.listable or not path.is_file():
            return None
        table = parquet.read_table(path)
        if len(table) != self.space.size:
            raise ConfigError(f"{path} has {len(table):,} rows, but '{self.space.name}' {self.space.size:,}.")
        return table

    @cached_property
    def _archs(self) -> list[Architecture]:
        return list(self.space.enumerate())

    @cached_property
    def _place(self) -> dict[Architecture, int]:
        return {arch: place for place, arch in enumerate(self._archs)}

    @cached_property
    def _all(self) -> Float[np.ndarray, "A D"]:
        table = self._table
        assert table is not None  # noqa: S101  (whoever comes here has looked)
        own = self._raw(self._archs)
        if "means" not in self.without:
            own = class_means(own, table["isomorphic"].to_numpy())
        names = [name for name in table.column_names if name not in ("arch", "isomorphic")]
        scores = [normal_ranks(table[name].to_numpy()) for name in names if "scores" not in self.without]
        return np.concatenate([own, *(SCORE_WEIGHT * score[:, None] for score in scores)], axis=1)


def scores_file(space: str) -> Path:
    """Return where the training-free scores of a space's architectures are shipped, if they are."""
    return shipped("data", "scores", f"{space}.parquet")


def class_means(features: Float[np.ndarray, "A D"], classes: Int[np.ndarray, " A"]) -> Float[np.ndarray, "A D"]:
    """Return the features with each row replaced by the mean over its class."""
    order = np.argsort(classes, kind="stable")
    starts = np.flatnonzero(np.diff(classes[order], prepend=classes[order][0] - 1))
    sums = np.add.reduceat(features[order], starts, axis=0)
    means = sums / np.diff(starts, append=len(order))[:, None].astype(np.float32)
    return means[np.unique(classes, return_inverse=True)[1]]


def normal_ranks(values: Float[np.ndarray, " A"]) -> Float[np.ndarray, " A"]:
    """Return what the ranks of ``values`` would be of normally distributed ones; equal values stay equal."""
    from scipy.special import ndtri  # not scipy.stats, whose import takes as long as a search

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    normal: Float[np.ndarray, " A"] = ndtri((ranks - 0.5) / len(ranks)).astype(np.float32)
    return normal
