from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.errors import DatabaseError
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import ArchBatch
from metad2a.training.meta_data import MetaData, class_key, join_features
from metad2a.training.ranking import mean_of_repeats, rank_agreement, spearman_within
from metad2a.training.selection import advantage, best_rows

MakeData = Callable[..., MetaData]


def true_merit(data: MetaData) -> np.ndarray:
    """The merit of each record's architecture, from the operations in its text."""
    worth = {"none": -3.0, "skip_connect": 0.5, "nor_conv_1x1": 2.0, "nor_conv_3x3": 4.0, "avg_pool_3x3": -1.0}
    by_arch = [
        sum(value * name.count(f"{operation}~") for operation, value in worth.items()) for name in data.arch_names
    ]
    return np.array(by_arch)[data.arch_of.numpy()]


# --- the records --------------------------------------------------------------------------------------------


def test_the_split_is_a_partition(make_data: MakeData) -> None:
    data = make_data(tasks=8, per_task=5)
    both = torch.cat([data.train_rows, data.valid_rows])
    assert both.sort().values.tolist() == list(range(40))
    assert not data.valid[data.train_rows].any()
    assert data.valid[data.valid_rows].all()
    assert set(data.task_of[data.train_rows].tolist()).isdisjoint(data.task_of[data.valid_rows].tolist())


def test_tasks_that_are_new_in_validation(make_data: MakeData) -> None:
    data = make_data(tasks=8, per_task=5)  # tasks 0 and 1 are for validation
    assert torch.equal(data.new_task_rows, data.valid_rows)
    valid = data.valid.clone()
    valid[0] = False
    assert replace(data, valid=valid).new_task_rows.tolist() == [5, 6, 7, 8, 9], "task 0 is in both parts"


def test_the_target_is_of_meta_training_alone(make_data: MakeData) -> None:
    data = make_data(tasks=8, per_task=5)
    accuracy = data.accuracy.clone()
    accuracy[data.valid_rows] = 99.0
    assert replace(data, accuracy=accuracy).target() == data.target()
    mean, std = data.target()
    assert mean == pytest.approx(float(data.accuracy[data.train_rows].mean()))
    assert std == pytest.approx(float(np.std(data.accuracy[data.train_rows].numpy(), ddof=1)), rel=1e-5)
    assert replace(data, accuracy=torch.full_like(accuracy, 50.0)).target() == (50.0, pytest.approx(1e-6))


def test_architectures_by_frequency(class_features: FeatureSet) -> None:
    data = MetaData(
        features=class_features,
        tasks=torch.tensor([[0, 1], [2, 3]]),
        archs=ArchBatch(torch.zeros(5, 1).long(), torch.zeros(5, 1, 1).bool(), torch.ones(5, 1).bool()),
        arch_names=("a", "b", "c", "d", "unused"),
        #                     twice a     twice b     once d, c   only in validation
        task_of=torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1]),
        arch_of=torch.tensor([0, 0, 1, 1, 3, 2, 3, 3, 4]),
        accuracy=torch.tensor([50.0, 60.0, 55.0, 65.0, 40.0, 40.0, 99.0, 99.0, 99.0]),
        valid=torch.tensor([False] * 6 + [True] * 3),
    )
    assert data.arch_frequencies() == ["b", "a", "c", "d"], "frequent first, then better, then by text"


# --- which records are good ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "per_task"), [(300, 1), (20, 20)], ids=["one record a task, classes shared", "many records a task"]
)
def test_advantage_sees_the_architecture_behind_the_difficulty_of_the_task(
    make_data: MakeData, tasks: int, per_task: int
) -> None:
    data = make_data(tasks=tasks, per_task=per_task, difficulty=10.0, noise=0.5)
    merit = true_merit(data)
    rows = torch.arange(len(merit))
    accuracy = data.accuracy.double().numpy()
    assert rank_agreement(accuracy, merit)["spearman"] < 0.5, "the difficulty of the tasks must hide the merit"
    assert rank_agreement(advantage(data, rows), merit)["spearman"] > 0.9
    chosen = best_rows(data, rows, 0.2)
    good = merit[chosen.numpy()].mean()
    assert good > np.quantile(merit, 0.8) - 1
    assert good > merit[np.argsort(-accuracy)[: len(chosen)]].mean() + 2, "the most accurate are no better"


def test_advantage_ignores_padded_classes(make_data: MakeData) -> None:
    data = make_data(tasks=40, per_task=3, difficulty=5.0)
    padded = replace(data, tasks=torch.nn.functional.pad(data.tasks, (0, 2), value=-1))
    rows = torch.arange(120)
    np.testing.assert_allclose(advantage(padded, rows), advantage(data, rows), atol=1e-6)


def test_best_rows_are_a_share_in_their_old_order(make_data: MakeData) -> None:
    data = make_data(tasks=10, per_task=6, difficulty=5.0)
    for rows in (data.train_rows, data.valid_rows, data.train_rows.flip(0)):
        chosen = best_rows(data, rows, 0.25)
        assert len(chosen) == round(0.25 * len(rows))
        positions = [rows.tolist().index(row) for row in chosen.tolist()]
        assert positions == sorted(positions)
        values = advantage(data, rows)
        assert values[positions].min() >= np.delete(values, positions).max()
    assert torch.equal(best_rows(data, data.train_rows, 1.0), data.train_rows)
    assert len(best_rows(data, data.train_rows, 1e-9)) == 1


# --- rank agreement -----------------------------------------------------------------------------------------


def test_rank_agreement() -> None:
    true = np.array([1.0, 2.0, 3.0, 4.0])
    swapped = rank_agreement(np.array([1.0, 3.0, 2.0, 4.0]), true)
    assert swapped == {
        "spearman": pytest.approx(0.8),
        "kendall_tau": pytest.approx(2 / 3),
        "pearson": pytest.approx(0.8),
    }
    assert rank_agreement(np.exp(true), true)["spearman"] == pytest.approx(1)
    assert rank_agreement(-true, true)["kendall_tau"] == pytest.approx(-1)
    for predicted, truth in ((np.ones(4), true), (true, np.ones(4)), (true[:1], true[:1]), (true[:0], true[:0])):
        assert all(np.isnan(value) for value in rank_agreement(predicted, truth).values())


def test_agreement_within_tasks_does_not_reward_knowing_the_task() -> None:
    groups = np.repeat([3, 5, 9], [4, 5, 2])
    true = np.array([1.0, 2, 3, 4, 51, 52, 53, 54, 55, 90, 91])
    backwards = np.array([4.0, 3, 2, 1, 55, 54, 53, 52, 51, 90, 91])
    assert rank_agreement(backwards, true)["spearman"] > 0.5
    assert spearman_within(backwards, true, groups) == (pytest.approx(-1), 2)
    half = np.concatenate([backwards[:4], true[4:]])
    assert spearman_within(half, true, groups) == (pytest.approx(0), 2)
    assert spearman_within(half, true, groups, at_least=5) == (pytest.approx(1), 1)
    constant = np.concatenate([np.ones(4), true[4:]])
    assert spearman_within(constant, true, groups) == (pytest.approx(1), 1)
    mean, tasks = spearman_within(true, true, groups, at_least=50)
    assert np.isnan(mean)
    assert tasks == 0


# --- features of several sources ----------------------------------------------------------------------------


def feature_set(classes: list[str], labels: list[int], start: float, embedder: str = "e") -> FeatureSet:
    rows = start + torch.arange(len(labels) * 2).float().view(-1, 2)
    return FeatureSet(rows, np.array(labels), classes, embedder=embedder, name="part")


def test_joined_features_add_up_by_class() -> None:
    first = feature_set(["cat", "dog"], [1, 0, 1], 0)
    more = feature_set(["dog"], [0, 0], 100)
    other = feature_set(["cat"], [0], 200)
    joined = join_features({"photos": [first, more], "drawings": [other]})
    keys = [class_key("drawings", "cat"), class_key("photos", "cat"), class_key("photos", "dog")]
    assert list(joined.classes) == sorted(keys)
    images = {
        name: {tuple(row) for row in rows.tolist()}
        for name, rows in zip(joined.classes, joined.features.split(joined.counts.tolist()), strict=True)
    }
    assert images[keys[0]] == {(200, 201)}
    assert images[keys[1]] == {(2, 3)}
    assert images[keys[2]] == {(0, 1), (4, 5), (100, 101), (102, 103)}
    assert joined.embedder == "e"


def test_features_of_different_embedders_are_not_joined() -> None:
    with pytest.raises(DatabaseError, match="2 different embedders"):
        join_features({"a": [feature_set(["x"], [0], 0)], "b": [feature_set(["x"], [0], 0, embedder="f")]})


def test_repeated_pairs_are_one() -> None:
    task, arch = np.array([4, 4, 2, 4, 4]), np.array([1, 0, 1, 1, 1])
    tasks, (mean, other) = mean_of_repeats(task, arch, np.array([1.0, 2.0, 3.0, 5.0, 6.0]), -np.arange(5.0))
    assert tasks.tolist() == [4, 4, 2]
    assert mean.tolist() == [4.0, 2.0, 3.0]
    assert other.tolist() == [-(0 + 3 + 4) / 3, -1.0, -2.0]
    values = numpy_rng("repeats").random(40)
    order = numpy_rng("order").permutation(40)
    tasks, (same,) = mean_of_repeats(order // 7, order, values)
    assert same.tobytes() == values.tobytes(), "without repeats nothing changes, not even the order"
    assert np.array_equal(tasks, order // 7)
