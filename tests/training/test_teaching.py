"""A generator's records by a surrogate: what the surrogate believes best, of each task, and nothing else."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from metad2a.errors import ConfigError
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.surrogate import Surrogate
from metad2a.spaces.mobilenetv3_compact import CompactMobileNetV3
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.training.meta_data import MetaData
from metad2a.training.surrogate import fit_surrogate, set_means
from metad2a.training.teaching import taught


@pytest.fixture
def data(make_data: Callable[..., MetaData]) -> MetaData:
    return make_data(tasks=8, per_task=6)


@pytest.fixture
def teacher(data: MetaData, space: NASBench201) -> Surrogate:
    return fit_surrogate(data, ArchFeatures(space), data.train_rows, images_per_class=4)


def test_each_task_gets_draws_of_what_is_best_for_it(
    data: MetaData, teacher: Surrogate, space: NASBench201
) -> None:
    learned = taught(data, teacher, space, share=0.01, per_task=20, images_per_class=4, seed=0)
    phi = torch.from_numpy(ArchFeatures(space).matrix(list(space.enumerate()))).double()
    place = {space.format(arch): row for row, arch in enumerate(space.enumerate())}
    ranks = []
    for task, mean in enumerate(set_means(data, np.arange(8), 4)):
        own = learned.arch_of[learned.task_of == task].tolist()
        assert len(set(own)) == 20
        scores = phi @ teacher.mean_weights(teacher.set_vector(mean))
        rank = scores.argsort(descending=True).argsort()
        ranks += [int(rank[place[learned.arch_names[arch]]]) for arch in own]
    assert 100 < np.mean(ranks) < 250  # 156 are 1 %
    assert torch.equal(torch.unique(learned.task_of[learned.valid]), torch.unique(data.task_of[data.valid]))
    assert [space.format(a) for a in space.decode(learned.archs) if a] == list(learned.arch_names)


def test_in_a_large_space_networks_of_all_sizes_are_thought_of(data: MetaData) -> None:
    """Uniform ones are all of middling size: none of them is as large as those that this teacher likes best."""
    space = CompactMobileNetV3()
    archs = space.sample(len(data.arch_names), np.random.default_rng(0))
    params = torch.from_numpy(space.params(archs, 10)).float()
    known = replace(
        data,
        archs=space.encode(archs),
        arch_names=tuple(map(space.format, archs)),
        accuracy=params[data.arch_of] / params.max() * 100,
    )
    teacher = fit_surrogate(known, ArchFeatures(space), known.train_rows, images_per_class=4)
    learned = taught(known, teacher, space, share=0.001, per_task=20, images_per_class=4, seed=0)
    drawn = space.params(space.decode(learned.archs), 10)
    assert np.median(drawn) > space.params(space.sample(10_000, np.random.default_rng(1)), 10).max()


def test_what_is_novel_is_what_was_never_trained(data: MetaData, teacher: Surrogate, space: NASBench201) -> None:
    learned = taught(data, teacher, space, share=0.01, per_task=20, images_per_class=4, seed=0)
    assert learned.arch_frequencies() == data.arch_frequencies()


def test_bad_shares(data: MetaData, teacher: Surrogate, space: NASBench201) -> None:
    for share, per_task in ((0.0, 5), (1.5, 5), (0.1, 0)):
        with pytest.raises(ConfigError, match="give a share"):
            taught(data, teacher, space, share=share, per_task=per_task, images_per_class=4, seed=0)
