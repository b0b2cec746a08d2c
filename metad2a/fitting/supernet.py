"""Training a supernet: the sandwich rule, with in-place distillation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from metad2a.errors import ConfigError, DataError
from metad2a.fitting.augmentation import Augment, augmentation
from metad2a.fitting.loop import Fit, Row
from metad2a.fitting.network import (
    EVALUATION_BATCH,
    LabelledImages,
    channel_moments,
    epoch_size,
    even_batches,
    learning_rates,
    normalizer,
    seeded,
    training_batches,
)
from metad2a.fitting.precision import one_device
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.supernet_file import TrainedSupernet, image_keys
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.mobilenetv3 import start_as_identity
from metad2a.spaces.networks.supernet import LARGEST, SMALLEST, Layers, Supernet, recalibrate

CALIBRATION_IMAGES = 1024
_CLIP_NORM = 5.0
_WATCHED = 2  # drawn networks that validation measures beside the smallest and the largest


@dataclass(frozen=True)
class _Step:
    """A batch, and the networks that see it beside the largest, the smallest first."""

    images: LabelledImages
    networks: list[Layers]


def fit_supernet(
    train: LabelledImages,
    valid: LabelledImages,
    classes: tuple[str, ...],
    recipe: Recipe,
    *,
    seed: int = 0,
    drawn: int = 1,
    fabric: Fabric | None = None,
    state_file: Path | None = None,
    label: str | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    on_start: Callable[[int], None] | None = None,
    provenance: dict[str, Any] | None = None,
) -> TrainedSupernet:
    """Train the shared weights of all networks of the MobileNetV3 space.

    Every step trains the largest network on the labels, and the smallest and some drawn ones on what the largest
    says (Yu et al., "Universally Slimmable Networks", ICCV 2019; "BigNAS", ECCV 2020). The gradients are added.
    Blocks begin as identities, see ``start_as_identity``.

    Args:
        train: images to learn from.
        valid: images to measure on; nothing depends on them.
        classes: names of the classes.
        recipe: how; ``recipe.scale`` is the width and the downsampling of all networks. Only matrices of layers
            decay, neither normalisations nor those that make kernels smaller.
        seed: of the first weights, the order of the images, their augmentation, and the networks of every step.
        drawn: networks of every step beside the largest and the smallest.
        fabric: device and precision; the CPU when None.
        state_file: where the state is kept; if the file exists, training goes on from it.
        label: of the progress bar; None shows none.
        on_epoch: called with each row of the curve: ``train/loss``, ``val/largest``, ``val/smallest``,
            ``val/drawn`` (percent, the mean of two) among them.
        on_start: called with the number of steps that are done already.
        provenance: what else the file is to say of where it comes from.

    Raises:
        ArchitectureError: the networks cannot have this size.
        ConfigError: ``drawn`` is below 1, or the recipe has what supernets do not know.
        DataError: there are too few images.
        DivergedError: the loss stopped being a number.
        Interrupted: Ctrl-C; the state is saved.
        CheckpointError: ``state_file`` is of another training.
    """
    fit = _fit(train, valid, len(classes), recipe, seed=seed, drawn=drawn, fabric=fabric or one_device())
    fit.state_file, fit.label, fit.on_epoch = state_file, label, on_epoch
    if state_file is not None and state_file.exists():
        fit.restore()
    if on_start is not None:
        on_start(fit.state.step)
    state = fit.run()
    mean, std = (tuple(moment.tolist()) for moment in channel_moments(train.images))
    net = _supernet(len(classes), recipe, seed)
    net.load_state_dict({name: value.cpu() for name, value in fit.model.state_dict().items()})
    last = state.history[-1]
    return TrainedSupernet(
        net.eval(),
        classes,
        recipe.resolution,
        mean,
        std,
        seen=np.sort(image_keys(train.images)),
        scores={name: float(value) for name, value in last.items() if name.startswith(("val/", "train/"))},
        provenance={
            "recipe": recipe.to_dict(),
            "seed": seed,
            "drawn": drawn,
            "images": {"train": len(train), "valid": len(valid)},
            "steps": state.step,
            "seconds": state.seconds,
        }
        | (provenance or {}),
    )


def _supernet(num_classes: int, recipe: Recipe, seed: int) -> Supernet:
    size = MobileNetV3().size_options(recipe.scale, num_classes)
    with seeded(seed):
        net = Supernet(num_classes, **size)
    start_as_identity(net)
    return net


def _fit(
    train: LabelledImages,
    valid: LabelledImages,
    num_classes: int,
    recipe: Recipe,
    *,
    seed: int,
    drawn: int,
    fabric: Fabric,
) -> Fit:
    _check(train, valid, recipe, drawn)
    net = _supernet(num_classes, recipe, seed).to(memory_format=torch.channels_last)
    sgd = _sgd(net, recipe)
    mean, std = channel_moments(train.images)
    normalize, augment = normalizer(mean, std, fabric.device), augmentation(recipe, mean)
    train, valid = train.to(fabric.device), valid.to(fabric.device)
    per_epoch = max(epoch_size(train, recipe) // recipe.batch_size, 1)
    scheduler = learning_rates(sgd, recipe, recipe.epochs * per_epoch)
    model, optimizer = fabric.setup(net, sgd)
    calibration = train.images[torch.randperm(len(train), generator=torch_rng(seed, "calibration"))][
        :CALIBRATION_IMAGES
    ]
    return Fit(
        fabric=fabric,
        model=model,
        optimizer=optimizer,
        batches=lambda epoch: _steps(train, recipe, augment, seed, epoch, drawn),
        loss=lambda model, step: _losses(model, normalize(step.images.images), step, recipe.label_smoothing),
        epochs=recipe.epochs,
        batches_per_epoch=per_epoch,
        scheduler=scheduler,
        schedule_on="step",
        clip_norm=_CLIP_NORM,
        validate=lambda: _validate(net, normalize(calibration), valid, normalize),
    )


def _check(train: LabelledImages, valid: LabelledImages, recipe: Recipe, drawn: int) -> None:
    if drawn < 1:
        raise ConfigError(
            f"drawn={drawn}: at least one network of a step must be drawn, or most are never trained."
        )
    if len(train) < recipe.batch_size or not len(valid):
        raise DataError(
            f"{len(train)} training and {len(valid)} validation images are too few for a supernet. Give at least "
            f"a batch ({recipe.batch_size}) and one."
        )
    unknown = [name for name in ("drop_path", "dropout", "clip_norm") if getattr(recipe, name) is not None]
    if unknown:
        raise ConfigError(
            f"recipe '{recipe.name}' has {' and '.join(unknown)}, which the training of a supernet does not know "
            f"(its gradients are always clipped at {_CLIP_NORM:g}). Set recipe.{unknown[0]}=null."
        )


def _sgd(net: Supernet, recipe: Recipe) -> SGD:
    decaying = [value for name, value in net.named_parameters() if name.startswith("largest.") and value.ndim > 1]
    chosen = set(map(id, decaying))
    others = [value for value in net.parameters() if id(value) not in chosen]
    return SGD(
        [{"params": decaying, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,  # not fused: a matrix that no network has needed yet has no momentum
    )


def _steps(
    train: LabelledImages, recipe: Recipe, augment: Augment, seed: int, epoch: int, drawn: int
) -> Iterator[_Step]:
    space, rng = MobileNetV3(), numpy_rng(seed, "networks", epoch)
    for images in training_batches(train, recipe, torch_rng(seed, "batches", epoch), augment):
        yield _Step(images, [SMALLEST, *map(space.layers, space.sample(drawn, rng))])


def _losses(model: nn.Module, images: Tensor, step: _Step, smoothing: float) -> dict[str, Tensor]:
    taught = model(images, LARGEST)
    loss = hard = F.cross_entropy(taught, step.images.labels, label_smoothing=smoothing)
    teacher = taught.detach().softmax(1)
    for layers in step.networks:
        loss = loss + F.cross_entropy(model(images, layers), teacher)
    return {"loss": loss, "largest": hard}


def _validate(
    net: Supernet, calibration: Tensor, valid: LabelledImages, normalize: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    space = MobileNetV3()
    drawn = space.sample(_WATCHED, numpy_rng("watched networks"))
    accuracy = [
        measure_inherited(net, layers, calibration, valid, normalize).accuracy
        for layers in (LARGEST, SMALLEST, *map(space.layers, drawn))
    ]
    return {"val/largest": accuracy[0], "val/smallest": accuracy[1], "val/drawn": sum(accuracy[2:]) / _WATCHED}


class Inherited(NamedTuple):
    """How good a network with inherited weights is.

    Attributes:
        accuracy: in percent.
        loss: mean cross-entropy. On as few images it tells networks apart that have the same accuracy.
    """

    accuracy: float
    loss: float


@torch.no_grad()
def measure_inherited(
    net: Supernet,
    layers: Layers,
    calibration: Tensor,
    valid: LabelledImages,
    normalize: Callable[[Tensor], Tensor],
    rows: list[int] | None = None,
) -> Inherited:
    """Return how good a network with inherited weights is.

    Args:
        net: whose weights.
        layers: of the network.
        calibration: normalised images, two or more, for the statistics of its normalisations.
        valid: images to measure on, with labels that count ``rows``.
        normalize: makes ``valid`` into what the network sees.
        rows: of the head; all when None.
    """
    network = net.network(layers, rows).to(memory_format=torch.channels_last)
    recalibrate(network, even_batches(calibration, EVALUATION_BATCH))
    logits = torch.cat([network(normalize(images)) for images in valid.images.split(EVALUATION_BATCH)])
    right = int((logits.argmax(1) == valid.labels).sum())
    return Inherited(100 * right / len(valid), float(F.cross_entropy(logits, valid.labels)))
