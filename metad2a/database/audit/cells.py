"""The same cell twice: within a task, between parts of a split, under another name."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Cells:
    """How often cells repeat.

    Attributes:
        distinct: different cells.
        functions: different functions; isomorphic cells, which compute the same, count once.
        repeated: labels of a cell that has another label on the same task.
        repeated_unknown: those of them whose seed is unknown, or that share recipe and seed with another.
        isomorphic: cells on a task, beyond the first, that compute the same function as another cell there.
    """

    distinct: int
    functions: int
    repeated: int
    repeated_unknown: int
    isomorphic: int


def count_cells(labels: pd.DataFrame) -> Cells:
    """Count repeated and isomorphic cells.

    Args:
        labels: with columns ``task``, ``arch``, ``canonical``, ``recipe``, ``seed``.
    """
    of_task = labels.groupby(["task", "arch"], sort=False)
    repeated = of_task["arch"].transform("size") > 1
    same = labels.duplicated(["task", "arch", "recipe", "seed"], keep=False)
    return Cells(
        distinct=labels["arch"].nunique(),
        functions=labels["canonical"].nunique(),
        repeated=int(repeated.sum()),
        repeated_unknown=int((repeated & (labels["seed"].isna() | same)).sum()),
        isomorphic=of_task.ngroups - labels.groupby(["task", "canonical"], sort=False).ngroups,
    )
