"""The generator: from a data set to architectures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metad2a.data.features import SetBatch
from metad2a.errors import ConfigError
from metad2a.models.graph_decoder import DecodingRules, Draws, GraphDecoder
from metad2a.models.set_encoder import SetEncoder
from metad2a.models.wishes import Wishes
from metad2a.spaces.base import ArchBatch


class GeneratorLoss(NamedTuple):
    """The objective and its terms, each summed over the batch.

    Attributes:
        loss: ``recon + beta * kld``.
        recon: negative log-likelihood of the graphs.
        kld: Kullback-Leibler divergence of the latents from the standard normal.
    """

    loss: Float[Tensor, ""]
    recon: Float[Tensor, ""]
    kld: Float[Tensor, ""]


class Generator(nn.Module):
    """A variational autoencoder that reads data sets and writes graphs (MetaD2A, ICLR 2021, section 3.2).

    Args:
        feature_dim: ``F``.
        num_types: ``T``.
        num_nodes: most vertices of a graph.
        hidden: ``H``, width of the decoder.
        latent: ``Z``, also the width of the set encoder; a multiple of ``num_heads``.
        num_heads: attention heads of the set encoder.
        normalize: see ``SetEncoder``.
        topology: the edges of every graph, as ``(u, v)``, where the search space gives them. None: edges are
            learned.
        conditions: what the decoder can be told to aim at, see ``Wishes``; None: nothing.
    """

    def __init__(
        self,
        *,
        feature_dim: int,
        num_types: int,
        num_nodes: int,
        hidden: int = 56,
        latent: int = 56,
        num_heads: int = 4,
        normalize: bool = False,
        topology: Sequence[Sequence[int]] | None = None,
        conditions: Mapping[str, Sequence[float]] | None = None,
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
            "topology": None if topology is None else [[int(u), int(v)] for u, v in topology],
            "conditions": None if conditions is None else {name: list(kept) for name, kept in conditions.items()},
        }
        self.set_encoder = SetEncoder(feature_dim, latent, num_heads=num_heads, normalize=normalize)
        self.mu = nn.Linear(latent, latent)
        self.logvar = nn.Linear(latent, latent)
        self.wishes = None if conditions is None else Wishes(conditions, latent)
        self.decoder = GraphDecoder(num_types, num_nodes, hidden, latent, topology=topology)

    def __repr__(self) -> str:
        return f"Generator({', '.join(f'{name}={value!r}' for name, value in self.config.items())})"

    def encode(self, sets: SetBatch) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B Z"]]:
        """Return mean and log-variance of the latent of each data set."""
        vectors = self.set_encoder(sets.features, sets.mask)
        return self.mu(vectors), self.logvar(vectors)

    def latents(self, sets: SetBatch, want: Mapping[str, float] | None = None) -> Float[Tensor, "B Z"]:
        """Return the mean latent of each data set, led to what is wanted.

        Args:
            sets: data sets.
            want: by name of a condition, see ``Wishes.told``; what is not named is as ``Wishes`` has it: the best
                accuracy, at any cost.

        Raises:
            ConfigError: the generator was not trained to be told that, or the value is out of range.
        """
        mu, _ = self.encode(sets)
        told = self.aim(want)
        return mu if told is None or self.wishes is None else mu + self.wishes(told.to(mu).expand(len(mu), -1))

    def aim(self, want: Mapping[str, float] | None = None) -> Float[Tensor, "1 N"] | None:
        """Return what ``forward`` is told where ``want`` is wanted, see ``latents``; None where that is nothing."""
        if self.wishes is not None:
            return self.wishes.told(want or {})
        if want:
            raise ConfigError(
                f"want={', '.join(want)}: this generator was not trained to be told what is wanted. Train one with "
                f"model.condition=[{','.join(want)}]."
            )
        return None

    def forward(
        self,
        sets: SetBatch,
        archs: ArchBatch,
        *,
        noise: Float[Tensor, "B Z"] | None = None,
        told: Float[Tensor, "B N"] | None = None,
        beta: float = 0.005,
        eps_scale: float = 0.01,
    ) -> GeneratorLoss:
        """Return how badly each architecture is told from its data set.

        Args:
            sets: data sets.
            archs: a good architecture for each.
            noise: standard normal numbers for the latents; None takes their means, as in validation.
            told: the conditions that each architecture meets, NaN where that is not told; None tells nothing.
            beta: weight of the divergence.
            eps_scale: scale of the noise.
        """
        mu, logvar = self.encode(sets)
        z = mu if noise is None else perturb(mu, logvar, noise, eps_scale=eps_scale)
        if told is not None and self.wishes is not None:
            z = z + self.wishes(told)
        types, edges = self.decoder.log_likelihood(z, archs)
        recon = -(types + edges).sum()
        kld = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum()
        return GeneratorLoss(recon + beta * kld, recon, kld)

    loss = forward  # the name to read; wrappers such as DDP need the other

    def sample(
        self,
        z: Float[Tensor, "B Z"],
        *,
        rules: DecodingRules | None = None,
        generator: torch.Generator | None = None,
        draws: Draws | None = None,
        stochastic: bool = True,
        temperature: float = 1.0,
        penalty: Float[Tensor, "N T"] | None = None,
    ) -> ArchBatch:
        """Return one graph for each latent; see ``GraphDecoder.sample``."""
        return self.decoder.sample(
            z,
            rules=rules,
            generator=generator,
            draws=draws,
            stochastic=stochastic,
            temperature=temperature,
            penalty=penalty,
        )


def perturb(
    mu: Float[Tensor, "B Z"],
    logvar: Float[Tensor, "B Z"],
    noise: Float[Tensor, "B Z"],
    *,
    eps_scale: float = 0.01,
) -> Float[Tensor, "B Z"]:
    """Return latents drawn around ``mu`` (the reparametrisation trick, with noise scaled by ``eps_scale``)."""
    return mu + eps_scale * noise * torch.exp(logvar / 2)
