"""What networks of the MobileNetV3 space cost, from their decisions alone."""

from functools import cache
from itertools import product

import numpy as np
from jaxtyping import Bool, Int64, Num

from metad2a.spaces.networks.mobilenetv3 import (
    DEPTHS,
    DOWNSAMPLING,
    EXPANSIONS,
    KERNELS,
    LAYERS,
    STAGES,
    BlockShape,
    fixed_widths,
    strided,
    strides,
)


def count_params(
    depths: Int64[np.ndarray, "B 5"],
    kernels: Int64[np.ndarray, "B 5 4"],
    expansions: Int64[np.ndarray, "B 5 4"],
    num_classes: int,
    *,
    width: int,
) -> Int64[np.ndarray, " B"]:
    """Return the number of trainable parameters of each network.

    Args:
        depths: the decisions, as positions in ``DEPTHS``.
        kernels: positions in ``KERNELS``; those of unused layers do not matter.
        expansions: positions in ``EXPANSIONS``; those of unused layers do not matter.
        num_classes: outputs of the networks.
        width: see ``MobileNetV3Network``.
    """
    stem, last, expanded, features = fixed_widths(width)
    fixed = (27 + 2) * stem + BlockShape.first(width).params()
    fixed += (last + 2) * expanded + expanded * features + (features + 1) * num_classes
    return fixed + sum_used(_searched_params(width), depths, kernels, expansions)


def count_flops(
    depths: Int64[np.ndarray, "B 5"],
    kernels: Int64[np.ndarray, "B 5 4"],
    expansions: Int64[np.ndarray, "B 5 4"],
    num_classes: int,
    resolution: int,
    *,
    width: int,
    downsampling: int = DOWNSAMPLING,
) -> Int64[np.ndarray, " B"]:
    """Return the multiply-adds of convolutions and classifier of each network, for one image.

    Args:
        depths: as for ``count_params``.
        kernels: as for ``count_params``.
        expansions: as for ``count_params``.
        num_classes: outputs of the networks.
        resolution: pixels a side of the image.
        width: see ``MobileNetV3Network``.
        downsampling: see ``MobileNetV3Network``.
    """
    stem, last, expanded, features = fixed_widths(width)
    sides = stage_sides(resolution, downsampling)
    fixed = 27 * stem * sides[0] ** 2 + BlockShape.first(width).flops(sides[0])
    fixed += last * expanded * sides[-1] ** 2 + expanded * features + features * num_classes
    return fixed + sum_used(_searched_flops(resolution, width, downsampling), depths, kernels, expansions)


@cache
def _searched_flops(resolution: int, width: int, downsampling: int) -> Int64[np.ndarray, " blocks"]:
    sides = stage_sides(resolution, downsampling)
    # A stage's first layer sees the pixels of the stage before.
    searched = [block.flops(sides[stage + (layer > 0)]) for stage, layer, block in all_blocks(width, downsampling)]
    return np.array(searched, dtype=np.int64)


@cache
def _searched_params(width: int) -> Int64[np.ndarray, " blocks"]:
    return np.array([block.params() for _, _, block in all_blocks(width)], dtype=np.int64)


def stage_sides(resolution: int, downsampling: int = DOWNSAMPLING) -> list[int]:
    """Return the pixels a side of what comes into each stage, and of what comes out of the last one."""
    sides = [resolution]
    for stride in strides(downsampling):
        sides.append(strided(sides[-1], stride))
    return sides[1:]


@cache
def all_blocks(width: int, downsampling: int = DOWNSAMPLING) -> tuple[tuple[int, int, BlockShape], ...]:
    """Return every block there can be, with its stage and layer; the expansion changes fastest."""
    size = {"width": width, "downsampling": downsampling}
    return tuple(
        (stage, layer, BlockShape.searched(stage, layer, kernel=kernel, expansion=expansion, **size))
        for stage, layer, kernel, expansion in product(range(STAGES), range(LAYERS), KERNELS, EXPANSIONS)
    )


def sum_used(
    costs: Num[np.ndarray, "..."],
    depths: Int64[np.ndarray, "B 5"],
    kernels: Int64[np.ndarray, "B 5 4"],
    expansions: Int64[np.ndarray, "B 5 4"],
) -> Num[np.ndarray, " B"]:
    """Return the sum of the costs of the layers that each network uses; ``costs`` are those of ``all_blocks``."""
    return used_costs(costs, depths, kernels, expansions).sum(axis=(1, 2))


def used_costs(
    costs: Num[np.ndarray, "..."],
    depths: Int64[np.ndarray, "B 5"],
    kernels: Int64[np.ndarray, "B 5 4"],
    expansions: Int64[np.ndarray, "B 5 4"],
) -> Num[np.ndarray, "B 5 4"]:
    """Return the cost of each layer of each network, 0 where it is not used; ``costs`` are of ``all_blocks``."""
    table = costs.reshape(STAGES, LAYERS, len(KERNELS), len(EXPANSIONS))
    stage, layer = np.indices((STAGES, LAYERS))
    return table[stage, layer, kernels, expansions] * used_layers(depths)


def used_layers(depths: Int64[np.ndarray, "B 5"]) -> Bool[np.ndarray, "B 5 4"]:
    """Return which layers of each stage a network has; ``depths`` are positions in ``DEPTHS``."""
    return np.arange(LAYERS) < np.array(DEPTHS)[depths][:, :, None]
