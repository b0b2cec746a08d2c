"""Proxies that look at a freshly initialised network: what they have in common."""

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError, DataError
from metad2a.proxies.base import Proxy
from metad2a.runtime import numpy_rng, stream_seed, torch_rng
from metad2a.spaces.base import Architecture, SearchSpace

DEAD = -1e30
"""The score of a network whose output does not depend on its input: lower than that of any network that works."""

_ALIVE_IMAGES = 2


@dataclass(frozen=True)
class Batch:
    """Training images as a network gets them.

    Attributes:
        images: normalised.
        labels: class numbers.
    """

    images: Float[Tensor, "B 3 s s"]
    labels: Int[Tensor, " B"]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> "Batch":
        """Return some of the images."""
        return Batch(self.images[part], self.labels[part])


@dataclass(frozen=True)
class Inputs:
    """Where the batches that a score is computed on come from.

    Args:
        images: the data set. None: Gaussian noise with random labels, for scores of a space rather than of a
            data set.
        batch_size: images a batch.
        resolution: pixels a side.
        seed: of the choice of images (or of the noise) and of the first weights of the networks.
        scale: the space's size options for the networks; its own when empty.

    Raises:
        ConfigError: a number is too small.
    """

    images: ImageSet | None = None
    batch_size: int = 64
    resolution: int = 32
    seed: int = 0
    scale: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 2), ("resolution", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"inputs of a proxy: {name}={getattr(self, name)}, but must be at least {least}.")

    def for_data(
        self, images: ImageSet | None, *, resolution: int, seed: int, batch_size: int | None = None
    ) -> "Inputs":
        """Return the same for a data set.

        Inputs of networks of a size of their own (``scale``) keep the number and the size of their images.

        Args:
            images: see the class; if they are fewer than a batch, the batch is smaller.
            resolution: see the class.
            seed: see the class.
            batch_size: see the class; that of these inputs when None.
        """
        size = self.batch_size if batch_size is None or self.scale else batch_size
        return replace(
            self,
            images=images,
            batch_size=size if images is None else min(size, len(images)),
            resolution=self.resolution if self.scale else resolution,
            seed=seed,
        )

    def batches(self, count: int, num_classes: int) -> list[Batch]:
        """Return ``count`` batches that share no image.

        Raises:
            DataError: there are too few images, or they are of another number of classes.
        """
        if self.images is None:
            return [self._noise(number, num_classes) for number in range(count)]
        if self.images.num_classes != num_classes:
            raise DataError(
                f"a proxy is to score networks of {num_classes} classes on '{self.images.name}', which has "
                f"{self.images.num_classes}."
            )
        wanted = count * self.batch_size
        if len(self.images) < wanted:
            raise DataError(
                f"'{self.images.name}' has {len(self.images)} images, but the score needs {count} batches of "
                f"{self.batch_size}. Make the batches smaller."
            )
        chosen = numpy_rng("proxy images", self.seed).permutation(len(self.images))[:wanted]
        pixels = torch.from_numpy(self.images.load(chosen, self.resolution)).permute(0, 3, 1, 2).float()
        std, mean = torch.std_mean(pixels, dim=(0, 2, 3), keepdim=True)
        labels = torch.from_numpy(self.images.labels[chosen])
        whole = Batch((pixels - mean) / std.clamp_min(1.0), labels)
        return [whole[start : start + self.batch_size] for start in range(0, wanted, self.batch_size)]

    def _noise(self, number: int, num_classes: int) -> Batch:
        rng = torch_rng(self.seed, "proxy noise", number)
        shape = (self.batch_size, 3, self.resolution, self.resolution)
        return Batch(torch.randn(shape, generator=rng), torch.randint(num_classes, shape[:1], generator=rng))


class NetworkProxy(Proxy):
    """A score of one freshly initialised network, which is left as it was.

    Args:
        inputs: the batches, and the size of the networks.

    Attributes:
        batch_count: batches that it needs.
    """

    batch_count: int = 1

    def __init__(self, inputs: Inputs | None = None) -> None:
        self.inputs = inputs or Inputs()

    def score(self, space: SearchSpace, archs: Sequence[Architecture], num_classes: int) -> Float[np.ndarray, " A"]:
        """See ``Proxy.score``; a dead network gets ``DEAD``.

        Raises:
            DataError: the images do not suffice.
        """
        if not archs:
            return np.empty(0)
        batches = self.inputs.batches(self.batch_count, num_classes)
        return np.array([self.score_network(self._build(space, arch, num_classes), batches) for arch in archs])

    def score_network(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """Return the score of ``net``, which is neither changed nor trained; ``DEAD`` if it is dead.

        The random numbers that some scores draw depend on ``inputs.seed`` alone.
        """
        own = copy.deepcopy(net).train()
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream_seed(self.inputs.seed, self.name))
            if not is_alive(own, batches[0][:_ALIVE_IMAGES].images):
                return DEAD
            value = self.measure(copy.deepcopy(net).train(), batches)
        return value if math.isfinite(value) else DEAD

    @abstractmethod
    def measure(self, net: nn.Module, batches: Sequence[Batch]) -> float:
        """Return the score of a network in training mode, a copy with which anything may be done."""

    def _build(self, space: SearchSpace, arch: Architecture, num_classes: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream_seed(self.inputs.seed, "weights"))
            return space.build(arch, num_classes, **self.inputs.scale)


def is_alive(net: nn.Module, images: Float[Tensor, "B 3 s s"]) -> bool:
    """Return whether the outputs of ``net`` depend on its inputs."""
    inputs = images.clone().requires_grad_()
    outputs = net(inputs)
    if not outputs.requires_grad:
        return False
    # Sums of normalised outputs can have no gradient though each has one: weigh the outputs unevenly.
    weights = torch.linspace(0.5, 1.5, outputs.numel()).view_as(outputs)
    (gradient,) = torch.autograd.grad((outputs * weights).sum(), inputs, allow_unused=True)
    return gradient is not None and bool(gradient.abs().max() > 0)


def weighted_layers(net: nn.Module) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    """Yield the convolutions and linear layers of ``net``, by name."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield name, module


def weight_gradients(
    net: nn.Module, batch: Batch, loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
) -> list[tuple[Tensor, Tensor]]:
    """Return the weight of each convolution and linear layer with its gradient; zeros where it gets none."""
    weights = [layer.weight for _, layer in weighted_layers(net)]
    found = torch.autograd.grad(loss(net(batch.images), batch.labels), weights, allow_unused=True)
    return [
        (weight.detach(), torch.zeros_like(weight) if gradient is None else gradient.detach())
        for weight, gradient in zip(weights, found, strict=True)
    ]


def relus(net: nn.Module) -> list[nn.Module]:
    """Return the rectifiers of ``net``: where its regions are divided. h-swish counts, divided at zero."""
    return [module for module in net.modules() if isinstance(module, nn.ReLU | nn.ReLU6 | nn.Hardswish)]
