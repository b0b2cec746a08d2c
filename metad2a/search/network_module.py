"""The text of an exported network: a Python module that needs torch alone."""

from collections.abc import Sequence
from typing import Any

import metad2a
from metad2a.spaces.base import Architecture, SearchSpace

WEIGHTS_FILE = "weights.pt"

_BUILD = f'''

def build(weights: str | None = None) -> Network:
    """Return the network: untrained, or with the weights of a file, for use.

    ``weights`` is a file such as {WEIGHTS_FILE}, which ``torch.save`` wrote: a state_dict.
    """
    network = Network()
    if weights is not None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
        network.eval()
    return network
'''

_PREPARE = '''

def prepare(images: Tensor) -> Tensor:
    """Return (batch, 3, height, width) RGB images of 0 to 255 as the network wants them."""
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(3, 1, 1)
    return (images.float() - mean) / std
'''


def network_module(
    space: SearchSpace,
    arch: Architecture,
    num_classes: int,
    *,
    resolution: int,
    scale: dict[str, int],
    moments: tuple[Sequence[float], Sequence[float]] | None = None,
) -> str:
    """Return the module: what it is, the space's ``source``, and functions ``build`` and, if possible, ``prepare``.

    Args:
        space: of ``arch``.
        arch: the network.
        num_classes: its outputs, unless told otherwise.
        resolution: pixels a side of the images for which FLOPs are counted.
        scale: the space's size options.
        moments: mean and standard deviation of the channels (0 to 255) that the weights were trained with.

    Raises:
        ArchitectureError: the space cannot write its networks.
    """
    code = space.source(arch, num_classes, **scale)
    imports, first, classes = _split(code)
    constants = ""
    if moments is not None:
        mean, std = (", ".join(repr(round(float(value), 4)) for value in values) for values in moments)
        constants = f"MEAN = ({mean})\nSTD = ({std})\n"
    text = _docstring(space, arch, num_classes, resolution, scale, prepared=moments is not None) + "\n" + imports
    text += f"\n{constants}" if constants else ""
    return text + first + classes + _BUILD + (_PREPARE if moments is not None else "")


def load_module(text: str) -> dict[str, Any]:
    """Return the names that a module of ``network_module`` defines."""
    names: dict[str, Any] = {"__name__": "network"}
    exec(compile(text, "network.py", "exec"), names)  # noqa: S102 - the text is the space's and this file's own
    return names


def _split(code: str) -> tuple[str, str, str]:
    """Return the imports, the empty lines behind them, and the rest."""
    lines = code.splitlines(keepends=True)
    last = next(i for i, line in enumerate(lines) if line.startswith(("class ", "def ", "@")))
    return "".join(lines[:last]).rstrip() + "\n", "\n\n", "".join(lines[last:])


def _docstring(
    space: SearchSpace,
    arch: Architecture,
    num_classes: int,
    resolution: int,
    scale: dict[str, int],
    *,
    prepared: bool,
) -> str:
    params = int(space.params([arch], num_classes, **scale)[0])
    flops = int(space.flops([arch], num_classes, resolution, **scale)[0])
    sizes = "".join(f", {name} {value}" for name, value in scale.items())
    images = "prepare(images of 0 to 255)" if prepared else "normalised images"
    return f'''"""A network that metad2a {metad2a.__version__} wrote. It needs torch alone.

Space:         {space.name}{sizes}
Architecture:  {space.format(arch)}
Parameters:    {params:,}
Multiply-adds: {flops:,} for an image of {resolution} x {resolution} pixels
Input:         (batch, 3, height, width) {images}, RGB
Output:        (batch, {num_classes}) scores; softmax makes them probabilities
"""
'''
