"""The networks of the MobileNetV3 space of Once-for-All."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from metad2a.spaces.networks.depthwise import DepthwiseConv2d

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
DEPTHS = (2, 3, 4)
STAGES, LAYERS = 5, 4
"""Stages that are searched, and the most layers that one of them can have."""

_STEM, _EXPAND, _FEATURES = 16, 960, 1280
_WIDTHS = (24, 40, 80, 112, 160)
_STRIDES = (2, 2, 2, 2, 1, 2)  # of the stem and of the stages
DOWNSAMPLING = 32
"""Pixels a side of the image for one of the last stage, as Once-for-All has it; the product of the strides."""
_LEFT_OUT = (1, 3, 0, 2, 5)  # of the strides, the first one first
_SQUEEZES = (False, True, False, True, True)
_HARD_SWISHES = (False, False, True, True, True)


def _divisible(channels: int | float) -> int:
    """Return the multiple of eight next to ``channels``, at least eight and never less than nine tenths of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _scaled(channels: int, width: int) -> int:
    return _divisible(channels * width / 100)


def fixed_widths(width: int) -> tuple[int, int, int, int]:
    """Return the channels of the stem, of the last stage, of the head, and of the features that it gives."""
    stem, last, expanded, features = (_scaled(base, width) for base in (_STEM, _WIDTHS[-1], _EXPAND, _FEATURES))
    return stem, last, expanded, features


def strides(downsampling: int = DOWNSAMPLING) -> tuple[int, ...]:
    """Return the strides of the stem and of each stage, whose product is ``downsampling``, a power of two up to 32.

    Small images need fewer halvings: that of the first stage is left out, then those of the third stage, the stem,
    the second and the last stage, so that what stays is spread over the network.
    """
    kept = list(_STRIDES)
    for place in _LEFT_OUT:
        if math.prod(kept) > downsampling:
            kept[place] = 1
    return tuple(kept)


@dataclass(frozen=True)
class BlockShape:
    """The sizes of an inverted residual block, from which it is built and its costs are counted.

    Attributes:
        inputs: channels that come in.
        expanded: channels in the middle; no expanding convolution if these are the ``inputs``.
        outputs: channels that go out.
        kernel: pixels a side of the depthwise kernel.
        stride: stride of the depthwise convolution.
        squeezed: channels of the squeeze-and-excitation in the middle, 0 for none.
        hard_swish: whether the activations are hard swishes instead of ReLUs.
    """

    inputs: int
    expanded: int
    outputs: int
    kernel: int
    stride: int
    squeezed: int
    hard_swish: bool

    @classmethod
    def first(cls, width: int) -> "BlockShape":
        """Return the block before the searched ones."""
        channels = _scaled(_STEM, width)
        return cls(channels, channels, channels, kernel=3, stride=1, squeezed=0, hard_swish=False)

    @classmethod
    def searched(
        cls,
        stage: int,
        layer: int,
        *,
        kernel: int,
        expansion: int,
        width: int,
        downsampling: int = DOWNSAMPLING,
    ) -> "BlockShape":
        """Return the block at ``layer`` of ``stage``, both from 0."""
        outputs = _scaled(_WIDTHS[stage], width)
        before = _WIDTHS[stage - 1] if stage else _STEM
        inputs = outputs if layer else _scaled(before, width)
        expanded = _divisible(inputs * expansion)
        return cls(
            inputs,
            expanded,
            outputs,
            kernel=kernel,
            stride=1 if layer else strides(downsampling)[1 + stage],
            squeezed=_divisible(expanded // 4) if _SQUEEZES[stage] else 0,
            hard_swish=_HARD_SWISHES[stage],
        )

    def params(self) -> int:
        """Return the number of trainable parameters."""
        normalised = self.expanded + self.outputs + (self.expanded if self._expands else 0)
        biases = self.squeezed + self.expanded if self.squeezed else 0
        return self._before() + self._after() + self._squeeze() + 2 * normalised + biases

    def flops(self, side: int) -> int:
        """Return the multiply-adds for an input of ``side`` pixels a side."""
        return self._before() * side**2 + self._after() * strided(side, self.stride) ** 2 + self._squeeze()

    @property
    def _expands(self) -> bool:
        return self.expanded != self.inputs

    def _before(self) -> int:
        """Return the weights applied to every pixel of the input."""
        return self.inputs * self.expanded if self._expands else 0

    def _after(self) -> int:
        """Return the weights applied to every pixel of the output."""
        return self.kernel**2 * self.expanded + self.expanded * self.outputs

    def _squeeze(self) -> int:
        """Return the weights applied once."""
        return 2 * self.expanded * self.squeezed


def strided(side: int, stride: int) -> int:
    """Return the pixels a side of what a padded convolution makes of ``side``."""
    return -(-side // stride)


# --- modules --------------------------------------------------------------------------------------------------


def _activation(hard_swish: bool) -> nn.Module:
    return nn.Hardswish() if hard_swish else nn.ReLU()


def _conv_norm(inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1) -> OrderedDict[str, nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs))


class SqueezeExcite(nn.Module):
    """Each channel times a gate, which two layers compute from the means of all channels.

    Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018; the gate is MobileNetV3's hard sigmoid.

    Args:
        channels: width of the input and of the output.
        squeezed: width in between.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            OrderedDict(
                pool=nn.AdaptiveAvgPool2d(1),
                reduce=nn.Conv2d(channels, squeezed, 1),
                relu=nn.ReLU(),
                expand=nn.Conv2d(squeezed, channels, 1),
                sigmoid=nn.Hardsigmoid(),
            )
        )

    def forward(self, x: Float[Tensor, "B channels height width"]) -> Float[Tensor, "B channels height width"]:
        """Return the gated channels."""
        return x * self.gate(x)


class Block(nn.Module):
    """An inverted residual block: 1x1 expansion, depthwise convolution, squeeze-and-excitation, 1x1 projection.

    The input is added where it has the shape of the output.

    Args:
        shape: its sizes.
    """

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        self.shortcut = shape.stride == 1 and shape.inputs == shape.outputs
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if shape.expanded != shape.inputs:
            parts["expand"] = nn.Sequential(
                OrderedDict(**_conv_norm(shape.inputs, shape.expanded), act=_activation(shape.hard_swish))
            )
        parts["depthwise"] = nn.Sequential(
            OrderedDict(
                conv=DepthwiseConv2d(shape.expanded, shape.kernel, shape.stride),
                norm=nn.BatchNorm2d(shape.expanded),
                act=_activation(shape.hard_swish),
            )
        )
        if shape.squeezed:
            parts["squeeze"] = SqueezeExcite(shape.expanded, shape.squeezed)
        parts["project"] = nn.Sequential(_conv_norm(shape.expanded, shape.outputs))
        self.body = nn.Sequential(parts)

    def forward(self, x: Float[Tensor, "B inputs height width"]) -> Float[Tensor, "B outputs new_h new_w"]:
        """Return the body's output, plus the input where the shapes agree."""
        return x + self.body(x) if self.shortcut else self.body(x)


def start_as_identity(network: nn.Module) -> None:
    """Let every block with a shortcut begin as the identity: the last normalisation in it multiplies by zero.

    So a deep network learns from its first step as a shallow one does (Goyal et al., "Accurate, Large Minibatch
    SGD", 2017; for supernets Yu et al., "BigNAS", ECCV 2020). It is not how networks are built, since a score that
    looks at untrained networks would see no more of such a block.
    """
    for block in network.modules():
        if isinstance(block, Block) and block.shortcut:
            nn.init.zeros_(block.get_parameter("body.project.norm.weight"))


class MobileNetV3Network(nn.Module):
    """A network of Once-for-All: a stem, a fixed block, five stages of searched blocks, a classifier.

    Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient Deployment", ICLR 2020, whose
    blocks and widths are those of MobileNetV3-Large (Howard et al., "Searching for MobileNetV3", ICCV 2019).

    As in Once-for-All, convolutions start normally distributed, with the variance that keeps that of the gradients
    (He et al., "Delving Deep into Rectifiers", ICCV 2015). There is no dropout.

    Args:
        stages: the kernel and the expansion of each layer that is used, by stage.
        num_classes: outputs.
        width: channels of every layer, in percent of the original; multiples of eight come out.
        downsampling: pixels a side of the image for one of the last stage; see ``strides``.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[tuple[int, int]]],
        num_classes: int,
        *,
        width: int,
        downsampling: int = DOWNSAMPLING,
    ) -> None:
        super().__init__()
        size = {"width": width, "downsampling": downsampling}
        stem, last, expanded, features = fixed_widths(width)
        self.stem = nn.Sequential(
            OrderedDict(
                **_conv_norm(3, stem, kernel=3, stride=strides(downsampling)[0]), act=_activation(hard_swish=True)
            )
        )
        self.first = Block(BlockShape.first(width))
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    *(
                        Block(BlockShape.searched(stage, layer, kernel=kernel, expansion=expansion, **size))
                        for layer, (kernel, expansion) in enumerate(layers)
                    )
                )
                for stage, layers in enumerate(stages)
            )
        )
        self.head = nn.Sequential(
            OrderedDict(
                **_conv_norm(last, expanded),
                act=_activation(hard_swish=True),
                pool=nn.AdaptiveAvgPool2d(1),
                mix=nn.Conv2d(expanded, features, 1, bias=False),
                mix_act=_activation(hard_swish=True),
                flatten=nn.Flatten(),
            )
        )
        self.classifier = nn.Linear(features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Float[Tensor, "B 3 height width"]) -> Float[Tensor, "B classes"]:
        """Return the logits of ``images``."""
        return self.classifier(self.head(self.stages(self.first(self.stem(images)))))
