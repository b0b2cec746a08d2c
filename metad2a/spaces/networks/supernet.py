"""All networks of the MobileNetV3 space in one set of shared weights."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from metad2a.spaces.networks.lean import lean
from metad2a.spaces.networks.mobilenetv3 import (
    DEPTHS,
    DOWNSAMPLING,
    EXPANSIONS,
    KERNELS,
    LAYERS,
    STAGES,
    Block,
    BlockShape,
    MobileNetV3Network,
)

Layers = Sequence[Sequence[tuple[int, int]]]
"""The kernel and the expansion of each layer that a network uses, by stage."""
LARGEST = (((KERNELS[-1], EXPANSIONS[-1]),) * DEPTHS[-1],) * STAGES
SMALLEST = (((KERNELS[0], EXPANSIONS[0]),) * DEPTHS[0],) * STAGES
_Size = tuple[int, int, int]  # classes, width and downsampling


class Supernet(nn.Module):
    """The largest network of the space, whose parts are the weights of all others.

    Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient Deployment", ICLR 2020: a network
    takes the first layers of each stage and the first channels of each layer; a kernel of 5 is the centre of that
    of 7 times a learned matrix, one of 3 the centre of that of 5 times another. The matrices begin as identities.

    Statistics of normalisations are right for no network: call ``recalibrate`` before one is used.

    Args:
        num_classes: outputs.
        width: see ``MobileNetV3Network``.
        downsampling: see ``MobileNetV3Network``.
    """

    def __init__(self, num_classes: int, *, width: int, downsampling: int = DOWNSAMPLING) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.size = {"width": width, "downsampling": downsampling}
        self.largest = MobileNetV3Network(LARGEST, num_classes, **self.size)
        self.to5, self.to3 = (
            nn.ParameterList(nn.Parameter(torch.eye(side**2)) for _ in range(STAGES * LAYERS)) for side in (5, 3)
        )

    @property
    def _whole_size(self) -> _Size:
        return self.num_classes, self.size["width"], self.size["downsampling"]

    def forward(self, images: Float[Tensor, "B 3 height width"], layers: Layers) -> Float[Tensor, "B classes"]:
        """Return the logits of the network of ``layers``; gradients flow into the shared weights."""
        network = _skeleton(layers, self._whole_size).train(self.training)
        with lean(network):
            logits: Tensor = functional_call(network, self.inherited(layers), (images,))
        return logits

    def inherited(self, layers: Layers) -> dict[str, Tensor]:
        """Return the state of a network of ``layers``: views of the shared weights, and kernels made of them."""
        names = _skeleton(layers, self._whole_size).state_dict()
        shared = dict(self.largest.named_parameters()) | dict(self.largest.named_buffers())
        state = {name: shared[name][tuple(map(slice, own.shape))] for name, own in names.items()}
        for stage, blocks in enumerate(layers):
            for layer, (kernel, _) in enumerate(blocks):
                name = f"stages.{stage}.{layer}.body.depthwise.conv.weight"
                whole = shared[name][: len(names[name])]
                state[name] = self._kernel(whole, stage * LAYERS + layer, kernel)
        return state

    def _kernel(
        self, whole: Float[Tensor, "channels 1 7 7"], place: int, kernel: int
    ) -> Float[Tensor, "channels 1 kernel kernel"]:
        for side, matrices in ((5, self.to5), (3, self.to3)):
            if kernel <= side:
                centre = whole[:, :, 1:-1, 1:-1].flatten(2)
                whole = F.linear(centre, matrices[place]).unflatten(2, (side, side))
        return whole

    def network(self, layers: Layers, rows: Sequence[int] | None = None) -> MobileNetV3Network:
        """Return a network of its own with copies of the inherited weights.

        Args:
            layers: of the network.
            rows: the classes it tells apart, by number, in the order of its outputs; all when None.
        """
        state = {name: value.detach().clone() for name, value in self.inherited(layers).items()}
        if rows is not None:
            chosen = torch.as_tensor(rows, device=state["classifier.bias"].device)
            state |= {name: state[name][chosen] for name in ("classifier.weight", "classifier.bias")}
        size = (len(state["classifier.bias"]), self.size["width"], self.size["downsampling"])
        network = copy.deepcopy(_skeleton(layers, size))
        network.load_state_dict(state, assign=True)
        return network.train(self.training)


def _skeleton(layers: Layers, size: _Size) -> MobileNetV3Network:
    """Return a network without weights: its modules, and the names and shapes of what they need.

    To build one takes as long as a good part of a step, so all are composed of the same blocks.
    """
    network = copy.copy(_template(size))
    network._modules = dict(network._modules)
    network.stages = nn.Sequential(
        *(
            nn.Sequential(*(_block(stage, layer, *kind, size) for layer, kind in enumerate(blocks)))
            for stage, blocks in enumerate(layers)
        )
    )
    return network


@lru_cache(maxsize=8)
def _template(size: _Size) -> MobileNetV3Network:
    num_classes, width, downsampling = size
    with torch.device("meta"):
        return MobileNetV3Network(SMALLEST, num_classes, width=width, downsampling=downsampling)


@lru_cache(maxsize=8 * STAGES * LAYERS * len(KERNELS) * len(EXPANSIONS))
def _block(stage: int, layer: int, kernel: int, expansion: int, size: _Size) -> Block:
    _, width, downsampling = size
    with torch.device("meta"):
        return Block(
            BlockShape.searched(
                stage, layer, kernel=kernel, expansion=expansion, width=width, downsampling=downsampling
            )
        )


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Float[Tensor, "_ 3 height width"]]) -> None:
    """Replace the statistics of all batch normalisations by those of ``batches``; ``network`` evaluates afterwards.

    Args:
        network: its weights stay as they are.
        batches: normalised images, in at least one batch, all of two or more.
    """
    with _cumulative(network):
        for images in batches:
            network(images)
    network.eval()


@contextmanager
def _cumulative(network: nn.Module) -> Iterator[None]:
    """Let the normalisations of ``network`` average over batches, all alike, from nothing."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.train()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
