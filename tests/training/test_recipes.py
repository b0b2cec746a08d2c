"""Labels of two recipes, in one of which networks do the opposite: models learn from both and tell them apart."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.data.embedders.base import get_embedder
from metad2a.errors import CheckpointError, UnknownNameError
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.predictor import Predictor
from metad2a.models.surrogate import Surrogate
from metad2a.runtime import shipped
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.training.meta_data import MetaData
from metad2a.training.predictor_objective import PredictorObjective
from metad2a.training.reference import reference_of
from metad2a.training.selection import best_rows
from metad2a.training.surrogate import fit_surrogate, surrogate_checkpoint
from metad2a.training.task_ranks import ranks_of, scale_of

MakeData = Callable[..., MetaData]
SIZE: dict[str, Any] = {"feature_dim": 6, "num_types": 7, "num_nodes": 8, "hidden": 16, "latent": 8}
TASKS, EACH = 12, 8


@pytest.fixture
def data(make_data: MakeData) -> MetaData:
    """Every label a second time under another recipe, where what is good is bad, on another level."""
    one = make_data(tasks=TASKS, per_task=EACH)
    count = len(one.accuracy)
    return replace(
        one,
        task_of=one.task_of.repeat(2),
        arch_of=one.arch_of.repeat(2),
        accuracy=torch.cat([one.accuracy, 20 - 0.5 * one.accuracy]),
        valid=torch.cat([one.valid, torch.zeros(count, dtype=torch.bool)]),
        recipes=("first", "second"),
        recipe_of=torch.arange(2).repeat_interleave(count),
    )


@pytest.fixture
def alone(data: MetaData) -> MetaData:
    half = slice(TASKS * EACH)
    names = ("task_of", "arch_of", "accuracy", "valid")
    return replace(data, recipes=(), recipe_of=None, **{name: getattr(data, name)[half] for name in names})


def test_ranks_are_within_task_and_recipe(data: MetaData, alone: MetaData) -> None:
    both, first = (ranks_of(some, torch.arange(len(some.accuracy))) for some in (data, alone))
    assert sorted(zip(both.tasks, both.recipe, strict=True)) == [(t, r) for t in range(TASKS) for r in (0, 1)]
    own = both.recipe[both.task] == 0
    np.testing.assert_array_equal(both.target[own], first.target)
    np.testing.assert_allclose(both.target[~own], -first.target, atol=1e-6)
    assert scale_of(both) == scale_of(first)
    level, spread = scale_of(both, 1)
    assert level == pytest.approx(20 - 0.5 * scale_of(first)[0])
    assert spread == pytest.approx(0.5 * scale_of(first)[1])


def surrogate(data: MetaData, space: NASBench201, **options: Any) -> Surrogate:
    return fit_surrogate(data, ArchFeatures(space), data.train_rows, images_per_class=4, **options)


def test_a_surrogate_tells_recipes_apart(data: MetaData, alone: MetaData, space: NASBench201) -> None:
    model = surrogate(data, space)
    assert model.tau == 0.0  # they do not agree at all
    of = model.set_vector(model.set_mean)
    apart, single = model.mean_weights(of), surrogate(alone, space).mean_weights(of)
    assert torch.corrcoef(torch.stack([apart, single]))[0, 1] > 0.99
    other = Surrogate(**model.config | {"recipe": "second"})
    other.load_state_dict(model.state_dict())
    assert torch.corrcoef(torch.stack([other.mean_weights(of), single]))[0, 1] < -0.9
    assert other.target_mean == pytest.approx(20 - 0.5 * model.target_mean, abs=0.5)
    np.testing.assert_allclose(other.posterior(of).mean, other.mean_weights(of), atol=1e-9)


def test_recipes_that_agree_are_one_more_source_of_the_same(
    data: MetaData, alone: MetaData, space: NASBench201
) -> None:
    second = alone.accuracy.roll(0) * 0.5
    agreeing = replace(data, accuracy=torch.cat([alone.accuracy, second]))
    assert surrogate(agreeing, space).tau > 0.5
    assert surrogate(data, space, tau=0.25).tau == 0.25


@pytest.mark.parametrize("settings", [{}, {"aim": "ranks"}, {"loss_name": "pairwise"}])
def test_a_predictor_tells_recipes_apart(
    data: MetaData, settings: dict[str, Any], learn: Callable[..., None]
) -> None:
    one = PredictorObjective(
        data=data,
        train_rows=data.train_rows,
        valid_rows=data.valid_rows,
        batch_size=32,
        images_per_class=4,
        seed=1,
        **settings,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Predictor(**SIZE, **one.measured)
    learn(one, net, epochs=25)
    assert one.validate(net)["val/spearman_within_tasks"] > 0.4
    batch = next(one.validation_batches())
    by_first, by_second = (
        net(batch.sets, batch.archs, recipes=torch.full((len(batch.rows),), number)) for number in (0, 1)
    )
    assert torch.corrcoef(torch.stack([by_first, by_second]))[0, 1] < 0
    torch.testing.assert_close(net(batch.sets, batch.archs), by_first)


def test_a_checkpoint_speaks_of_the_recipe_it_is_asked_for(data: MetaData, space: NASBench201) -> None:
    embedder = get_embedder("pixels")
    made = surrogate_checkpoint(
        surrogate(data, space), data, embedder, images_per_class=4, scores={}, provenance={}, space=space
    )
    recipes = {"first": (60.0, 4.0), "second": (-10.0, 2.0)}
    both = replace(
        made,
        parts={**made.parts, "predictor": Part.of(Predictor(**SIZE, recipes=recipes))},
        target={"mean": 62.0, "std": 8.0},
    )
    asked = both.for_recipe("second")
    assert asked.target == {"mean": -9.0, "std": 4.0}
    assert (asked.build("surrogate").recipe, asked.build("predictor").recipe) == (1, 1)
    assert asked.for_recipe("first").target == both.target
    with pytest.raises(UnknownNameError, match="Did you mean 'second'"):
        both.for_recipe("secnd")
    with pytest.raises(CheckpointError, match="labels of one recipe"):
        Checkpoint(parts={}, space="s", topology=None, embedder=made.embedder, images_per_class=1).for_recipe("x")


def test_a_checkpoint_of_one_recipe_knows_its_name() -> None:
    one = Checkpoint.load(shipped("data", "pretrained", "nasbench201.safetensors"))
    [fingerprint] = one.label_recipes
    assert one.for_recipe("rank60k") is one
    assert one.for_recipe(fingerprint) is one
    with pytest.raises(
        CheckpointError, match="'short': the checkpoint learned from labels of one recipe, 'rank60k'"
    ):
        one.for_recipe("short")
    silent = Checkpoint.load(shipped("data", "pretrained", "nasbench201-metad2a.safetensors"))
    with pytest.raises(CheckpointError, match="labels of one recipe and does not say which"):
        silent.for_recipe("rank60k")


def test_only_accuracies_of_one_recipe_are_compared(data: MetaData, alone: MetaData) -> None:
    assert data.target() == alone.target()
    assert data.target(1)[0] == pytest.approx(20 - 0.5 * float(alone.accuracy.mean()), abs=0.5)
    reference = reference_of(data, 4)
    torch.testing.assert_close(reference.best_accuracy, reference_of(alone, 4).best_accuracy)
    chosen = best_rows(data, data.train_rows, 0.5)
    counts = data.recipe_number[chosen].bincount().tolist()
    assert counts == [len(alone.train_rows) // 2, TASKS * EACH // 2]


def test_databases_without_several_recipes_say_nothing_of_them(alone: MetaData, space: NASBench201) -> None:
    model = surrogate(alone, space)
    assert "recipe_of" not in model.state_dict()
    old = {name: value for name, value in model.config.items() if name not in ("recipes", "recipe", "tau")}
    Surrogate(**old).load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match="unknown recipe 'x'"):
        Predictor(**SIZE, recipe="x")
