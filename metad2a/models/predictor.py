"""The predictor: how well an architecture will do on a data set."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from metad2a.data.features import SetBatch
from metad2a.models.graph_encoder import GraphEncoder
from metad2a.models.set_encoder import SetEncoder
from metad2a.spaces.base import ArchBatch


class Predictor(nn.Module):
    """The meta-performance predictor (MetaD2A, ICLR 2021, section 3.3).

    Scores are standardised accuracies: a checkpoint's ``target`` turns them into percent.

    Args:
        feature_dim: ``F``.
        num_types: ``T``.
        num_nodes: most vertices of a graph.
        hidden: ``H``, width of the graph encoder and of the last layer.
        latent: ``Z``, width of the vectors of data sets and architectures; a multiple of ``num_heads``.
        num_heads: attention heads of the set encoder.
        normalize: see ``SetEncoder``.
    """

    def __init__(
        self,
        *,
        feature_dim: int,
        num_types: int,
        num_nodes: int,
        hidden: int = 512,
        latent: int = 56,
        num_heads: int = 4,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "feature_dim": feature_dim,
            "num_types": num_types,
            "num_nodes": num_nodes,
            "hidden": hidden,
            "latent": latent,
            "num_heads": num_heads,
            "normalize": normalize,
        }
        self.set_encoder = SetEncoder(feature_dim, latent, num_heads=num_heads, normalize=normalize)
        self.graph_encoder = GraphEncoder(num_types, num_nodes, hidden)
        self.arch_out = nn.Linear(hidden, latent)
        self.join = nn.Linear(2 * latent, hidden)
        self.out = nn.Linear(hidden, 1)

    def __repr__(self) -> str:
        return f"Predictor({', '.join(f'{name}={value!r}' for name, value in self.config.items())})"

    def encode_sets(self, sets: SetBatch) -> Float[Tensor, "B Z"]:
        """Return one vector a data set."""
        return self.set_encoder(sets.features, sets.mask)

    def encode_archs(self, archs: ArchBatch) -> Float[Tensor, "B Z"]:
        """Return one vector an architecture."""
        return self.arch_out(self.graph_encoder(archs))

    def forward(self, sets: SetBatch, archs: ArchBatch) -> Float[Tensor, " B"]:
        """Return the score of each architecture on the data set at its place."""
        by_set, by_arch = self._halves(self.encode_sets(sets), self.encode_archs(archs))
        return self.out(torch.tanh(by_set + by_arch)).squeeze(-1)

    def score(self, set_vectors: Float[Tensor, "D Z"], arch_vectors: Float[Tensor, "G Z"]) -> Float[Tensor, "D G"]:
        """Return the score of every architecture on every data set."""
        by_set, by_arch = self._halves(set_vectors, arch_vectors)
        # In pieces, or a whole search space would fill the memory.
        scores = [self.out(torch.tanh(by_set[:, None] + piece)).squeeze(-1) for piece in by_arch.split(1024)]
        return torch.cat(scores, dim=1)

    def _halves(
        self, set_vectors: Float[Tensor, "D Z"], arch_vectors: Float[Tensor, "G Z"]
    ) -> tuple[Float[Tensor, "D H"], Float[Tensor, "G H"]]:
        """Return the two terms whose sum enters the hidden layer, so that each is computed once."""
        set_weight, arch_weight = self.join.weight.chunk(2, dim=1)
        return F.linear(set_vectors, set_weight, self.join.bias), F.linear(arch_vectors, arch_weight)
