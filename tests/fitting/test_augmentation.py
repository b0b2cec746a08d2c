"""What is done to training images, and that a recipe which asks for it is one that can be resumed."""

import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from metad2a.errors import ConfigError
from metad2a.fitting.augmentation import augmentation
from metad2a.fitting.recipe import POLICIES, Recipe
from metad2a.runtime import torch_rng

RECIPE = Recipe("test", epochs=1, batch_size=2, learning_rate=0.1, resolution=16)
MEAN = torch.tensor([10.4, 20.0, 30.6], dtype=torch.float64)
IMAGE = torch.randint(100, 256, (3, 5, 5), dtype=torch.uint8, generator=torch_rng("image"))


def made(images: Tensor, key: str = "augment", **fields: object) -> Tensor:
    recipe = replace(RECIPE, **fields)  # type: ignore[arg-type]
    return augmentation(recipe, MEAN)(images, torch_rng(key))


def crops(image: Tensor, pad: int) -> set[bytes]:
    side = image.shape[-1]
    padded = nn.functional.pad(image, (pad,) * 4)
    windows = [padded[:, i : i + side, j : j + side] for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
    return {w.numpy().tobytes() for window in windows for w in (window, window.flip(2))}


def test_moved_images_are_crops_and_mirrors() -> None:
    batch = made(IMAGE.expand(400, 3, 5, 5), crop_padding=1, flip=True)
    seen = {one.numpy().tobytes() for one in batch}
    assert seen == crops(IMAGE, 1)  # 9 places x 2 sides; the chance to miss one is below 1e-8


def test_without_any_the_images_are_the_same() -> None:
    batch = IMAGE.expand(4, 3, 5, 5)
    assert made(batch) is batch


def test_a_square_is_painted_over_in_the_mean_colour() -> None:
    batch = IMAGE.expand(600, 3, 5, 5)
    changed = made(batch, cutout=3)
    colour = torch.tensor([10, 20, 31], dtype=torch.uint8)[:, None, None]
    painted = (changed == colour).all(1)
    assert torch.equal(torch.where(painted[:, None], colour, batch), changed), "all else is as it was"
    rows, columns = painted.any(2), painted.any(1)
    assert torch.equal(painted, rows[:, :, None] & columns[:, None, :])
    # The centre lies within the image, so at the border two of three rows are left.
    assert set(rows.sum(1).tolist()) == set(columns.sum(1).tolist()) == {2, 3}
    assert len({one.numpy().tobytes() for one in painted}) == 25  # the chance to miss a place is below 1e-8


@pytest.mark.parametrize("length", [1, 2, 5])
def test_squares_of_other_lengths(length: int) -> None:
    painted = (made(IMAGE.expand(300, 3, 5, 5), cutout=length) != IMAGE).any(1)
    assert painted.flatten(1).any(1).all(), "always something"
    assert painted.any(2).sum(1).max() == min(length, 5)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_image_is_transformed_by_draws_of_its_own(policy: str) -> None:
    pytest.importorskip("torchvision")
    batch = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=torch_rng("x")).expand(40, 3, 16, 16)
    state = torch.get_rng_state()
    changed = made(batch, auto_augment=policy)
    assert torch.equal(torch.get_rng_state(), state), "the global stream is untouched"
    assert (changed.shape, changed.dtype) == (batch.shape, torch.uint8)
    assert len({one.numpy().tobytes() for one in changed}) > 10
    assert torch.equal(made(batch, auto_augment=policy), changed)
    assert not torch.equal(made(batch, "other", auto_augment=policy), changed)


def test_without_torchvision_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.transforms", None)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    made(IMAGE[None], cutout=2)
    with pytest.raises(
        ConfigError, match=r"auto_augment=svhn needs torchvision .*pip install 'metad2a\[torchvision\]'"
    ):
        made(IMAGE[None], auto_augment="svhn")
