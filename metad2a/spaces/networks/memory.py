"""What one forward pass of the shipped networks keeps in memory, from the decisions alone.

Counted are the bytes of the weights, of the statistics of normalisations, of the image, and of the most results of
operations that are alive at one time. A result is alive while a ``forward`` still holds it: as its argument, in a
variable, or in a list. So these rules follow the code of the modules line by line, and tests compare them with
passes that were watched. What a kernel needs inside is not counted: it is the library's business.
"""

import numpy as np
from jaxtyping import Int64

from metad2a.spaces.networks import mobilenetv3, nasbench201
from metad2a.spaces.networks import mobilenetv3_costs as counts
from metad2a.spaces.networks.mobilenetv3 import BlockShape

_FLOAT = 4  # bytes of a number
_COUNTER = 8  # bytes of the counter that every normalisation has

# Results that an operation of a cell makes (a skip hands its input on), and the most that it holds while it runs:
# in ReLU, convolution, normalisation each still holds what it reads.
_MADE = np.array([1, 0, 1, 1, 1])
_HELD = np.array([1, 0, 2, 2, 1])


def _normalisation(channels: int, count: int) -> int:
    """Return the bytes of the statistics of ``count`` normalisations with so many ``channels`` together."""
    return 2 * _FLOAT * channels + _COUNTER * count


# --- NAS-Bench-201 --------------------------------------------------------------------------------------------


def _cell_results(operations: Int64[np.ndarray, "B 6"]) -> Int64[np.ndarray, " B"]:
    """Return how many results a cell holds at most, beside its input; all are of the input's size."""
    made, held = _MADE[operations], _HELD[operations]
    # The incoming edges of a node stay in their list until those of the next node are all there.
    before = np.cumsum(made, axis=1) - made
    before[:, 3:] += 1  # the second node, a sum; the first is its one incoming edge
    second = made[:, :3].sum(axis=1) + 1
    output = made[:, 0] + 1 + made[:, 3:].sum(axis=1) + 2  # the last sum, and what it was before its last summand
    return np.maximum(np.maximum((before + held).max(axis=1), second), output)


def cell_network_memory(
    operations: Int64[np.ndarray, "B 6"], num_classes: int, resolution: int, *, channels: int, cells: int
) -> Int64[np.ndarray, " B"]:
    """Return the bytes of one forward pass of one image through each cell's network."""
    widths = np.array([channels, 2 * channels, 4 * channels])
    sides = np.array([resolution, -(-resolution // 2), -(-resolution // 4)])
    result = _FLOAT * widths * sides**2  # bytes of a result in each stage
    input_before = np.array([0, result[0], result[1]])  # each stage runs while the network holds the output before
    # A stage holds its input while its second cell holds its own.
    alive = input_before + result * (_cell_results(operations)[:, None] + (2 if cells > 1 else 1))
    image = _FLOAT * 3 * resolution**2
    params = nasbench201.count_params(operations, num_classes, channels=channels, cells=cells)
    convolutions = cells * (_HELD[operations] == 2).sum(axis=1)
    fixed = _normalisation((1 + 2 * 2 + 3 * 4) * channels, 6)
    searched = convolutions * _normalisation((1 + 2 + 4) * channels, 3)
    return _FLOAT * params + fixed + searched + image + alive.max(axis=1)


# --- MobileNetV3 ----------------------------------------------------------------------------------------------


def _block_memory(shape: BlockShape, side: int) -> int:
    """Return the bytes that a block holds at most, its input among them."""
    after = -(-side // shape.stride)
    given = shape.inputs * side**2
    wide, narrow, out = shape.expanded * side**2, shape.expanded * after**2, shape.outputs * after**2
    expands = shape.expanded != shape.inputs
    steps = [
        2 * wide if expands else 0,
        (wide if expands else 0) + 2 * narrow,
        2 * narrow + shape.expanded if shape.squeezed else 0,
        narrow + 2 * out,
    ]
    return _FLOAT * (given + max(steps))


def _block_statistics(shape: BlockShape) -> int:
    expands = shape.expanded != shape.inputs
    return _normalisation((1 + expands) * shape.expanded + shape.outputs, 2 + expands)


def mobile_network_memory(
    depths: Int64[np.ndarray, "B 5"],
    kernels: Int64[np.ndarray, "B 5 4"],
    expansions: Int64[np.ndarray, "B 5 4"],
    num_classes: int,
    resolution: int,
    *,
    width: int,
    downsampling: int = mobilenetv3.DOWNSAMPLING,
) -> Int64[np.ndarray, " B"]:
    """Return the bytes of one forward pass of one image through each network; see ``count_flops``."""
    decisions = (depths, kernels, expansions)
    stem, last, expanded, _ = mobilenetv3.fixed_widths(width)
    sides = counts.stage_sides(resolution, downsampling)
    blocks = counts.all_blocks(width, downsampling)
    start = _FLOAT * stem * sides[0] ** 2  # the output of the first block: alive to the end of the last stage
    given = {stage: block.inputs * sides[stage] ** 2 * _FLOAT for stage, layer, block in blocks if layer == 0}
    alive = []
    for stage, layer, block in blocks:
        # A block after the first runs while its stage holds what came in, too; in stage 0 that is the start.
        held = (start if stage or layer else 0) + (given[stage] if stage and layer else 0)
        alive.append(held + _block_memory(block, sides[stage + (layer > 0)]))
    searched = counts.used_costs(np.array(alive), *decisions).max(axis=(1, 2))
    first = BlockShape.first(width)
    head = _FLOAT * (last + 2 * expanded) * sides[-1] ** 2
    peak = np.maximum(searched, max(_block_memory(first, sides[0]), head))

    statistics = counts.sum_used(np.array([_block_statistics(block) for *_, block in blocks]), *decisions)
    fixed = _normalisation(stem + expanded, 2) + _block_statistics(first)
    params = counts.count_params(*decisions, num_classes, width=width)
    return _FLOAT * params + fixed + statistics + _FLOAT * 3 * resolution**2 + peak
