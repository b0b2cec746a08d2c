import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from metad2a.data.glyphs import glyphs
from metad2a.errors import DataError
from metad2a.fitting import network
from metad2a.fitting.augmentation import augmentation
from metad2a.fitting.loop import DivergedError, Interrupted
from metad2a.fitting.network import LabelledImages, NetworkFit, even_batches, fit_network, seeded
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import torch_rng
from metad2a.spaces.nasbench201 import NASBench201

RECIPE = Recipe(
    name="test", epochs=3, batch_size=16, learning_rate=0.1, flip=True, crop_padding=1, resolution=8, warmup=0.2
)
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"


@pytest.fixture(scope="module")
def images() -> tuple[LabelledImages, LabelledImages]:
    valid, train = glyphs(["A", "g", "8"], images_per_class=40).split(0.25, 0)
    return LabelledImages.of(train, 8), LabelledImages.of(valid, 8)


def make_net(seed: int = 0) -> nn.Module:
    space = NASBench201()
    with seeded(seed):
        return space.build(space.parse(CELL), 3, channels=4, cells=1)


@pytest.mark.parametrize(
    ("count", "sizes"), [(4, [4]), (5, [3, 2]), (8, [4, 4]), (9, [3, 3, 3]), (1, [1]), (0, [0])]
)
def test_batches_are_even(count: int, sizes: list[int]) -> None:
    batches = even_batches(torch.arange(count), 4)
    assert [len(batch) for batch in batches] == sizes
    assert torch.cat(batches).tolist() == list(range(count))


def result(fit: NetworkFit) -> tuple[Any, ...]:
    return fit.accuracy, fit.best_accuracy, fit.curve


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(first[key], second[key]) for key in first)


def test_images_are_loaded_in_order(images: tuple[LabelledImages, LabelledImages]) -> None:
    train, valid = images
    assert train.images.shape == (90, 3, 8, 8)
    assert len(valid) == 30
    source = glyphs(["A", "g", "8"], images_per_class=2)
    loaded = LabelledImages.of(source, 8)
    assert torch.equal(loaded.images[3], torch.from_numpy(source.load([3], 8)[0]).permute(2, 0, 1))
    assert loaded.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_first_weights_depend_on_the_seed_alone() -> None:
    first = make_net(3)
    torch.manual_seed(99)
    torch.randn(10)
    before = torch.get_rng_state()
    again = make_net(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(first, again)
    assert not same_weights(first, make_net(4))


def test_the_result_depends_on_the_arguments_alone(images: tuple[LabelledImages, LabelledImages]) -> None:
    a, b = make_net(), make_net()
    one = fit_network(a, *images, RECIPE, seed=7)
    torch.manual_seed(1234)
    fit_network(make_net(5), *images, RECIPE, seed=8)
    two = fit_network(b, *images, RECIPE, seed=7)
    assert result(one) == result(two)
    assert same_weights(a, b)
    other = fit_network(make_net(), *images, RECIPE, seed=8)
    assert other.curve[0]["train/loss"] != one.curve[0]["train/loss"]


def coloured(count: int, seed: int) -> LabelledImages:
    """Noise in which the channel with the class's number is a little brighter."""
    rng = torch_rng("coloured", seed)
    labels = torch.arange(count) % 3
    noise = torch.randint(0, 200, (count, 3, 8, 8), generator=rng)
    return LabelledImages((noise + 50 * nn.functional.one_hot(labels, 3)[:, :, None, None]).byte(), labels)


def test_a_network_learns() -> None:
    recipe = replace(RECIPE, epochs=12, flip=False, schedule="one_cycle", warmup=0.3)
    rows: list[Any] = []
    fit = fit_network(make_net(), coloured(96, 0), coloured(60, 1), recipe, seed=0, on_epoch=rows.append)
    assert fit.accuracy > 90
    assert fit.best_accuracy == max(row["val/accuracy"] for row in fit.curve) >= fit.accuracy
    assert fit.accuracy == fit.curve[-1]["val/accuracy"]
    assert fit.curve[-1]["train/loss"] < fit.curve[0]["train/loss"] / 2
    assert [row["epoch"] for row in fit.curve] == list(range(1, 13))
    assert rows == fit.curve
    assert fit.seconds > 0


def test_accuracy_is_counted_right(images: tuple[LabelledImages, LabelledImages]) -> None:
    train, valid = images
    net = make_net()
    fit = fit_network(net, train, valid, RECIPE, seed=0)
    mean = train.images.double().mean((0, 2, 3)).view(3, 1, 1)
    std = train.images.double().std((0, 2, 3), correction=0).view(3, 1, 1)
    net.eval()
    with torch.no_grad():
        scores = net(((valid.images - mean) / std).float())
    assert fit.accuracy == pytest.approx(100 * float((scores.argmax(1) == valid.labels).double().mean()))
    loss = float(nn.functional.cross_entropy(scores, valid.labels))
    assert fit.curve[-1]["val/loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "one_cycle"},
        {"cutout": 3, "auto_augment": "cifar10", "drop_path": 0.4, "dropout": 0.3, "clip_norm": 0.5},
    ],
    ids=["cosine", "one cycle", "with all that is random"],
)
def test_interrupted_and_resumed_equals_uninterrupted(
    changes: dict[str, Any], images: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    recipe = replace(RECIPE, **changes)
    whole_net = make_net()
    whole = fit_network(whole_net, *images, recipe, seed=7)

    def ctrl_c(module: nn.Module, inputs: Any) -> None:
        steps.append(1)
        if len(steps) == 8:
            os.kill(os.getpid(), signal.SIGINT)

    steps: list[int] = []
    stopped = make_net()
    stopped.register_forward_pre_hook(ctrl_c)
    state_file = tmp_path / "state.pt"
    with pytest.raises(Interrupted):
        fit_network(stopped, *images, recipe, seed=7, state_file=state_file)
    resumed = make_net(9)  # its weights come from the file
    again = fit_network(resumed, *images, recipe, seed=7, state_file=state_file)
    assert result(again) == result(whole)
    assert same_weights(resumed, whole_net)
    finished = fit_network(make_net(9), *images, recipe, seed=7, state_file=state_file)
    assert result(finished) == result(whole)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@pytest.mark.parametrize("warmup", [0.0, 0.4])
def test_the_rate_rises_and_falls(
    schedule: str, warmup: float, images: tuple[LabelledImages, LabelledImages]
) -> None:
    recipe = replace(RECIPE, epochs=10, schedule=schedule, warmup=warmup)
    rates = [row["lr"] for row in fit_network(make_net(), *images, recipe, seed=0).curve]
    top = rates.index(max(rates))
    assert top == (0 if warmup == 0 else pytest.approx(3, abs=1))
    assert rates[-1] < 0.01 * recipe.learning_rate
    assert rates[top] <= recipe.learning_rate
    assert rates[top:] == sorted(rates[top:], reverse=True)


def batches_of(train: LabelledImages, recipe: Recipe, key: int | str) -> Iterator[LabelledImages]:
    mean, _ = network.channel_moments(train.images)
    return network.training_batches(train, recipe, torch_rng(key), augmentation(recipe, mean))


def test_without_augmentation_every_image_is_seen_as_it_is(
    images: tuple[LabelledImages, LabelledImages],
) -> None:
    train, _ = images
    recipe = replace(RECIPE, flip=False, crop_padding=0, batch_size=30)
    batches = list(batches_of(train, recipe, 0))
    seen = sorted(one.numpy().tobytes() for batch in batches for one in batch.images)
    assert seen == sorted(one.numpy().tobytes() for one in train.images)


def test_fewer_images_than_a_batch_and_images_without_contrast() -> None:
    flat = LabelledImages(torch.full((5, 3, 8, 8), 7, dtype=torch.uint8), torch.tensor([0, 1, 2, 0, 1]))
    fit = fit_network(make_net(), flat, flat, RECIPE, seed=0)
    assert 0 <= fit.accuracy <= 100
    assert all(torch.isfinite(torch.tensor(row["train/loss"])) for row in fit.curve)


@pytest.mark.parametrize("images_per_epoch", [32, 90, 200])
def test_every_set_gets_the_steps_that_the_recipe_asks_for(
    images: tuple[LabelledImages, LabelledImages], images_per_epoch: int
) -> None:
    fit = fit_network(make_net(), *images, replace(RECIPE, images_per_epoch=images_per_epoch), seed=0)
    assert fit.curve[-1]["step"] == RECIPE.epochs * (images_per_epoch // RECIPE.batch_size)


def test_a_small_set_is_passed_over_evenly(images: tuple[LabelledImages, LabelledImages]) -> None:
    train, _ = images
    recipe = replace(RECIPE, images_per_epoch=192, flip=False, crop_padding=0)
    seen = torch.cat([batch.images for batch in batches_of(train, recipe, "test")])
    times = (seen[:, None] == train.images[None]).flatten(2).all(2).sum(0)
    assert times.sum() == 192
    assert set(times.tolist()) <= {2, 3}


@pytest.mark.parametrize("change", [{"cutout": 3}, {"drop_path": 0.5}, {"dropout": 0.5}, {"clip_norm": 0.01}])
def test_every_part_of_a_recipe_makes_another_training(
    change: dict[str, Any], images: tuple[LabelledImages, LabelledImages]
) -> None:
    recipe = replace(RECIPE, epochs=1)
    losses = [
        fit_network(make_net(), *images, one, seed=0).curve[0]["train/loss"]
        for one in (recipe, replace(recipe, **change), replace(recipe, **change))
    ]
    assert losses[0] != losses[1] == losses[2]


def test_large_images_are_classified_in_smaller_batches() -> None:
    assert [network.evaluation_batch(side) for side in (8, 64, 224, 10_000)] == [512, 512, 41, 1]
    seen: list[int] = []
    net = make_net()
    net.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    valid = LabelledImages(torch.zeros(7, 3, 600, 600, dtype=torch.uint8), torch.zeros(7, dtype=torch.long))
    network._validate(net.eval(), valid, network.normalizer(torch.ones(3), torch.ones(3), torch.device("cpu")))
    assert seen == [5, 2]


def test_too_few_images_are_refused(images: tuple[LabelledImages, LabelledImages]) -> None:
    train, valid = images
    one = LabelledImages(train.images[:1], train.labels[:1])
    with pytest.raises(DataError, match="1 training and 30 validation"):
        fit_network(make_net(), one, valid, RECIPE, seed=0)


def test_divergence_is_an_error_of_its_own(images: tuple[LabelledImages, LabelledImages]) -> None:
    with pytest.raises(DivergedError):
        fit_network(make_net(), *images, replace(RECIPE, learning_rate=1e30, warmup=0.0), seed=0)
