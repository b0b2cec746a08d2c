"""Training one image classifier by a recipe, from images held in memory."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError, DataError
from metad2a.fitting.augmentation import Augment, augmentation
from metad2a.fitting.loop import Fit, FitState, Monitor, Row
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.schedules import cosine
from metad2a.runtime import stream_seed, torch_rng
from metad2a.spaces.networks.dropping import dropping
from metad2a.spaces.networks.lean import lean

EVALUATION_BATCH = 512
_LARGE = 64  # pixels a side above which fewer images are classified at once
_SMALLEST_STD = 1.0  # of 255: images without contrast are not divided by zero
ACCURACY = "val/accuracy"


@dataclass(frozen=True)
class LabelledImages:
    """Square RGB images and their class numbers.

    Attributes:
        images: as they were read; ``fit_network`` normalises them.
        labels: class numbers from 0.
    """

    images: UInt8[Tensor, "n 3 s s"]
    labels: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "LabelledImages":
        """Return the same images on ``device``."""
        return LabelledImages(self.images.to(device), self.labels.to(device))

    @classmethod
    def of(cls, image_set: ImageSet, resolution: int) -> "LabelledImages":
        """Load all of ``image_set`` at ``resolution`` pixels a side."""
        pixels = image_set.load(range(len(image_set)), resolution)
        return cls(torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(image_set.labels).long())


@dataclass(frozen=True)
class NetworkFit:
    """What came of training a network.

    Attributes:
        accuracy: of the validation images after the last epoch, in percent.
        best_accuracy: the best epoch's, in percent; it was chosen on the validation images.
        curve: one row an epoch: ``epoch``, ``step``, ``lr``, ``train/loss``, ``val/accuracy``, ``val/loss``.
        seconds: time spent, over all sessions.
    """

    accuracy: float
    best_accuracy: float
    curve: list[Row]
    seconds: float


@contextmanager
def seeded(seed: int, *purpose: int | str) -> Iterator[None]:
    """Make what layers draw depend on ``seed`` and ``purpose``, and leave the global stream untouched.

    Without a purpose it is that of the first weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, *(purpose or ("weights",))))
        yield


@contextmanager
def as_trained(net: nn.Module, recipe: Recipe) -> Iterator[None]:
    """Let ``net`` be what is trained by ``recipe``: no needless work, and what it leaves out at random.

    Raises:
        ConfigError: the recipe leaves out what ``net`` does not have.
    """
    with lean(net), dropping(net, path=recipe.drop_path or 0.0, features=recipe.dropout or 0.0):
        yield


def fit_network(
    net: nn.Module,
    train: LabelledImages,
    valid: LabelledImages,
    recipe: Recipe,
    *,
    seed: int,
    fabric: Fabric | None = None,
    state_file: Path | None = None,
    label: str | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> NetworkFit:
    """Train ``net`` in place; images are normalised by the mean and deviation of the training images.

    The result depends on the arguments alone (and on the number of threads, in the last digits).

    Args:
        net: (B, 3, s, s) images -> (B, classes) scores; build it inside ``seeded`` to fix its first weights.
        train: images to learn from.
        valid: images to measure on.
        recipe: how; ``recipe.resolution`` and ``recipe.scale`` are the caller's business.
        seed: of the order of the images and of their augmentation.
        fabric: device and precision; the CPU when None.
        state_file: where the state is kept; if the file exists, training goes on from it.
        label: of the progress bar; None shows none.
        on_epoch: called with each row of the curve.

    Raises:
        ConfigError: the recipe trains nothing, wants what ``net`` does not have, or torchvision is missing.
        DataError: too few images.
        DivergedError: the loss stopped being a number.
        Interrupted: Ctrl-C; the state is saved.
        CheckpointError: ``state_file`` is of another training.
    """
    fit = network_fit(
        net, train, valid, recipe, seed=seed, fabric=fabric, state_file=state_file, label=label, on_epoch=on_epoch
    )
    if state_file is not None and state_file.exists():
        fit.restore()
    with as_trained(net, recipe):
        return _result(fit.run())


def network_fit(
    net: nn.Module,
    train: LabelledImages,
    valid: LabelledImages,
    recipe: Recipe,
    *,
    seed: int,
    fabric: Fabric | None = None,
    state_file: Path | None = None,
    label: str | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    on_best: Callable[[], None] | None = None,
) -> Fit:
    """Return the fit that ``fit_network`` runs, for who wants to restore or watch it; run it inside ``as_trained``.

    Args and errors are those of ``fit_network``; ``on_best`` is called when the accuracy of the validation images
    has improved.
    """
    check_sizes(train, valid)
    if recipe.epochs < 1:
        raise ConfigError(f"recipe '{recipe.name}' trains nothing: its networks inherit weights. Give another one.")
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    mean, std = channel_moments(train.images)
    normalize, augment = normalizer(mean, std, fabric.device), augmentation(recipe, mean)
    train, valid = train.to(fabric.device), valid.to(fabric.device)
    # Measured on a CPU: this layout halves the time of a step, the fused update takes off a tenth.
    net = net.to(memory_format=torch.channels_last)
    sgd = _sgd(net, recipe, fabric.device)
    per_epoch = max(epoch_size(train, recipe) // recipe.batch_size, 1)
    scheduler = learning_rates(sgd, recipe, recipe.epochs * per_epoch)
    model, optimizer = fabric.setup(net, sgd)
    fit = Fit(
        fabric=fabric,
        model=model,
        optimizer=optimizer,
        batches=lambda epoch: training_batches(train, recipe, torch_rng(seed, "batches", epoch), augment),
        loss=_loss(recipe, normalize, seed, lambda: fit.state.step),
        epochs=recipe.epochs,
        batches_per_epoch=per_epoch,
        scheduler=scheduler,
        schedule_on="step",
        clip_norm=recipe.clip_norm,
        validate=lambda: _validate(model, valid, normalize),
        monitor=Monitor(ACCURACY),
        on_epoch=on_epoch,
        on_best=on_best,
        state_file=state_file,
        label=label,
    )
    return fit


def _loss(
    recipe: Recipe, normalize: Callable[[Tensor], Tensor], seed: int, step: Callable[[], int]
) -> Callable[[nn.Module, LabelledImages], dict[str, Tensor]]:
    smooth_loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    drops = recipe.drop_path is not None or recipe.dropout is not None

    def loss(net: nn.Module, batch: LabelledImages) -> dict[str, Tensor]:
        # Draws of the step, so that a resumed training leaves out the same.
        with seeded(seed, "drop", step()) if drops else nullcontext():
            return {"loss": smooth_loss(net(normalize(batch.images)), batch.labels)}

    return loss


def check_sizes(train: LabelledImages, valid: LabelledImages) -> None:
    """Refuse too few images to train a network.

    Raises:
        DataError: there are fewer than two to learn from, or none to measure on.
    """
    if len(train) < 2 or len(valid) < 1:
        raise DataError(
            f"{len(train)} training and {len(valid)} validation images are too few to train a network. "
            "Give at least 2 and 1."
        )


def _result(state: FitState) -> NetworkFit:
    accuracies = [row[ACCURACY] for row in state.history]
    return NetworkFit(accuracies[-1], max(accuracies), state.history, state.seconds)


def evaluation_batch(side: int) -> int:
    """Return how many images of ``side`` pixels a side are classified at once: memory is bounded."""
    return max(1, min(EVALUATION_BATCH, EVALUATION_BATCH * _LARGE**2 // side**2))


def channel_moments(images: UInt8[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Return mean and standard deviation of each channel, of 255, in double precision."""
    values = torch.arange(256, dtype=torch.float64)
    # Counting the 256 values gives the exact moments without a float copy of all images.
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)])
    shares = counts.double() / counts.sum(1, keepdim=True)
    mean = shares @ values
    return mean, (shares * (values - mean[:, None]) ** 2).sum(1).sqrt().clamp_min(_SMALLEST_STD)


def normalizer(
    mean: Float[Tensor, "3"], std: Float[Tensor, "3"], device: torch.device
) -> Callable[[UInt8[Tensor, "b 3 t t"]], Float[Tensor, "b 3 t t"]]:
    """Return what makes images as they were read into what networks see."""
    shift, scale = (moment.float().view(3, 1, 1).to(device) for moment in (mean, std))
    return lambda batch: ((batch.float() - shift) / scale).contiguous(memory_format=torch.channels_last)


def epoch_size(train: LabelledImages, recipe: Recipe) -> int:
    """Return how many images make an epoch, the incomplete last batch among them."""
    return recipe.images_per_epoch or len(train)


def training_batches(
    train: LabelledImages, recipe: Recipe, rng: torch.Generator, augment: Augment
) -> Iterator[LabelledImages]:
    """Yield the batches of an epoch, in an order and with an augmentation that ``rng`` decides."""
    wanted = epoch_size(train, recipe)
    passes = math.ceil(wanted / len(train))
    order = torch.cat([torch.randperm(len(train), generator=rng) for _ in range(passes)])[:wanted]
    size = min(recipe.batch_size, wanted)
    for start in range(0, wanted - size + 1, size):
        chosen = order[start : start + size].to(train.labels.device)
        yield LabelledImages(augment(train.images[chosen], rng), train.labels[chosen])


def even_batches(rows: Shaped[Tensor, "n *shape"], size: int) -> tuple[Shaped[Tensor, "b *shape"], ...]:
    """Return ``rows`` in as few batches of at most ``size`` as will do, which differ by one at most.

    Where normalisations are measured: a last batch of one image has no statistics, and all batches count alike.
    """
    return rows.tensor_split(max(1, -(-len(rows) // size)))


def _sgd(net: nn.Module, recipe: Recipe, device: torch.device) -> SGD:
    return SGD(
        net.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        fused=device.type in ("cpu", "cuda"),
    )


def learning_rates(optimizer: SGD, recipe: Recipe, steps: int) -> LRScheduler:
    """Return the schedule of the recipe over so many ``steps``."""
    if recipe.schedule == "one_cycle":
        return OneCycleLR(
            optimizer,
            max_lr=recipe.learning_rate,
            total_steps=steps + 1,  # the loop also asks for the rate after the last step
            pct_start=recipe.warmup,
            cycle_momentum=recipe.momentum > 0,
            base_momentum=min(0.85, recipe.momentum),
            max_momentum=recipe.momentum,
        )
    return cosine(optimizer, total_steps=steps, warmup=recipe.warmup)


@torch.inference_mode()
def _validate(model: nn.Module, valid: LabelledImages, normalize: Callable[[Tensor], Tensor]) -> dict[str, float]:
    right, loss = 0, 0.0
    size = evaluation_batch(valid.images.shape[-1])
    for images, labels in zip(valid.images.split(size), valid.labels.split(size), strict=True):
        scores: Any = model(normalize(images))
        right += int((scores.argmax(1) == labels).sum())
        loss += float(F.cross_entropy(scores.float(), labels, reduction="sum"))
    return {ACCURACY: 100 * right / len(valid), "val/loss": loss / len(valid)}
