"""What the records of a database teach a generator that can be told what is wanted."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from metad2a.models.wishes import ACCURACY
from metad2a.spaces.base import SearchSpace
from metad2a.training.meta_data import MetaData
from metad2a.training.within_tasks import within_tasks

DROPPED = 0.2
"""Share of the conditions that a record of meta-training does not tell, so that the generator can do without."""
_CLASSES = 10  # of the networks whose costs are told; their number changes next to nothing


@dataclass(frozen=True)
class Conditions:
    """The conditions of all records.

    Attributes:
        told: of each record its conditions as ``Wishes`` takes them; NaN where a task has too few architectures.
        kept: of each condition mean, standard deviation and greatest value over meta-training.
    """

    told: Float[Tensor, "R N"]
    kept: dict[str, tuple[float, float, float]]


def conditions_of(data: MetaData, names: Sequence[str], space: SearchSpace) -> Conditions:
    """Return what each record's architecture meets.

    An accuracy is its normal rank among the records of the task, under one recipe; a cost its logarithm.

    Args:
        data: the records.
        names: of ``metad2a.models.wishes.CONDITIONS``.
        space: of the architectures.

    Raises:
        DatabaseError: no task has enough architectures to be ranked.
    """
    archs = [space.parse(name) for name in data.arch_names]
    columns = []
    for name in names:
        if name == ACCURACY:
            columns.append(_standing(data))
            continue
        params, flops = space.params(archs, _CLASSES), space.flops(archs, _CLASSES, space.resolution)
        costs = torch.from_numpy(flops if name == "flops" else params).double()
        columns.append(costs.log().float()[data.arch_of])
    kept = {name: _spread(column[data.train_rows]) for name, column in zip(names, columns, strict=True)}
    return Conditions(torch.stack(columns, dim=1), kept)


def _standing(data: MetaData) -> Float[Tensor, " R"]:
    known = within_tasks(data, torch.arange(len(data.accuracy)))
    standing = torch.full_like(known.rank, torch.nan)
    standing[known.rows] = known.rank[known.rows]
    return standing


def _spread(column: Float[Tensor, " R"]) -> tuple[float, float, float]:
    told = column[~column.isnan()].double()
    return float(told.mean()), float(told.std(correction=0).clamp_min(1e-6)), float(told.max())
