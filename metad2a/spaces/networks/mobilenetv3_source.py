"""A network of the MobileNetV3 space as Python code that a person can read and that needs torch alone."""

from collections.abc import Sequence

from metad2a.spaces.networks.mobilenetv3 import DOWNSAMPLING, BlockShape, fixed_widths, strides

_HEAD = '''\
from collections import OrderedDict

import torch
from torch import Tensor, nn


def conv_norm(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> OrderedDict[str, nn.Module]:
    """Return a convolution and its batch normalisation, by name."""
    padding = kernel // 2
    conv = nn.Conv2d(
        inputs, outputs, kernel, stride, padding, groups=groups, bias=False
    )
    return OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs))


def activation(swish: bool) -> nn.Module:
    """Return a hard swish or a ReLU."""
    return nn.Hardswish() if swish else nn.ReLU()


class SqueezeExcite(nn.Module):
    """Each channel times a gate, which is computed from the means of all channels."""

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

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated channels."""
        return x * self.gate(x)


class Block(nn.Module):
    """An inverted residual block: expansion, depthwise convolution, projection."""

    def __init__(
        self,
        inputs: int,
        expanded: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        squeezed: int = 0,
        swish: bool = False,
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and inputs == outputs
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if expanded != inputs:
            expand = conv_norm(inputs, expanded)
            parts["expand"] = nn.Sequential(
                OrderedDict(**expand, act=activation(swish))
            )
        depthwise = conv_norm(expanded, expanded, kernel, stride, groups=expanded)
        parts["depthwise"] = nn.Sequential(
            OrderedDict(**depthwise, act=activation(swish))
        )
        if squeezed:
            parts["squeeze"] = SqueezeExcite(expanded, squeezed)
        parts["project"] = nn.Sequential(conv_norm(expanded, outputs))
        self.body = nn.Sequential(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the body, plus the input where the shapes agree."""
        return x + self.body(x) if self.shortcut else self.body(x)


class Network(nn.Module):
    """The whole network: a stem, a first block, five stages of blocks, a head."""

    def __init__(self, num_classes: int = @CLASSES@) -> None:
        super().__init__()
        stem = conv_norm(3, @STEM@, kernel=3, stride=@STRIDE@)
        self.stem = nn.Sequential(OrderedDict(**stem, act=activation(swish=True)))
        self.first = @FIRST@
        self.stages = nn.Sequential(
'''

_TAIL = '''\
        )
        self.head = nn.Sequential(
            OrderedDict(
                **conv_norm(@LAST@, @EXPANDED@),
                act=nn.Hardswish(),
                pool=nn.AdaptiveAvgPool2d(1),
                mix=nn.Conv2d(@EXPANDED@, @FEATURES@, 1, bias=False),
                mix_act=nn.Hardswish(),
                flatten=nn.Flatten(),
            )
        )
        self.classifier = nn.Linear(@FEATURES@, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode="fan_out", nonlinearity="relu"
                )
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, num_classes) scores of (batch, 3, height, width) images."""
        x = self.first(self.stem(images))
        x = self.head(self.stages(x))
        return self.classifier(x)
'''


def mobile_network_source(
    stages: Sequence[Sequence[tuple[int, int]]],
    num_classes: int,
    *,
    width: int,
    downsampling: int = DOWNSAMPLING,
) -> str:
    """Return code that defines ``Network``, equal to ``MobileNetV3Network`` of the same arguments.

    The names of its parameters are the same.
    """
    stem, last, expanded, features = fixed_widths(width)
    size = {"width": width, "downsampling": downsampling}
    lines = []
    for stage, layers in enumerate(stages):
        lines.append("            nn.Sequential(")
        for layer, (kernel, expansion) in enumerate(layers):
            shape = BlockShape.searched(stage, layer, kernel=kernel, expansion=expansion, **size)
            lines.append(f"                {_block(shape)},")
        lines.append("            ),")
    text = _HEAD + "\n".join(lines) + "\n" + _TAIL
    for name, value in {
        "CLASSES": num_classes,
        "STEM": stem,
        "STRIDE": strides(downsampling)[0],
        "FIRST": _block(BlockShape.first(width)),
        "LAST": last,
        "EXPANDED": expanded,
        "FEATURES": features,
    }.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _block(shape: BlockShape) -> str:
    parts = [str(shape.inputs), str(shape.expanded), str(shape.outputs), f"kernel={shape.kernel}"]
    if shape.stride > 1:
        parts.append(f"stride={shape.stride}")
    if shape.squeezed:
        parts.append(f"squeezed={shape.squeezed}")
    if shape.hard_swish:
        parts.append("swish=True")
    return f"Block({', '.join(parts)})"
