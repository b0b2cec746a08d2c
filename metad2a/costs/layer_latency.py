"""Latency of mobile networks as the sum of their layers', from published tables of one device."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from metad2a.costs.latency_model import LatencyModel, LatencyPredictor
from metad2a.errors import DataError
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.mobile import MobileSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.mobilenetv3 import (
    DOWNSAMPLING,
    EXPANSIONS,
    KERNELS,
    LAYERS,
    STAGES,
    BlockShape,
    fixed_widths,
)
from metad2a.spaces.networks.mobilenetv3_costs import all_blocks, stage_sides, sum_used

COLUMNS = ("resolution", "layer", "ms")
WIDTHS = (100, 120)
"""Widths of Once-for-All's networks, in percent."""
CLASSES = 1000
"""Outputs of the networks whose layers were measured."""


@dataclass(frozen=True)
class LayerLatency:
    """Milliseconds as the sum of the layers that a network uses; ``read`` makes one.

    Once-for-All's tables (Cai et al., ICLR 2020) hold the mean time of every layer there can be, by its shape. A
    network's latency is that of the first convolution, the block before the searched ones, each layer in use, the
    last convolution, the pooling, and the two layers behind it. Classifiers have 1,000 outputs.

    Attributes:
        width: of the networks whose layers these are, in percent; see ``MobileNetV3``.
        resolution: pixels a side of their images.
        fixed_ms: of what every network has.
        layer_ms: of the layer at each place with each kernel and expansion.
        archs: none was measured as a whole.
        milliseconds: of each of these.
        error_ms: unknown.
        space: of the architectures.
    """

    width: int
    resolution: int
    fixed_ms: float
    layer_ms: Float[np.ndarray, "5 4 3 3"]
    archs: tuple[Architecture, ...] = ()
    milliseconds: tuple[float, ...] = ()
    error_ms: float | None = None
    space: MobileSpace = field(default_factory=MobileNetV3)

    @property
    def scale(self) -> dict[str, int]:
        """The scale options of the networks whose layers these are."""
        return {"width": self.width, "downsampling": DOWNSAMPLING}

    @classmethod
    def of(cls, milliseconds: Mapping[str, float], resolution: int, *, name: str) -> "LayerLatency":
        """Take what is needed from a table; its width is that of the layers it has.

        Args:
            milliseconds: of each layer, by the name that Once-for-All gives it.
            resolution: pixels a side of the images.
            name: of the table, for messages.

        Raises:
            DataError: the table lacks a layer.
        """
        lacking = {width: _lacking(width, resolution, milliseconds) for width in WIDTHS}
        width = min(WIDTHS, key=lambda width: len(lacking[width]))
        if lacking[width]:
            raise DataError(
                f"{name} lacks {len(lacking[width])} of the layers of networks of width {width} at {resolution} "
                f"pixels, the first of them '{lacking[width][0]}'. Give a table of all layers."
            )
        blocks = [milliseconds[key] for key in _searched_keys(width, resolution)]
        return cls(
            width,
            resolution,
            sum(milliseconds[key] for key in _fixed_keys(width, resolution)),
            np.array(blocks).reshape(STAGES, LAYERS, len(KERNELS), len(EXPANSIONS)),
        )

    @classmethod
    def read(cls, path: str | Path, space: SearchSpace, *, resolution: int | None = None) -> "LayerLatency":
        """Read a CSV file with the columns ``resolution``, ``layer`` and ``ms``, as ``metad2a import ofa`` writes.

        Args:
            path: of the file.
            space: of the architectures.
            resolution: pixels a side; None: those that the space's networks are made for.

        Raises:
            DataError: there is no such file, it is another one, has nothing of this resolution or lacks a layer; or
                the networks of ``space`` are no mobile ones.
        """
        if not isinstance(space, MobileSpace):
            raise DataError(
                f"{path} holds layers of '{MobileNetV3.name}', not of '{space.name}'. "
                "Give a table with the columns 'arch' and 'ms'."
            )
        tables = _read_layers(Path(path))
        if not tables:
            raise DataError(f"{path} has no layers. Give a table of all layers, as metad2a import ofa writes.")
        resolution = resolution or space.resolution
        if resolution not in tables:
            known = ", ".join(map(str, sorted(tables)))
            raise DataError(f"{path} has no layers at {resolution} pixels a side; it has those at {known}.")
        return replace(cls.of(tables[resolution], resolution, name=str(path)), space=space)

    def predict(self, archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        """Return the milliseconds of each architecture.

        Raises:
            ArchitectureError: one of them is none of the space.
        """
        return self.fixed_ms + sum_used(self.layer_ms, *self.space.stages(archs))


def read_latency_table(path: str | Path, space: SearchSpace, *, resolution: int | None = None) -> LatencyPredictor:
    """Read a CSV file of latencies, of architectures (``arch``, ``ms``) or of layers (see ``LayerLatency.read``).

    Args:
        path: of the file.
        space: of the architectures.
        resolution: pixels a side, for a table of layers, as in ``LayerLatency.read``.

    Raises:
        DataError: see ``LatencyModel.read`` and ``LayerLatency.read``.
        ArchitectureError: see ``LatencyModel.read``.
        ConfigError: see ``LatencyModel.fit``.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            columns = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        columns = []  # what is wrong with it is said by the one that reads it
    if set(COLUMNS) <= set(columns):
        return LayerLatency.read(path, space, resolution=resolution)
    return LatencyModel.read(path, space)


def _read_layers(path: Path) -> dict[int, dict[str, float]]:
    """Return milliseconds by resolution and layer."""
    tables: dict[int, dict[str, float]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise DataError(f"{path} is no table of layers: it must have the columns {', '.join(COLUMNS)}.")
            for line, row in enumerate(reader, start=2):
                try:
                    pixels, ms = int(row["resolution"]), float(row["ms"])
                except (TypeError, ValueError):
                    raise DataError(f"{path}, line {line}: resolution and ms must be numbers. Mend it.") from None
                if not 0 <= ms < math.inf:
                    raise DataError(f"{path}, line {line}: {ms} ms are no latency of a layer. Mend it.")
                tables.setdefault(pixels, {})[row["layer"]] = ms
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}. Give a CSV file that metad2a import ofa wrote.") from error
    return tables


# --- names of layers ------------------------------------------------------------------------------------------


def _lacking(width: int, resolution: int, known: Mapping[str, float]) -> list[str]:
    keys = [*_fixed_keys(width, resolution), *_searched_keys(width, resolution)]
    return [key for key in dict.fromkeys(keys) if key not in known]


def _fixed_keys(width: int, resolution: int) -> list[str]:
    stem, last, expanded, features = fixed_widths(width)
    sides = stage_sides(resolution)
    first, end = f"{sides[0]}x{sides[0]}", f"{sides[-1]}x{sides[-1]}"
    return [
        f"Conv-input:{resolution}x{resolution}x3-output:{first}x{stem}",
        _block_key(BlockShape.first(width), sides[0], sides[0]),
        f"Conv_1-input:{end}x{last}-output:{end}x{expanded}",
        f"AvgPool2D-input:{end}x{expanded}-output:1x1x{expanded}",
        f"Conv_2-input:1x1x{expanded}-output:1x1x{features}",
        f"Logits-input:1x1x{features}-output:{CLASSES}",
    ]


def _searched_keys(width: int, resolution: int) -> list[str]:
    """Return the names of the layers of ``all_blocks``."""
    sides = stage_sides(resolution)
    return [
        # A stage's first layer sees the pixels of the stage before.
        _block_key(block, sides[stage + (layer > 0)], sides[stage + 1])
        for stage, layer, block in all_blocks(width)
    ]


def _block_key(block: BlockShape, before: int, after: int) -> str:
    shortcut = block.stride == 1 and block.inputs == block.outputs
    return (
        f"expanded_conv-input:{before}x{before}x{block.inputs}-output:{after}x{after}x{block.outputs}"
        f"-expand:{block.expanded}-kernel:{block.kernel}-stride:{block.stride}"
        f"-idskip:{int(shortcut)}-se:{int(block.squeezed > 0)}-hs:{int(block.hard_swish)}"
    )
