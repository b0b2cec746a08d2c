"""Reader of the weights that Once-for-All published: ``ofa_mbv3_d234_e346_k357_w1.0`` and ``_w1.2``."""

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metad2a.errors import CheckpointError
from metad2a.fitting.supernet_file import SUFFIX, TrainedSupernet
from metad2a.runtime import sha256
from metad2a.spaces.networks.mobilenetv3 import LAYERS
from metad2a.spaces.networks.supernet import Supernet

NAMES = {100: "ofa_mbv3_d234_e346_k357_w1.0", 120: "ofa_mbv3_d234_e346_k357_w1.2"}
"""The published files, by width in percent."""
RESOLUTION = 224
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of ImageNet, of 255
_WHERE = (
    "They are in the model zoo of Once-for-All (github.com/mit-han-lab/once-for-all): its "
    f"ofa_net('{NAMES[100]}', pretrained=True) leaves the file in .torch/ofa_nets."
)
_ERRORS = (OSError, EOFError, KeyError, ValueError, RuntimeError, AttributeError, pickle.UnpicklingError)

# The same module has one more level, or another name, in some versions of their code.
_SPELLINGS = (
    (re.compile(r"^module\."), ""),
    (re.compile(r"^(blocks\.\d+)\.(?:mobile_inverted_conv|conv)\."), r"\1."),
    (re.compile(r"\.(conv|bn|linear)\.\1\."), r".\1."),
)
_OUTER = {
    "stem.conv": "first_conv.conv",
    "stem.norm": "first_conv.bn",
    "head.conv": "final_expand_layer.conv",
    "head.norm": "final_expand_layer.bn",
    "head.mix": "feature_mix_layer.conv",
    "classifier": "classifier.linear",
}
_INNER = {
    "expand.conv": "inverted_bottleneck.conv",
    "expand.norm": "inverted_bottleneck.bn",
    "depthwise.conv": "depth_conv.conv",
    "depthwise.norm": "depth_conv.bn",
    "squeeze.gate.reduce": "depth_conv.se.fc.reduce",
    "squeeze.gate.expand": "depth_conv.se.fc.expand",
    "project.conv": "point_linear.conv",
    "project.norm": "point_linear.bn",
}


def read_ofa_supernet(
    path: str | Path, *, width: int | None = None, classes: Sequence[str] | None = None
) -> TrainedSupernet:
    """Read a published weights file; nothing in it is executed.

    Args:
        path: of the file.
        width: of its networks in percent, 100 or 120; found out when None.
        classes: names of the rows of the head, which are ImageNet's classes in the order of sorted WordNet ids;
            ``folder 0`` ... when None, as ``metad2a.data.imagenet.names`` has it.

    Raises:
        CheckpointError: the file is missing, damaged or something else, lacks weights, or is of another width.
    """
    path = Path(path)
    state = _read(path)
    found = _width(path, state)
    if width is not None and width != found:
        raise CheckpointError(
            f"the weights in {path} are of width {found}, not {width}. Give {NAMES[width]}, or width={found}."
            if width in NAMES
            else f"the weights in {path} are of width {found}, not {width}: weights of {width} were not published."
        )
    names = tuple(classes or (f"folder {number}" for number in range(len(state["classifier.linear.bias"]))))
    net = Supernet(len(names), width=found)
    net.load_state_dict(_renamed(path, state, net))
    provenance = {"source": "Once-for-All (Cai et al., ICLR 2020)", "file": path.name, "sha256": sha256(path)}
    return TrainedSupernet(net.eval(), names, RESOLUTION, _MEAN, _STD, provenance=provenance)


def _read(path: Path) -> dict[str, Tensor]:
    """Return the weights by names of one spelling."""
    if not path.is_file():
        raise CheckpointError(f"there are no supernet weights {path}. {_WHERE}")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except _ERRORS as error:
        raise CheckpointError(
            f"{path} cannot be read as weights ({type(error).__name__}). A file of `metad2a train supernet` "
            f"ends in {SUFFIX}. {_WHERE}"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} holds no weights by name. {_WHERE}")
    state = {}
    for name, value in content.items():
        for spelling, ours in _SPELLINGS:
            name = spelling.sub(ours, str(name))
        state[name] = value
    for name in ("first_conv.conv.weight", "classifier.linear.weight", "classifier.linear.bias"):
        if name not in state:
            raise CheckpointError(f"{path} lacks {name}: it is no MobileNetV3 supernet of Once-for-All. {_WHERE}")
    return state


def _width(path: Path, state: Mapping[str, Tensor]) -> int:
    """Return the width whose networks have the channels of the head."""
    features = state["classifier.linear.weight"].shape[1]
    for width in NAMES:
        with torch.device("meta"):
            if Supernet(1, width=width).largest.classifier.in_features == features:
                return width
    raise CheckpointError(
        f"the head of {path} has {features} features, which no network of width "
        f"{' or '.join(map(str, NAMES))} has. {_WHERE}"
    )


def _renamed(path: Path, state: Mapping[str, Tensor], net: Supernet) -> dict[str, Tensor]:
    """Return the state of ``net``, whose every name and shape the file must have."""
    renamed, lacking = {}, []
    for name, own in net.state_dict().items():
        theirs = _their_name(name)
        value = state.get(theirs)
        if value is None and name.endswith("num_batches_tracked"):
            value = torch.zeros_like(own)
        if value is None or value.shape != own.shape:
            lacking.append(f"{theirs} {tuple(own.shape)}")
        else:
            renamed[name] = value
    if lacking:
        raise CheckpointError(
            f"{path} lacks {len(lacking)} weights, {lacking[0]} the first: it is no whole "
            f"{NAMES[net.size['width']]}. {_WHERE}"
        )
    return renamed


def _their_name(name: str) -> str:
    matrix = re.fullmatch(r"to([53])\.(\d+)", name)
    if matrix:
        smaller = {"5": "7to5", "3": "5to3"}[matrix[1]]
        return f"blocks.{1 + int(matrix[2])}.depth_conv.conv.{smaller}_matrix"
    name = name.removeprefix("largest.")
    block = re.fullmatch(r"(?:first|stages\.(\d)\.(\d))\.body\.(.+)\.(\w+)", name)
    if block:
        number = 0 if block[1] is None else 1 + LAYERS * int(block[1]) + int(block[2])
        return f"blocks.{number}.{_INNER[block[3]]}.{block[4]}"
    module, _, kind = name.rpartition(".")
    return f"{_OUTER[module]}.{kind}"
