"""What a checkpoint keeps of its meta-training."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from metad2a.data.features import FeatureSet
from metad2a.errors import CheckpointError
from metad2a.models.reference import Reference, class_means, cosine_distances
from metad2a.training import reference as kept_of
from metad2a.training.meta_data import MetaData
from metad2a.training.ranking import pair_error
from metad2a.training.reference import reference_of

MakeData = Callable[..., MetaData]


def features(*counts: int) -> FeatureSet:
    rows = torch.randn(sum(counts), 6, generator=torch.Generator().manual_seed(0))
    names = [f"class {number}" for number in range(len(counts))]
    return FeatureSet(rows, np.repeat(np.arange(len(counts)), counts), names, embedder="pixels", name="some")


def angle_distance(a: Float[Tensor, " F"], b: Float[Tensor, " F"]) -> float:
    return float(1 - (a @ b) / (a.norm() * b.norm()))


def test_the_mean_of_a_class_is_spread_over_its_images() -> None:
    some = features(1, 3, 8)
    means = class_means(some, torch.tensor([2, 0, 1]), 4)
    blocks = some.blocks()
    expected = torch.stack([blocks[2][[0, 2, 4, 6]].mean(0), blocks[0][0], blocks[1].mean(0)])
    torch.testing.assert_close(means, expected)


def test_it_knows_the_tasks_of_meta_training_alone(make_data: MakeData) -> None:
    data = make_data(tasks=12, per_task=4, noise=1.0)
    reference = reference_of(data, 5)
    rows = data.train_rows
    known = data.task_of[rows].unique()
    assert 0 < len(reference.tasks) == len(known) < len(data.tasks)
    for number, task in enumerate(known.tolist()):
        mine = rows[data.task_of[rows] == task]
        assert [reference.classes[c] for c in reference.tasks[number]] == [
            data.features.classes[c] for c in data.tasks[task]
        ]
        assert reference.accuracy[number].item() == pytest.approx(data.accuracy[mine].mean().item(), rel=1e-5)
        best = mine[data.accuracy[mine].argmax()]
        assert reference.best_accuracy[number] == data.accuracy[best]
        assert reference.archs[reference.best[number]] == data.arch_names[data.arch_of[best]]


def test_of_many_tasks_some_are_kept(make_data: MakeData, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data(tasks=12, per_task=1)
    every = reference_of(data, 5)
    monkeypatch.setattr(kept_of, "MAX_TASKS", 3)
    few = reference_of(data, 5)
    names = [[[r.classes[c] for c in task] for task in r.tasks] for r in (few, every)]
    assert names[0] == [names[1][0], names[1][round((len(names[1]) - 1) / 2)], names[1][-1]]


def test_loneliness_is_the_distance_to_the_nearest_other_class() -> None:
    some = features(*[2] * 8, *[7] * 11)
    sizes, quantiles = kept_of._loneliness(some, torch.arange(19), 20)
    assert kept_of._loneliness(some, torch.arange(19), 2)[0] == (1, 2)
    assert sizes == (1, 2, 5)  # eleven classes have five images, none has ten
    whole = [block.mean(0) for block in some.blocks()]
    five = [block[[0, 1, 2, 4, 5]].mean(0) for block in some.blocks()[8:]]
    nearest = [
        min(angle_distance(mean, other) for o, other in enumerate(whole) if o != number)
        for number, mean in enumerate(five, start=8)
    ]
    assert quantiles[2, [0, 50, 100]].tolist() == pytest.approx(np.quantile(nearest, [0, 0.5, 1]), rel=1e-4)


def test_a_percentile_says_how_many_classes_are_less_alone(make_reference: Callable[..., Reference]) -> None:
    reference = make_reference(sizes=(1, 5), loneliness=torch.linspace(0, 1, 101) * torch.tensor([[1.0], [0.5]]))
    distances = torch.tensor([0.25, 0.5, 3.0])
    assert reference.percentiles(distances, 1).tolist() == pytest.approx([25, 50, 100], abs=1e-3)
    assert reference.percentiles(distances, 5).tolist() == pytest.approx([50, 100, 100], abs=1e-3)


def test_the_cosine_distance_forgets_lengths() -> None:
    a, b = torch.tensor([[1.0, 0.0], [0.0, 5.0]]), torch.tensor([[3.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(cosine_distances(a, b), torch.tensor([[0.0, 2.0], [1.0, 1.0]]))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tasks": torch.tensor([[0, 99]])}, "tasks"),
        ({"accuracy": torch.zeros(7)}, "accuracy"),
        ({"best": torch.tensor([0, 0, 2, 0])}, "best"),
        ({"classes": ["one"]}, "means"),
        ({"sizes": [1, 2, 3]}, "loneliness"),
    ],
)
def test_what_does_not_fit_is_refused(
    make_reference: Callable[..., Reference], change: dict[str, Any], named: str
) -> None:
    reference = make_reference()
    header = {name: change.get(name, value) for name, value in reference.header().items()}
    tensors = {name: change.get(name, value) for name, value in reference.tensors().items()}
    with pytest.raises(CheckpointError, match=f"damaged.*{named}"):
        Reference.restore(header, tensors)


def test_the_error_of_pairs_is_that_of_every_pair() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([3, 3, 3, 8, 5, 5, 3])
    predicted, true = rng.normal(size=(2, 7))
    errors = [
        (predicted[a] - predicted[b]) - (true[a] - true[b])
        for a, b in combinations(range(7), 2)
        if groups[a] == groups[b]
    ]
    value, pairs = pair_error(predicted, true, groups)
    assert pairs == len(errors) == 7
    assert value == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert pair_error(predicted + 5.0 * groups, true, groups)[0] == pytest.approx(value)
    assert pair_error(predicted[:2], true[:2], np.array([1, 2]))[1] == 0
