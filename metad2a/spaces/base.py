"""What an architecture is, and what a search space must be able to do.

Axes used in every tensor signature of the project (the one place where they are named):

====  ==========================================================================================
``B``  batch of tasks or architectures
``C``  classes of a task
``K``  images of a class
``F``  numbers in the feature vector of an image
``N``  vertices of an architecture graph
``T``  vertex types
``H``  hidden width
``Z``  latent width
====  ==========================================================================================
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn


@dataclass(frozen=True, order=True, slots=True)
class Architecture:
    """One point of a search space: the space's name and its decisions, in the space's own order."""

    space: str
    choices: tuple[int, ...]


@dataclass(frozen=True)
class ArchBatch:
    """Architectures as padded directed acyclic graphs, vertices in topological order.

    Attributes:
        types: vertex types; 0 (START) where ``mask`` is False.
        edges: ``edges[b, u, v]`` is True for an edge ``u -> v``; only ``u < v`` occurs.
        mask: True where a vertex exists; a graph's vertices come first.
    """

    types: Int[Tensor, "B N"]
    edges: Bool[Tensor, "B N N"]
    mask: Bool[Tensor, "B N"]

    def __len__(self) -> int:
        return self.types.shape[0]

    def __getitem__(self, index: Any) -> "ArchBatch":
        """Return the graphs at ``index`` (a slice, or a tensor of positions or of booleans)."""
        return ArchBatch(self.types[index], self.edges[index], self.mask[index])

    def to(self, device: str | torch.device) -> "ArchBatch":
        """Return the same graphs on ``device``."""
        return ArchBatch(self.types.to(device), self.edges.to(device), self.mask.to(device))

    def connected(self) -> Bool[Tensor, " B"]:
        """Return which graphs have one START and one END, and every vertex on a path from the one to the other.

        The official implementation counts no other graph as valid, although a space may not look at the edges.
        """
        starts = (self.types == 0) & self.mask
        ends = (self.types == 1) & self.mask
        # In a graph without cycles that is a path from START to END for each vertex.
        entered = (self.edges.any(1) | starts | ~self.mask).all(1)
        left = (self.edges.any(2) | ends | ~self.mask).all(1)
        return (starts.sum(1) == 1) & (ends.sum(1) == 1) & entered & left

    @staticmethod
    def cat(batches: Sequence["ArchBatch"]) -> "ArchBatch":
        """Join batches of equal ``N``."""
        return ArchBatch(
            torch.cat([b.types for b in batches]),
            torch.cat([b.edges for b in batches]),
            torch.cat([b.mask for b in batches]),
        )


class SearchSpace(ABC):
    """A set of architectures, their graphs, their rules and their networks.

    A space's graphs have at most ``num_nodes`` vertices of ``num_types`` types; type 0 is START (the input) and
    type 1 is END (the output). To add a space see docs/how-to/add-a-space.md; ``metad2a.testing`` checks it.
    """

    name: str
    num_types: int
    num_nodes: int
    resolution: int = 32  # pixels a side of the images its networks are made for, unless told otherwise
    listable: bool = False  # whether enumerate() works

    # --- names --------------------------------------------------------------------------------------------

    @abstractmethod
    def parse(self, text: str) -> Architecture:
        """Return the architecture that ``text`` names.

        Raises:
            ArchitectureError: ``text`` is no architecture of this space; the message says where it fails.
        """

    @abstractmethod
    def format(self, arch: Architecture) -> str:
        """Return the one text of ``arch``: ``parse(format(arch)) == arch``."""

    @abstractmethod
    def canonical(self, arch: Architecture) -> str:
        """Return a text that is equal for architectures which the space regards as the same function.

        A space that knows no such thing returns ``format(arch)``.
        """

    def decision_name(self, position: int, choice: int) -> str:
        """Return in a few words what ``choices[position] == choice`` means, to be shown to people."""
        return f"decision {position + 1}: choice {choice + 1}"

    # --- graphs -------------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, archs: Sequence[Architecture]) -> ArchBatch:
        """Return the graphs of ``archs``."""

    @abstractmethod
    def decode(self, graphs: ArchBatch) -> list[Architecture | None]:
        """Return the architecture of each graph, None where it is none."""

    @abstractmethod
    def allowed_types(self, prefix: Int[Tensor, "B V"]) -> Bool[Tensor, "B T"]:
        """Return which types the next vertex may have, given those of the ``V`` vertices before it.

        A decoder that takes only allowed types, and the edges of ``topology``, makes only valid graphs.
        """

    @property
    @abstractmethod
    def topology(self) -> Bool[Tensor, "N N"] | None:
        """The edges that every graph of the space has, or None where a graph's edges are its own."""

    # --- the set ------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of architectures."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Return ``n`` architectures drawn uniformly, with replacement."""

    @abstractmethod
    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """Return one of the ``neighbours``."""

    @abstractmethod
    def crossover(self, a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
        """Return an architecture whose every decision is one of its parents'."""

    @abstractmethod
    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """Return all architectures that differ from ``arch`` in one decision that it uses."""

    def enumerate(self) -> Iterator[Architecture]:
        """Yield every architecture once; only for spaces small enough.

        Raises:
            ArchitectureError: the space cannot be listed.
        """
        from metad2a.errors import ArchitectureError

        raise ArchitectureError(f"space '{self.name}' has {self.size:.3g} architectures: it cannot be listed.")

    # --- networks -----------------------------------------------------------------------------------------

    @abstractmethod
    def build(self, arch: Architecture, num_classes: int, **scale: int) -> nn.Module:
        """Return the freshly initialised network of ``arch``: (B, 3, height, width) images -> (B, num_classes).

        ``scale`` holds the space's own size options (NAS-Bench-201: ``channels``, ``cells``).
        """

    def source(self, arch: Architecture, num_classes: int, **scale: int) -> str:
        """Return Python code of exactly the network that ``build`` returns: readable, and in need of torch alone.

        The code imports what it needs, ``torch`` among it, and defines ``class Network`` whose only argument,
        ``num_classes``, has the given number as its default. Parameters and buffers have the names and shapes of
        those of ``build``. Without it a space works, but ``metad2a export`` cannot write its networks.

        Raises:
            ArchitectureError: the space cannot write its networks.
        """
        from metad2a.errors import ArchitectureError

        raise ArchitectureError(
            f"space '{self.name}' cannot write its networks as Python code: it has no method source(). "
            "Take the network of its build() instead, or write that method (see SearchSpace.source)."
        )

    @abstractmethod
    def params(self, archs: Sequence[Architecture], num_classes: int, **scale: int) -> np.ndarray:
        """Return the number of trainable parameters of each network, int64, without building any."""

    @abstractmethod
    def flops(self, archs: Sequence[Architecture], num_classes: int, resolution: int, **scale: int) -> np.ndarray:
        """Return the multiply-adds for one image of ``resolution`` pixels a side, int64, without building any.

        Convolutions and linear layers count, and nothing else: half of what ``torch.utils.flop_counter`` says.
        """

    def memory(
        self, archs: Sequence[Architecture], num_classes: int, resolution: int, **scale: int
    ) -> np.ndarray | None:
        """Return the bytes of one forward pass of one image (weights and live results), int64, without building.

        None where the space has no rule: ``metad2a.costs.memory``, which says what counts, watches its networks.
        """
        return None
