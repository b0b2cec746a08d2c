"""The search space NAS-Bench-201, which is also the topology space of NATS-Bench."""

import re
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from metad2a.errors import ArchitectureError, ConfigError, unknown_name
from metad2a.spaces.base import ArchBatch, Architecture
from metad2a.spaces.networks.memory import cell_network_memory
from metad2a.spaces.networks.nasbench201 import CELL_EDGES, OPERATIONS, CellNetwork, count_flops, count_params
from metad2a.spaces.networks.nasbench201_source import cell_network_source
from metad2a.spaces.product import ProductSpace
from metad2a.spaces.scale import checked_scale

START, END, FIRST_OPERATION = 0, 1, 2
"""Vertex types; operation ``i`` has type ``FIRST_OPERATION + i``."""
NAMES = tuple(OPERATIONS)
DEFAULT_SCALE = {"channels": 16, "cells": 5}
OFFICIAL_TOPOLOGY = (
    *((0, 1), (1, 2), (1, 3), (1, 5), (2, 3), (2, 6)),
    *((3, 4), (3, 6), (4, 5), (5, 6), (6, 7)),
)
"""The edges of every graph in MetaD2A's published database."""


class NASBench201(ProductSpace):
    """Cells of four nodes and six edges, each edge one of five operations: 15,625 architectures.

    Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020.
    An architecture is its six operation numbers, in the order of the text
    ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``. Its graph has eight vertices: START, the six operations in the same
    order, END. All graphs have the same edges, so the types of the vertices alone say which cell it is.

    The networks have the scale options ``channels`` (width of the first stage, default 16) and ``cells`` (cells
    in each of the three stages, default 5), and take images of any resolution.

    Args:
        topology: the edges ``(u, v)``, ``u < v``, of every graph. Only what reads the graphs depends on them:
            the cell, its text and its network do not.

    Raises:
        ConfigError: ``topology`` has a pair that is no edge between two of the eight vertices, upwards.
    """

    name = "nasbench201"
    num_types = FIRST_OPERATION + len(NAMES)
    num_nodes = len(CELL_EDGES) + 2
    options = (len(NAMES),) * len(CELL_EDGES)
    listable = True

    def __init__(self, *, topology: Sequence[tuple[int, int]] = OFFICIAL_TOPOLOGY) -> None:
        self._topology = torch.zeros(self.num_nodes, self.num_nodes, dtype=torch.bool)
        for u, v in topology:
            if not 0 <= u < v < self.num_nodes:
                raise ConfigError(
                    f"topology of '{self.name}': ({u}, {v}) is no edge of its graphs. "
                    f"Give pairs (u, v) with 0 <= u < v <= {self.num_nodes - 1}."
                )
            self._topology[u, v] = True

    # --- names --------------------------------------------------------------------------------------------

    def parse(self, text: str) -> Architecture:
        """Return the architecture that ``text`` names.

        Raises:
            ArchitectureError: ``text`` is no cell; the message says at which character, and what belongs there.
        """
        position = 0
        choices = []
        for source, target in CELL_EDGES:
            if source == 0:
                position = _skip(text, position, "|" if target == 1 else "+|")
            name = re.split(r"[~|+]", text[position:], maxsplit=1)[0]
            choices.append(_operation(text, position, name))
            position = _skip(text, position + len(name), f"~{source}|")
        if position < len(text):
            raise _no_cell(text, position, "the end")
        return Architecture(self.name, tuple(choices))

    def format(self, arch: Architecture) -> str:
        """Return the text of ``arch``: its operations by target node, each with the number of its source node.

        Raises:
            ArchitectureError: ``arch`` is none of this space.
        """
        a, b, c, d, e, f = self._operations(arch)
        return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"

    def decision_name(self, position: int, choice: int) -> str:
        """Return the operation and its edge, as ``skip_connect from 0 to 1``; see ``SearchSpace.decision_name``."""
        source, target = CELL_EDGES[position]
        return f"{NAMES[choice]} from {source} to {target}"

    def canonical(self, arch: Architecture) -> str:
        """Return NAS-Bench-201's text of the function of ``arch``, equal for isomorphic cells: 6,466 in all.

        Each node is written as the sorted sum of what comes in, the input as ``0`` and zeros as ``#``; a skip
        connection vanishes. It is a notion of graphs: zeros are not removed from sums, and a node that is used
        twice reads the same as two equal nodes, so that cells with equal texts may differ in size.

        Raises:
            ArchitectureError: ``arch`` is none of this space.
        """
        nodes = ["0"]
        incoming: list[str] = []
        for (source, target), operation in zip(CELL_EDGES, self._operations(arch), strict=True):
            incoming.append(_term(nodes[source], operation))
            if source == target - 1:
                nodes.append("+".join(sorted(incoming)))
                incoming = []
        return nodes[-1]

    def _operations(self, arch: Architecture) -> list[str]:
        self.choices([arch])
        return [NAMES[choice] for choice in arch.choices]

    # --- graphs -------------------------------------------------------------------------------------------

    def encode(self, archs: Sequence[Architecture]) -> ArchBatch:
        """Return the graphs of ``archs``, all of eight vertices and the same edges.

        Raises:
            ArchitectureError: one of them is none of this space.
        """
        types = np.pad(self.choices(archs) + FIRST_OPERATION, ((0, 0), (1, 1)), constant_values=(START, END))
        edges = self._topology.repeat(len(archs), 1, 1)
        return ArchBatch(torch.from_numpy(types), edges, torch.ones(types.shape, dtype=torch.bool))

    def decode(self, graphs: ArchBatch) -> list[Architecture | None]:
        """Return the cell of each graph, None where the eight vertices are not START, six operations, END.

        Edges are not looked at: the types alone say which cell it is.
        """
        width = graphs.types.shape[1]
        if width < self.num_nodes:
            return [None] * len(graphs)
        present = torch.arange(width, device=graphs.mask.device) < self.num_nodes
        types = graphs.types[:, : self.num_nodes]
        operations = types[:, 1:-1] - FIRST_OPERATION
        valid = (
            (graphs.mask == present).all(dim=1)
            & (types[:, 0] == START)
            & (types[:, -1] == END)
            & ((operations >= 0) & (operations < len(NAMES))).all(dim=1)
        )
        return [
            Architecture(self.name, tuple(choices)) if ok else None
            for choices, ok in zip(operations.tolist(), valid.tolist(), strict=True)
        ]

    def allowed_types(self, prefix: Int[Tensor, "B V"]) -> Bool[Tensor, "B T"]:
        """Return which types the next vertex may have: START, then six operations, then END, then none.

        Only the length of ``prefix`` matters.
        """
        batch, position = prefix.shape
        allowed = torch.zeros(batch, self.num_types, dtype=torch.bool, device=prefix.device)
        if position == 0:
            allowed[:, START] = True
        elif position < self.num_nodes - 1:
            allowed[:, FIRST_OPERATION:] = True
        elif position == self.num_nodes - 1:
            allowed[:, END] = True
        return allowed

    @property
    def topology(self) -> Bool[Tensor, "N N"]:
        """The edges that every graph has: those given to the constructor."""
        return self._topology.clone()

    # --- networks -----------------------------------------------------------------------------------------

    def build(self, arch: Architecture, num_classes: int, **scale: int) -> CellNetwork:
        """Return the freshly initialised network of ``arch``: (B, 3, height, width) images -> (B, num_classes).

        The weights come from torch's global random stream, as those of every module of torch.

        Args:
            arch: the cell.
            num_classes: outputs.
            scale: ``channels`` and ``cells``, see the class.

        Raises:
            ArchitectureError: ``arch`` is none of this space, or the network cannot have this size.
        """
        size = checked_scale(self.name, DEFAULT_SCALE, scale, num_classes=num_classes)
        return CellNetwork(self._operations(arch), num_classes, **size)

    def source(self, arch: Architecture, num_classes: int, **scale: int) -> str:
        """Return code that defines ``class Network``, the network of ``arch``; see ``SearchSpace.source``.

        Raises:
            ArchitectureError: as for ``build``.
        """
        size = checked_scale(self.name, DEFAULT_SCALE, scale, num_classes=num_classes)
        return cell_network_source(self._operations(arch), num_classes, **size)

    def params(self, archs: Sequence[Architecture], num_classes: int, **scale: int) -> Int64[np.ndarray, " B"]:
        """Return the number of trainable parameters of each network, without building any.

        Raises:
            ArchitectureError: as for ``build``.
        """
        size = checked_scale(self.name, DEFAULT_SCALE, scale, num_classes=num_classes)
        return count_params(self.choices(archs), num_classes, **size)

    def flops(
        self, archs: Sequence[Architecture], num_classes: int, resolution: int, **scale: int
    ) -> Int64[np.ndarray, " B"]:
        """Return the multiply-adds of one image of ``resolution`` pixels a side, without building any.

        Convolutions and the classifier count; normalisation, activations, pooling and sums do not.

        Raises:
            ArchitectureError: as for ``build``, or ``resolution`` is less than one pixel.
        """
        size = checked_scale(self.name, DEFAULT_SCALE, scale, num_classes=num_classes, resolution=resolution)
        return count_flops(self.choices(archs), num_classes, resolution, **size)

    def memory(
        self, archs: Sequence[Architecture], num_classes: int, resolution: int, **scale: int
    ) -> Int64[np.ndarray, " B"]:
        """Return the bytes of one forward pass of one image (weights and live results), without building any.

        Raises:
            ArchitectureError: as for ``flops``.
        """
        size = checked_scale(self.name, DEFAULT_SCALE, scale, num_classes=num_classes, resolution=resolution)
        return cell_network_memory(self.choices(archs), num_classes, resolution, **size)


def _no_cell(text: str, position: int, expected: str) -> ArchitectureError:
    found = f"'{text[position:]}'" if text[position:] else "the end"
    return ArchitectureError(
        f"'{text}' is no architecture of 'nasbench201': at character {position + 1} expected {expected}, "
        f"found {found}. An architecture reads |op~0|+|op~0|op~1|+|op~0|op~1|op~2|."
    )


def _skip(text: str, position: int, expected: str) -> int:
    if not text.startswith(expected, position):
        raise _no_cell(text, position, f"'{expected}'")
    return position + len(expected)


def _operation(text: str, position: int, name: str) -> int:
    if not name:
        raise _no_cell(text, position, f"an operation ({', '.join(NAMES)})")
    if name not in NAMES:
        unknown = unknown_name("operation", name, NAMES)
        raise ArchitectureError(
            f"'{text}' is no architecture of 'nasbench201': at character {position + 1}: {unknown}"
        )
    return NAMES.index(name)


def _term(node: str, operation: str) -> str:
    """Return the canonical text of ``operation`` applied to ``node``."""
    if operation == "none" or node == "#":
        return "#"
    return node if operation == "skip_connect" else f"({node})@{operation}"
