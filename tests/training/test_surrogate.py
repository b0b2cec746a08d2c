"""A database whose truth is known: the surrogate finds it, and what is special to like data sets."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.errors import DatabaseError
from metad2a.models.arch_features import ArchFeatures
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.training.meta_data import MetaData
from metad2a.training.surrogate import fit_surrogate, set_means
from metad2a.training.task_ranks import ranks_of

TASKS, EACH = 12, 10


@pytest.fixture
def data(space: NASBench201) -> MetaData:
    """Two kinds of data sets: in both 3x3 convolutions are good; skips are good in one and bad in the other."""
    rng = numpy_rng("made up")
    archs = space.sample(TASKS * EACH, rng)
    kind = np.arange(TASKS) % 2
    classes = torch.randn(TASKS, 6, generator=torch_rng("classes")) + 4.0 * torch.from_numpy(kind)[:, None]
    features = FeatureSet(
        classes.repeat_interleave(3, 0) + 0.1 * torch.randn(3 * TASKS, 6, generator=torch_rng("images")),
        np.repeat(np.arange(TASKS), 3),
        [f"class {number:02d}" for number in range(TASKS)],
        embedder="made up",
        name="made up",
    )
    task = np.repeat(np.arange(TASKS), EACH)
    merit = np.array([sum(c == 3 for c in a.choices) for a in archs], float)
    skips = np.array([sum(c == 1 for c in a.choices) for a in archs], float)
    accuracy = (
        50 + 10 * task + merit + np.where(kind[task] == 1, 1.5, -1.5) * skips + 0.1 * rng.normal(size=len(task))
    )
    return MetaData(
        features=features,
        tasks=torch.arange(TASKS)[:, None],
        archs=space.encode(archs),
        arch_names=tuple(space.format(arch) for arch in archs),
        task_of=torch.from_numpy(task),
        arch_of=torch.arange(len(archs)),
        accuracy=torch.from_numpy(accuracy).float(),
        valid=torch.from_numpy(task >= TASKS - 2),
    )


@pytest.mark.parametrize("rho", [3.0, 0.0])
def test_what_is_common_and_what_is_special(data: MetaData, space: NASBench201, rho: float) -> None:
    made = ArchFeatures(space)
    model = fit_surrogate(data, made, data.train_rows, images_per_class=3, rho=rho)
    means = set_means(data, np.array([TASKS - 2, TASKS - 1]), 3)  # of kinds 0 and 1
    probes = [space.parse(text) for text in (CONV, SKIP, NOTHING)]
    phi = torch.from_numpy(made.matrix(probes))
    scores = [model.posterior(model.set_vector(mean)).predict(phi)[0].tolist() for mean in means]
    for conv, _, nothing in scores:
        assert conv > nothing
    gains = [skip - nothing for _, skip, nothing in scores]
    if rho:
        assert gains[0] < 0 < gains[1]
    else:
        assert gains[0] == pytest.approx(gains[1])


CONV = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"
SKIP = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
NOTHING = "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|none~0|none~1|avg_pool_3x3~2|"


def test_what_only_one_source_says_is_believed_of_it_alone(data: MetaData, space: NASBench201) -> None:
    """Skips are bad in half of the data sets, each from elsewhere, good in the other half, all of one source."""
    sources = tuple("one" if task % 2 else f"source {task}" for task in range(TASKS))
    made = ArchFeatures(space)
    phi = torch.from_numpy(made.matrix([space.parse(text) for text in (SKIP, NOTHING)]))
    gains = []
    for sigma in (0.0, 10.0):
        model = fit_surrogate(
            replace(data, sources=sources), made, data.train_rows, images_per_class=3, rho=0.0, sigma=sigma
        )
        skip, nothing = model.posterior(torch.zeros(model.sets.shape[1])).predict(phi)[0].tolist()
        gains.append(skip - nothing)
    assert gains[1] < gains[0]


def test_losses_tell_what_accuracies_cannot(data: MetaData) -> None:
    rows = torch.arange(EACH)
    level = replace(data, accuracy=torch.full_like(data.accuracy, 50.0))
    losses = torch.linspace(3.0, 1.0, len(data.accuracy))[:, None].repeat(1, 2).double()
    ranks = ranks_of(replace(level, losses=losses), rows, label="curve")
    assert (np.diff(ranks.target) > 0).all()  # the loss falls from row to row
    unknown = ranks_of(replace(data, losses=torch.full_like(losses, torch.nan)), rows, label="curve")
    np.testing.assert_allclose(unknown.target, ranks_of(data, rows).target)
    with pytest.raises(DatabaseError, match="with_losses"):
        ranks_of(data, rows, label="curve")


def test_repeated_pairs_count_once_and_small_tasks_not_at_all(data: MetaData) -> None:
    rows = torch.cat([torch.arange(EACH), torch.arange(3), torch.arange(EACH, EACH + 3)])
    ranks = ranks_of(data, rows)
    assert ranks.tasks.tolist() == [0]
    assert ranks.count.tolist() == [2, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert np.argsort(ranks.target).tolist() == torch.argsort(data.accuracy[:EACH]).tolist()
    with pytest.raises(DatabaseError, match="4 architectures or more"):
        ranks_of(data, torch.arange(3))
