"""The predictor: how well an architecture will do on a data set."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from metad2a.data.features import SetBatch
from metad2a.models.gnn import GraphIsomorphismEncoder
from metad2a.models.graph_encoder import GraphEncoder
from metad2a.models.recipes import Recipes, recipe_place, written
from metad2a.models.set_encoder import SetEncoder
from metad2a.spaces.base import ArchBatch

GRAPH_ENCODERS: dict[str, type[GraphEncoder] | type[GraphIsomorphismEncoder]] = {
    "gru": GraphEncoder,
    "gin": GraphIsomorphismEncoder,
}


class Predictor(nn.Module):
    """The meta-performance predictor (MetaD2A, ICLR 2021, section 3.3).

    Scores are standardised accuracies: a checkpoint's ``target`` turns them into percent. The defaults of
    ``graph_encoder`` and ``arch_features`` are the paper's model.

    Args:
        feature_dim: ``F``.
        num_types: ``T``.
        num_nodes: most vertices of a graph.
        hidden: ``H``, width of the graph encoder and of the last layer.
        latent: ``Z``, width of the vectors of data sets and architectures; a multiple of ``num_heads``.
        num_heads: attention heads of the set encoder.
        normalize: see ``SetEncoder``.
        graph_encoder: ``gru``, that of the paper, or ``gin``, a graph isomorphism network.
        arch_features: how many numbers of ``ArchFeatures`` an architecture comes with beside its graph, or 0.
        recipes: of the labels, by name, each with level and spread of its accuracies in percent: the model learns
            scale and shift of an architecture's vector by each. None: all are of one.
        recipe: by which of them architectures are thought to be trained where it is not said; None: the first.

    Raises:
        ValueError: there is no such graph encoder, or recipe.
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
        graph_encoder: str = "gru",
        arch_features: int = 0,
        recipes: Recipes | None = None,
        recipe: str | None = None,
    ) -> None:
        super().__init__()
        self.recipe = recipe_place(recipes, recipe)
        if graph_encoder not in GRAPH_ENCODERS:
            raise ValueError(f"unknown graph encoder '{graph_encoder}'; known: {', '.join(GRAPH_ENCODERS)}")
        self.config: dict[str, Any] = {
            "feature_dim": feature_dim,
            "num_types": num_types,
            "num_nodes": num_nodes,
            "hidden": hidden,
            "latent": latent,
            "num_heads": num_heads,
            "normalize": normalize,
            "graph_encoder": graph_encoder,
            "arch_features": arch_features,
            "recipes": written(recipes),
            "recipe": recipe,
        }
        self.arch_features = arch_features
        self.set_encoder = SetEncoder(feature_dim, latent, num_heads=num_heads, normalize=normalize)
        self.graph_encoder = GRAPH_ENCODERS[graph_encoder](num_types, num_nodes, hidden)
        self.arch_out = nn.Linear(hidden, latent)
        if arch_features:
            self.features_out = nn.Linear(arch_features, latent)
            # Features come as they are; these are what training measured of them.
            self.feature_mean: Tensor
            self.feature_scale: Tensor
            self.register_buffer("feature_mean", torch.zeros(arch_features))
            self.register_buffer("feature_scale", torch.ones(()))
        self.recipe_vectors = None if recipes is None else nn.Embedding(len(recipes), 2 * latent)
        if self.recipe_vectors is not None:
            nn.init.zeros_(self.recipe_vectors.weight)
        self.join = nn.Linear(2 * latent, hidden)
        self.out = nn.Linear(hidden, 1)

    def __repr__(self) -> str:
        return f"Predictor({', '.join(f'{name}={value!r}' for name, value in self.config.items())})"

    def encode_sets(self, sets: SetBatch) -> Float[Tensor, "B Z"]:
        """Return one vector a data set."""
        return self.set_encoder(sets.features, sets.mask)

    def encode_archs(
        self,
        archs: ArchBatch,
        features: Float[Tensor, "B D"] | None = None,
        recipes: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B Z"]:
        """Return one vector an architecture.

        Args:
            archs: their graphs.
            features: theirs of ``ArchFeatures``, where ``arch_features`` says that the model reads them.
            recipes: by which they are trained, where the model knows several; None: all by ``recipe``.

        Raises:
            ValueError: features are missing, are not read, or are others than those of the training.
        """
        given = 0 if features is None else features.shape[1]
        if given != self.arch_features:
            raise ValueError(f"an architecture comes with {given} features; the model reads {self.arch_features}")
        vectors = self.arch_out(self.graph_encoder(archs))
        if self.recipe_vectors is not None:
            shift, scale = self.recipe_vectors.weight[self.recipe if recipes is None else recipes].chunk(2, dim=-1)
            vectors = (1 + scale) * vectors + shift
        if features is None:
            return vectors
        known = (features.to(vectors.dtype) - self.feature_mean) / self.feature_scale
        return vectors + self.features_out(known)

    def standardise(self, features: Float[Tensor, "A D"]) -> None:
        """Take mean and scale of the features of architectures from these; do it once, before training.

        One scale for all: how much one weighs beside another is decided in ``ArchFeatures``.
        """
        self.feature_mean.copy_(features.mean(0))
        self.feature_scale.copy_(features.var(0, correction=0).mean().sqrt().clamp_min(1e-6))

    def forward(
        self,
        sets: SetBatch,
        archs: ArchBatch,
        features: Float[Tensor, "B D"] | None = None,
        recipes: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, " B"]:
        """Return the score of each architecture on the data set at its place."""
        by_set, by_arch = self._halves(self.encode_sets(sets), self.encode_archs(archs, features, recipes))
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
