"""The MobileNetV3 search space of Once-for-All."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import ArchBatch, Architecture
from metad2a.spaces.mobile import MobileSpace
from metad2a.spaces.networks.mobilenetv3 import DEPTHS, EXPANSIONS, KERNELS, LAYERS, STAGES
from metad2a.spaces.networks.mobilenetv3_costs import used_layers
from metad2a.spaces.product import ProductSpace
from metad2a.spaces.registry import get_space

START, END, FIRST_LAYER = 0, 1, 2
"""Vertex types; a layer has type ``FIRST_LAYER + 9 * depth + 3 * kernel + expansion``, in positions."""
KINDS = len(KERNELS) * len(EXPANSIONS)


class MobileNetV3(MobileSpace, ProductSpace):
    """Five stages of two to four layers, each with a kernel of 3, 5 or 7 pixels and an expansion of 3, 4 or 6.

    Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient Deployment", ICLR 2020, in the
    coding of MetaD2A. Every stage has four layers; those beyond its depth keep a kernel and an expansion of
    which the network knows nothing. So there are 3**45 architectures, but only 2.2e19 networks: ``canonical``
    tells which are the same, and ``mutate`` never stays within one network.

    As text, an architecture is its five stages, joined by ``+``; ``d3:k3e4-k5e6-k7e3-~k3e3`` is a stage of depth
    3, ``~`` marks a layer that is not used. Its decisions are, by stage, the depth, then kernel and expansion of
    each layer. Its graph is a chain: START, the twenty layers, END; a vertex's type says the depth of the stage,
    the kernel and the expansion, so the layers of a stage must agree on the depth. ``MobileSpace`` says what scale
    options the networks have.
    """

    name = "mobilenetv3"
    num_types = FIRST_LAYER + len(DEPTHS) * KINDS
    num_nodes = STAGES * LAYERS + 2
    options = (len(DEPTHS), *(len(KERNELS), len(EXPANSIONS)) * LAYERS) * STAGES

    # --- names --------------------------------------------------------------------------------------------

    def parse(self, text: str) -> Architecture:
        """Return the architecture that ``text`` names; layers that a stage does not use may be left out.

        Raises:
            ArchitectureError: ``text`` is none; the message says at which character, and what belongs there.
        """
        position = 0
        choices = []
        for stage in range(STAGES):
            depth, position = _take(self.name, text, position, "+d" if stage else "d", DEPTHS)
            choices.append(depth)
            for layer in range(LAYERS):
                if layer >= DEPTHS[depth] and text[position : position + 1] in (
                    "",
                    "+",
                ):  # as ``canonical`` writes it
                    choices += [0, 0]
                    continue
                mark = "" if layer < DEPTHS[depth] else "~"
                for before, options in ((f"{'-' if layer else ':'}{mark}k", KERNELS), ("e", EXPANSIONS)):
                    choice, position = _take(self.name, text, position, before, options)
                    choices.append(choice)
        if position < len(text):
            raise _no_network(self.name, text, position, "the end")
        return Architecture(self.name, tuple(choices))

    def format(self, arch: Architecture) -> str:
        """Return the text of ``arch``, see the class.

        Raises:
            ArchitectureError: ``arch`` is none of this space.
        """
        return self._text(arch, unused=True)

    def decision_name(self, position: int, choice: int) -> str:
        """Return what is decided where, as ``stage 2, layer 1: kernel 5``; see ``SearchSpace.decision_name``."""
        stage, within = divmod(position, 1 + 2 * LAYERS)
        if within == 0:
            return f"stage {stage + 1}: depth {DEPTHS[choice]}"
        layer, of_layer = divmod(within - 1, 2)
        value = f"expansion {EXPANSIONS[choice]}" if of_layer else f"kernel {KERNELS[choice]}"
        return f"stage {stage + 1}, layer {layer + 1}: {value}"

    def canonical(self, arch: Architecture) -> str:
        """Return the text of ``arch`` without the layers that are not used: equal for equal networks.

        Raises:
            ArchitectureError: ``arch`` is none of this space.
        """
        return self._text(arch, unused=False)

    def _text(self, arch: Architecture, *, unused: bool) -> str:
        stages = []
        for depth, blocks in self._written(arch):
            layers = [f"k{kernel}e{expansion}" for kernel, expansion in blocks]
            marked = [f"~{layer}" for layer in layers[depth:] if unused]
            stages.append(f"d{depth}:" + "-".join(layers[:depth] + marked))
        return "+".join(stages)

    def _written(self, arch: Architecture) -> list[tuple[int, list[tuple[int, int]]]]:
        """Return each stage's depth, and the kernel and the expansion of its four layers, used or not."""
        self.choices([arch])
        found = []
        for first in range(0, len(self.options), 1 + 2 * LAYERS):
            depth, *blocks = arch.choices[first : first + 1 + 2 * LAYERS]
            layers = [(KERNELS[k], EXPANSIONS[e]) for k, e in zip(blocks[::2], blocks[1::2], strict=True)]
            found.append((DEPTHS[depth], layers))
        return found

    def stages(
        self, archs: Sequence[Architecture]
    ) -> tuple[Int64[np.ndarray, "B 5"], Int64[np.ndarray, "B 5 4"], Int64[np.ndarray, "B 5 4"]]:
        """Return the depths, the kernels and the expansions, as positions in their options.

        Raises:
            ArchitectureError: one of ``archs`` is none of this space.
        """
        table = self.choices(archs).reshape(-1, STAGES, 1 + 2 * LAYERS)
        return table[:, :, 0], table[:, :, 1::2], table[:, :, 2::2]

    # --- graphs -------------------------------------------------------------------------------------------

    def encode(self, archs: Sequence[Architecture]) -> ArchBatch:
        """Return the graphs of ``archs``, all chains of 22 vertices.

        Raises:
            ArchitectureError: one of them is none of this space.
        """
        depths, kernels, expansions = self.stages(archs)
        layers = FIRST_LAYER + KINDS * depths[:, :, None] + len(EXPANSIONS) * kernels + expansions
        inner = layers.reshape(len(archs), STAGES * LAYERS)
        types = torch.from_numpy(np.pad(inner, ((0, 0), (1, 1)), constant_values=(START, END)))
        return ArchBatch(types, self.topology.repeat(len(archs), 1, 1), torch.ones_like(types, dtype=torch.bool))

    def decode(self, graphs: ArchBatch) -> list[Architecture | None]:
        """Return the architecture of each graph.

        None where the 22 vertices are not START, twenty layers, END, or where the layers of a stage do not agree
        on its depth. Edges are not looked at.
        """
        width = graphs.types.shape[1]
        if width < self.num_nodes:
            return [None] * len(graphs)
        present = torch.arange(width, device=graphs.mask.device) < self.num_nodes
        types = graphs.types[:, : self.num_nodes]
        layers = types[:, 1:-1].reshape(-1, STAGES, LAYERS) - FIRST_LAYER
        depths, kinds = layers // KINDS, layers % KINDS
        valid = (
            (graphs.mask == present).all(dim=1)
            & (types[:, 0] == START)
            & (types[:, -1] == END)
            & ((depths >= 0) & (depths < len(DEPTHS)) & (depths == depths[:, :, :1])).all(dim=2).all(dim=1)
        )
        blocks = torch.stack([kinds // len(EXPANSIONS), kinds % len(EXPANSIONS)], dim=3).flatten(2)
        choices = torch.cat([depths[:, :, :1], blocks], dim=2).flatten(1)
        return [
            Architecture(self.name, tuple(row)) if ok else None
            for row, ok in zip(choices.tolist(), valid.tolist(), strict=True)
        ]

    def allowed_types(self, prefix: Int[Tensor, "B V"]) -> Bool[Tensor, "B T"]:
        """Return which types the next vertex may have: START, then twenty layers, then END, then none.

        A stage's first layer may have any type; the next three must agree with it on the depth.
        """
        batch, position = prefix.shape
        allowed = torch.zeros(batch, self.num_types, dtype=torch.bool, device=prefix.device)
        if position == 0:
            allowed[:, START] = True
        elif position < self.num_nodes - 1:
            layer = (position - 1) % LAYERS
            if layer == 0:
                allowed[:, FIRST_LAYER:] = True
            else:
                depths = torch.arange(len(DEPTHS), device=prefix.device).repeat_interleave(KINDS)
                stage = (prefix[:, position - layer, None] - FIRST_LAYER) // KINDS
                allowed[:, FIRST_LAYER:] = depths == stage
        elif position == self.num_nodes - 1:
            allowed[:, END] = True
        return allowed

    @property
    def topology(self) -> Bool[Tensor, "N N"]:
        """The edges that every graph has: those from each vertex to the next."""
        return torch.ones(self.num_nodes, self.num_nodes, dtype=torch.bool).triu(1).tril(1)

    # --- the set ------------------------------------------------------------------------------------------

    def used(self, archs: Sequence[Architecture]) -> Bool[np.ndarray, "B D"]:
        """Return which decisions each network depends on: all but kernel and expansion of layers beyond a depth.

        Raises:
            ArchitectureError: one of ``archs`` is none of this space.
        """
        depths, _, _ = self.stages(archs)
        layers = used_layers(depths).repeat(2, axis=2)
        depth_is_used = np.ones((len(archs), STAGES, 1), dtype=bool)
        return np.concatenate([depth_is_used, layers], axis=2).reshape(-1, len(self.options))


# --- the form of Once-for-All and MetaD2A ---------------------------------------------------------------------


def from_official(net: Mapping[str, Any]) -> Architecture:
    """Return the architecture of a dictionary as Once-for-All and MetaD2A write it.

    Args:
        net: ``ks`` and ``e``, the kernels and the expansions of twenty layers, four a stage, used or not; ``d``,
            the depths of five stages. Other keys are ignored.

    Raises:
        ArchitectureError: a list is missing, has another length or a value that no architecture has.
    """
    kernels = _positions(net, "ks", KERNELS, STAGES * LAYERS)
    expansions = _positions(net, "e", EXPANSIONS, STAGES * LAYERS)
    depths = _positions(net, "d", DEPTHS, STAGES)
    layers = np.stack([kernels, expansions], axis=1).reshape(STAGES, 2 * LAYERS)
    return Architecture(MobileNetV3.name, tuple(np.column_stack([depths, layers]).flatten().tolist()))


def to_official(arch: Architecture) -> dict[str, list[int]]:
    """Return ``arch``, of any code of these networks, as the dictionary that ``from_official`` reads.

    Raises:
        ArchitectureError: ``arch`` is none of this space.
    """
    space = get_space(arch.space)
    stages = (space if isinstance(space, MobileNetV3) else MobileNetV3())._written(arch)
    return {
        "ks": [kernel for _, layers in stages for kernel, _ in layers],
        "e": [expansion for _, layers in stages for _, expansion in layers],
        "d": [depth for depth, _ in stages],
    }


def _positions(net: Mapping[str, Any], key: str, options: tuple[int, ...], count: int) -> list[int]:
    """Return the positions in ``options`` of the ``count`` values of ``net[key]``."""
    try:
        values = list(net[key])
    except (KeyError, TypeError):
        values = []
    if len(values) != count:
        raise ArchitectureError(
            f"no architecture of 'mobilenetv3': '{key}' must be a list of {count} numbers, not {net.get(key)!r}."
        )
    for number, value in enumerate(values):
        if value not in options:
            stage, layer = divmod(number, count // STAGES)
            place = f"stage {stage + 1}" + (f", layer {layer + 1}" if count > STAGES else "")
            raise ArchitectureError(
                f"no architecture of 'mobilenetv3': {key}[{number}] ({place}) is {value!r}, "
                f"but must be one of {', '.join(map(str, options))}."
            )
    return [options.index(value) for value in values]


# --- text -----------------------------------------------------------------------------------------------------


def _no_network(space: str, text: str, position: int, expected: str) -> ArchitectureError:
    found = f"'{text[position:]}'" if text[position:] else "the end"
    stages = text[:position].count("+") + 1
    return ArchitectureError(
        f"'{text}' is no architecture of '{space}': at character {position + 1} (stage {stages}) expected "
        f"{expected}, found {found}. An architecture is five stages such as d3:k3e4-k5e6-k7e3-~k3e3, joined by +; "
        "d is the depth, ~ marks the layers beyond it."
    )


def _take(space: str, text: str, position: int, before: str, options: tuple[int, ...]) -> tuple[int, int]:
    """Read ``before`` and a digit of ``options`` at ``position``; return which one, and the position behind it."""
    if not text.startswith(before, position):
        raise _no_network(space, text, position, f"'{before}'")
    position += len(before)
    digits = [str(option) for option in options]
    digit = text[position : position + 1]
    if digit not in digits:
        raise _no_network(space, text, position, f"one of {', '.join(digits)}")
    return digits.index(digit), position + 1
