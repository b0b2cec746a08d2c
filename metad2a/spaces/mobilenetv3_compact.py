"""The MobileNetV3 space in a code in which equal networks have equal graphs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from metad2a.spaces.base import ArchBatch, Architecture
from metad2a.spaces.mobilenetv3 import END, FIRST_LAYER, KINDS, START, MobileNetV3
from metad2a.spaces.networks.mobilenetv3 import DEPTHS, EXPANSIONS, LAYERS, STAGES
from metad2a.spaces.networks.mobilenetv3_costs import used_layers


class CompactMobileNetV3(MobileNetV3):
    """``MobileNetV3``, whose graphs have no vertex for a layer that is not used.

    A graph is a chain of 12 to 22 vertices: START, the layers in use, END. Types are those of ``MobileNetV3``, so a
    stage's first layer says how many there are. Architectures are drawn, and decoded, with the first choices at
    layers that are not used.
    """

    name = "mobilenetv3-compact"

    def encode(self, archs: Sequence[Architecture]) -> ArchBatch:
        """Return the graphs of ``archs``, chains of their layers in use.

        Raises:
            ArchitectureError: one of them is none of this space.
        """
        whole = super().encode(archs)
        used = torch.from_numpy(used_layers(self.stages(archs)[0])).flatten(1)
        vertex = torch.ones_like(whole.mask)
        vertex[:, 1:-1] = used
        order = (~vertex).int().argsort(dim=1, stable=True)
        mask = torch.arange(self.num_nodes) < vertex.sum(dim=1, keepdim=True)
        types = whole.types.gather(1, order).masked_fill(~mask, START)
        return ArchBatch(types, self.topology & mask[:, :, None] & mask[:, None, :], mask)

    def decode(self, graphs: ArchBatch) -> list[Architecture | None]:
        """Return the architecture of each graph.

        None where the vertices are not START, the layers of five stages, each as many as its first one says, and
        END. Edges are not looked at.
        """
        rows, width = graphs.types.shape
        walk = _Walk.start(rows, graphs.types.device)
        choices = torch.zeros(rows, STAGES, 1 + 2 * LAYERS, dtype=torch.long, device=graphs.types.device)
        valid = graphs.mask[:, 0] & (graphs.types[:, 0] == START) if width else torch.zeros(rows, dtype=torch.bool)
        for vertex in range(1, width):
            types, present = graphs.types[:, vertex], graphs.mask[:, vertex]
            fits = torch.where(types == END, walk.complete, walk.takes(types)) & ~walk.ended
            valid &= torch.where(present, fits, walk.ended)
            row = (valid & present & (types >= FIRST_LAYER)).nonzero().flatten()
            walk.step(types, present)
            kind = (types[row] - FIRST_LAYER) % KINDS
            stage, layer = walk.stage[row] - 1, walk.layer[row]
            choices[row, stage, 0] = walk.depth[row]
            choices[row, stage, 1 + 2 * layer] = kind // len(EXPANSIONS)
            choices[row, stage, 2 + 2 * layer] = kind % len(EXPANSIONS)
        return [
            Architecture(self.name, tuple(row)) if ok else None
            for row, ok in zip(choices.flatten(1).tolist(), (valid & walk.ended).tolist(), strict=True)
        ]

    def allowed_types(self, prefix: Int[Tensor, "B V"]) -> Bool[Tensor, "B T"]:
        """Return which types the next vertex may have: START, then the layers of five stages, then END, then none.

        A stage's first layer may have any type, and says how many of the same depth follow.
        """
        batch, position = prefix.shape
        allowed = torch.zeros(batch, self.num_types, dtype=torch.bool, device=prefix.device)
        if position == 0:
            allowed[:, START] = True
            return allowed
        walk = _Walk.start(batch, prefix.device)
        for types in prefix.unbind(1)[1:]:
            walk.step(types, torch.ones_like(walk.ended))
        every = torch.arange(self.num_types, device=prefix.device)
        allowed[:, FIRST_LAYER:] = walk.takes(every[None, FIRST_LAYER:], columns=True) & ~walk.ended[:, None]
        allowed[:, END] = walk.complete & ~walk.ended
        return allowed

    def sample(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Return ``n`` architectures with decisions drawn uniformly, except at layers that are not used."""
        table = self.choices(super().sample(n, rng)).reshape(n, STAGES, 1 + 2 * LAYERS)
        table[:, :, 1:] *= used_layers(table[:, :, 0]).repeat(2, axis=2)
        return self._archs(table.reshape(n, len(self.options)))


@dataclass
class _Walk:
    """Where many graphs are, vertex by vertex.

    Attributes:
        stage: stages begun.
        depth: position in ``DEPTHS`` of the last one.
        layer: position in it of the last layer.
        ended: whether END was there.
    """

    stage: Int[Tensor, " B"]
    depth: Int[Tensor, " B"]
    layer: Int[Tensor, " B"]
    ended: Bool[Tensor, " B"]

    @classmethod
    def start(cls, rows: int, device: torch.device) -> "_Walk":
        """Return the places of ``rows`` graphs that have their START."""
        zeros = torch.zeros(rows, dtype=torch.long, device=device)
        return cls(zeros, zeros, zeros + DEPTHS[0] - 1, zeros > 0)

    @property
    def full(self) -> Bool[Tensor, " B"]:
        """Which have all layers of the stage."""
        return self.layer + 1 >= torch.tensor(DEPTHS, device=self.depth.device)[self.depth]

    @property
    def complete(self) -> Bool[Tensor, " B"]:
        """Which have all layers of all stages."""
        return self.full & (self.stage >= STAGES)

    def takes(self, types: Int[Tensor, "..."], *, columns: bool = False) -> Bool[Tensor, "..."]:
        """Return whether each graph may have a layer of these ``types`` next: one each, or (``columns``) all."""
        full, stage, depth = (value[:, None] if columns else value for value in (self.full, self.stage, self.depth))
        fits = torch.where(full, stage < STAGES, (types - FIRST_LAYER) // KINDS == depth)
        return (types >= FIRST_LAYER) & (types < FIRST_LAYER + KINDS * len(DEPTHS)) & fits

    def step(self, types: Int[Tensor, " B"], present: Bool[Tensor, " B"]) -> None:
        """Go on by one vertex; what is no layer moves nothing."""
        layer = present & (types >= FIRST_LAYER)
        begins = layer & self.full
        depth = ((types - FIRST_LAYER) // KINDS).clamp(0, len(DEPTHS) - 1)
        self.stage = (self.stage + begins.long()).clamp(max=STAGES)
        self.depth = torch.where(begins, depth, self.depth)
        self.layer = torch.where(begins, 0, (self.layer + layer.long()).clamp(max=LAYERS - 1))
        self.ended = self.ended | (present & (types == END))
