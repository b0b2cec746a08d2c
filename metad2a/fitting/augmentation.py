"""What is done to training images so that no two epochs see the same ones."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from metad2a.errors import ConfigError
from metad2a.fitting.recipe import Recipe

Images = UInt8[Tensor, "b 3 s s"]
Augment = Callable[[Images, torch.Generator], Images]
"""Makes other images of a batch, by what the generator draws."""


def augmentation(recipe: Recipe, mean: Float[Tensor, "3"]) -> Augment:
    """Return what ``recipe`` does to training images: moved and mirrored, transformed, partly painted over.

    Args:
        recipe: of the training.
        mean: of the channels of its images, of 255: the colour of what is painted over or moved in by a
            transformation, so that nothing is left of it after normalisation.

    Raises:
        ConfigError: the recipe wants AutoAugment, and torchvision is not installed.
    """
    colour = mean.round().to(torch.uint8)
    steps: list[Augment] = []
    if recipe.crop_padding or recipe.flip:
        steps.append(partial(_moved, pad=recipe.crop_padding, flip=recipe.flip))
    if recipe.auto_augment:
        steps.append(partial(_transformed, transform=_policy(recipe.auto_augment, colour)))
    if recipe.cutout:
        steps.append(partial(_painted_over, length=recipe.cutout, colour=colour))
    return partial(_all, steps)


def _all(steps: list[Augment], images: Images, rng: torch.Generator) -> Images:
    for step in steps:
        images = step(images, rng)
    return images


def _moved(images: Images, rng: torch.Generator, *, pad: int, flip: bool) -> Images:
    """Return crops of the images with a black frame, half of them mirrored where ``flip``."""
    count, _, side, _ = images.shape
    top, left = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=rng)
    mirrored = torch.rand(count, 1, generator=rng) < (0.5 if flip else 0.0)
    places = torch.arange(side)
    rows = (top + places).to(images.device)
    columns = (left + torch.where(mirrored, side - 1 - places, places)).to(images.device)
    padded = F.pad(images, (pad, pad, pad, pad))
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _painted_over(images: Images, rng: torch.Generator, *, length: int, colour: UInt8[Tensor, "3"]) -> Images:
    """Return the images with a square in ``colour``; as its centre is anywhere, a part of it may lie outside."""
    count, _, side, _ = images.shape
    starts = torch.randint(0, side, (2, count, 1), generator=rng) - length // 2
    rows, columns = (torch.arange(side) >= starts) & (torch.arange(side) < starts + length)
    square = (rows[:, :, None] & columns[:, None, :])[:, None].to(images.device)
    return torch.where(square, colour.to(images.device)[:, None, None], images)


def _transformed(images: Images, rng: torch.Generator, *, transform: Callable[[Tensor], Tensor]) -> Images:
    """Return the images, each transformed by draws of its own."""
    # torchvision draws from the global stream: it is that of the generator for a moment.
    seed = int(torch.randint(2**62, (), generator=rng))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return torch.stack([transform(image) for image in images])


def _policy(name: str, colour: UInt8[Tensor, "3"]) -> Any:
    try:
        from torchvision.transforms import v2
    except ImportError as error:
        raise ConfigError(
            f"auto_augment={name} needs torchvision ({error}). Install it: pip install 'metad2a[torchvision]', "
            "from where your PyTorch came from; or train without it (recipe.auto_augment=null)."
        ) from error
    return v2.AutoAugment(v2.AutoAugmentPolicy(name), fill=[float(value) for value in colour])
