"""What a generator learns from where labels are few: the architectures that a surrogate believes to be the best."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metad2a.errors import ConfigError
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.surrogate import Surrogate
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture
from metad2a.spaces.extremes import sample_sizes
from metad2a.spaces.product import ProductSpace
from metad2a.training.meta_data import MetaData
from metad2a.training.surrogate import set_means

_POOL = 20_000  # architectures drawn from a space that is too large to list, and as many of all sizes


def taught(
    data: MetaData,
    teacher: Surrogate,
    space: ProductSpace,
    *,
    share: float,
    per_task: int,
    images_per_class: int,
    seed: int,
) -> MetaData:
    """Return ``data`` with other records: for each task draws from the space, the best by ``teacher`` most likely.

    A database has a handful of labels a task, of which few are good. What it says of all architectures is in a
    surrogate of it; so the generator is made to propose what the surrogate ranks first (distillation: Hinton,
    Vinyals and Dean, 2015), and validated by how well it does so on data sets that neither has seen.

    Args:
        data: the database that ``teacher`` was made of.
        teacher: a surrogate.
        space: of the architectures.
        share: mean rank of what is drawn, as a share of the space; greater ranks are exponentially less likely.
        per_task: architectures drawn for each task, without replacement.
        images_per_class: of which a task's vector is made, at most.
        seed: of the draws.

    Raises:
        ConfigError: ``share`` or ``per_task`` is out of range.
    """
    if not 0 < share <= 1 or per_task < 1:
        raise ConfigError(f"share={share}, per_task={per_task}: give a share above 0 and up to 1, and 1 or more.")
    pool = _pool(space, seed)
    tasks = torch.unique(data.task_of)
    scores = _scores(data, teacher, space, pool, tasks, images_per_class)
    drawn = _by_rank(scores, share=share, per_task=per_task, rng=numpy_rng("teaching", seed))
    used, number = np.unique(drawn, return_inverse=True)
    chosen = [pool[place] for place in used]
    told = teacher.target_mean + teacher.target_std * scores.gather(1, torch.from_numpy(drawn))
    held_out = torch.isin(tasks, data.task_of[data.valid_rows])
    return replace(
        data,
        archs=space.encode(chosen),
        arch_names=tuple(map(space.format, chosen)),
        task_of=tasks.repeat_interleave(drawn.shape[1]),
        arch_of=torch.from_numpy(number.reshape(-1)),
        accuracy=told.flatten().float(),
        valid=held_out.repeat_interleave(drawn.shape[1]),
        losses=None,
        recipes=(),
        recipe_of=None,
        labelled=tuple(data.arch_frequencies()),
    )


def _by_rank(
    scores: Float[Tensor, "T A"], *, share: float, per_task: int, rng: np.random.Generator
) -> Int[np.ndarray, "T D"]:
    """Draw columns of each row, the first ranks the most likely: exponentially, of mean ``share`` of all."""
    rank = scores.argsort(dim=1, descending=True, stable=True).argsort(dim=1).numpy()
    # The greatest of log-probabilities with Gumbel noise are draws without replacement.
    keys = -rank / (share * rank.shape[1]) + rng.gumbel(size=rank.shape)
    return np.argsort(-keys, axis=1)[:, :per_task]


def _pool(space: ProductSpace, seed: int) -> list[Architecture]:
    if space.listable:
        return list(space.enumerate())
    uniform = space.sample(_POOL, numpy_rng("teaching-pool", seed))
    return list(dict.fromkeys([*uniform, *sample_sizes(space, _POOL, numpy_rng("teaching-pool sizes", seed))]))


def _scores(
    data: MetaData,
    teacher: Surrogate,
    space: ProductSpace,
    pool: list[Architecture],
    tasks: Tensor,
    images_per_class: int,
) -> Float[Tensor, "T A"]:
    """Return what the teacher believes of each architecture on each task."""
    means = set_means(data, tasks.numpy(), images_per_class)
    weights = torch.stack([teacher.mean_weights(teacher.set_vector(mean)) for mean in means])
    return weights.float() @ torch.from_numpy(ArchFeatures(space).matrix(pool)).T
