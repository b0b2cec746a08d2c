"""Weights that a found network begins with: those of a trained supernet."""

import logging
from dataclasses import replace

import torch
from torch import nn

from metad2a.errors import CheckpointError
from metad2a.fitting.network import LabelledImages, channel_moments, check_sizes, even_batches, normalizer, seeded
from metad2a.fitting.parts import LoadedParts
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.supernet_file import TrainedSupernet
from metad2a.runtime import torch_rng
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.mobile import MobileSpace
from metad2a.spaces.networks.supernet import recalibrate

_CALIBRATION_IMAGES, _BATCH = 1024, 128

_log = logging.getLogger(__name__)


def with_size_of(supernet: TrainedSupernet, space: SearchSpace, recipe: Recipe) -> Recipe:
    """Return ``recipe`` for networks with weights of ``supernet``: they have its size where the recipe says none.

    Another ``downsampling`` than the supernet's may be given: strides have no weights.

    Raises:
        CheckpointError: the networks of ``space`` are no mobile ones, or the recipe's have another width.
    """
    _checked(space)
    width = recipe.scale.get("width", supernet.net.size["width"])
    return replace(recipe, scale=supernet.of_width(width).net.size | recipe.scale)


def inherited_network(
    supernet: TrainedSupernet,
    space: SearchSpace,
    arch: Architecture,
    parts: LoadedParts,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
) -> nn.Module:
    """Return the network of ``arch`` with weights of ``supernet``, and normalisations measured on training images.

    Its classifier is the supernet's if that was trained on all classes of the images; else it is a new one.

    Args:
        supernet: whose weights.
        space: a space of mobile networks, see ``MobileSpace``.
        arch: to build.
        parts: of the images; those to learn from are looked at.
        recipe: what ``with_size_of`` returned.
        seed: of a new classifier, and of the images that are measured on.
        device: where the network is to be.

    Raises:
        CheckpointError: ``space`` is none of those.
        ArchitectureError: ``arch`` is none of it, or the network cannot have this size.
        DataError: too few images.
    """
    check_sizes(parts.train, parts.valid)
    mobile = _checked(space)
    with seeded(seed):
        net = mobile.build(arch, len(parts.classes), **recipe.scale)
    weights = supernet.net.inherited(mobile.layers(arch))
    known = set(parts.classes) <= set(supernet.classes)
    for name, own in net.classifier.state_dict(prefix="classifier.").items():
        weights[name] = weights[name][supernet.rows(parts.classes)] if known else own
    net.load_state_dict(weights)
    _log.info(
        "weights of the supernet %s; the classifier is %s",
        supernet.fingerprint,
        "its own" if known else "new, since it was not trained on all of these classes",
    )
    _calibrate(net.to(device), parts.train, seed, device)
    return net


def _checked(space: SearchSpace) -> MobileSpace:
    if not isinstance(space, MobileSpace):
        raise CheckpointError(
            f"supernets have weights for networks of 'mobilenetv3', not of '{space.name}'. Give an "
            "architecture of that space (space=mobilenetv3), or no supernet (init=)."
        )
    return space


def _calibrate(net: nn.Module, train: LabelledImages, seed: int, device: torch.device) -> None:
    """Measure the statistics of all normalisations: inherited ones are right for no network."""
    normalize = normalizer(*channel_moments(train.images), device)
    chosen = torch.randperm(len(train), generator=torch_rng(seed, "calibration"))[:_CALIBRATION_IMAGES]
    batches = (train.images[rows].to(device) for rows in even_batches(chosen, _BATCH))
    recalibrate(net, map(normalize, batches))
