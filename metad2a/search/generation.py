"""Distinct architectures for a data set, drawn from a generator."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from metad2a.data.features import FeatureSet, SetBatch
from metad2a.errors import CheckpointError
from metad2a.models.generator import Generator
from metad2a.search.constraints import Limits
from metad2a.spaces.base import Architecture, SearchSpace

_log = logging.getLogger(__name__)

_GRAPHS_A_ROUND = 512
_SETS = 32  # draws of the data set that all rounds share
_OFFICIAL_ROUND = 100  # graphs a round, each from a draw of its own
_MOST_DRAWS = 102_400  # graphs decoded before giving up, or
_MOST_DRAWS_EACH = 8  # as many for each architecture that is wanted
_FEATURE_BUDGET = 16_000_000  # numbers in the drawn features of one batch: 64 MB
_STALLED = 0.05  # share of useful new architectures in a round below which the temperature rises
_WARMER = 1.3


@dataclass(frozen=True)
class Generation:
    """What was drawn.

    Attributes:
        archs: distinct architectures within the limits, in the order they were found.
        sampled: graphs decoded.
        valid: of these, graphs that are architectures.
    """

    archs: list[Architecture]
    sampled: int
    valid: int


def draw_sets(
    features: FeatureSet, num_sets: int, images_per_class: int, generator: torch.Generator
) -> Iterator[SetBatch]:
    """Yield ``num_sets`` random draws of the whole data set, in batches that fit into bounded memory."""
    classes = torch.arange(len(features.classes))
    most = int(features.counts.max())
    per_set = len(classes) * max(most, min(images_per_class, most) * features.dim)
    batch = max(1, min(num_sets, _FEATURE_BUDGET // per_set))
    for start in range(0, num_sets, batch):
        size = min(batch, num_sets - start)
        yield features.draw(classes.expand(size, -1), images_per_class, generator)


@torch.inference_mode()
def generate(
    model: Generator,
    space: SearchSpace,
    features: FeatureSet,
    *,
    n: int,
    images_per_class: int,
    limits: Limits,
    generator: torch.Generator,
    device: str = "cpu",
    constrained: bool = True,
) -> Generation:
    """Draw until ``n`` distinct architectures within ``limits`` are found.

    A generator that repeats itself, or hardly ever meets the limits, is drawn from at a rising temperature, so that
    the list fills up; when even that finds nothing new the list stays shorter.

    Not ``constrained`` it is the official way: each graph comes from a draw of the data set of its own, the decoder
    runs free, at its own temperature, and a graph that is not ``connected`` is thrown away.

    Raises:
        CheckpointError: the generator cannot run free: it was trained with given edges.
    """
    if not constrained and model.config["topology"] is not None:
        raise CheckpointError(
            "this generator cannot decode unconstrained: it was trained with the search space's edges and has "
            "no network that decides them. Search constrained, or train one with model.constrained=false."
        )

    def latents(num_sets: int) -> Float[Tensor, "B Z"]:
        draws = draw_sets(features, num_sets, images_per_class, generator)
        return torch.cat([model.encode(sets.to(device))[0] for sets in draws])

    shared = latents(_SETS).repeat(_GRAPHS_A_ROUND // _SETS, 1) if constrained else None
    found: dict[Architecture, None] = {}
    seen: set[Architecture] = set()
    sampled = valid = 0
    temperature = 1.0
    while sampled < max(_MOST_DRAWS, _MOST_DRAWS_EACH * n):
        graphs = model.sample(
            latents(_OFFICIAL_ROUND) if shared is None else shared,
            rules=space if constrained else None,
            generator=generator,
            temperature=temperature,
        )
        usable = graphs if constrained else graphs[graphs.connected()]
        decoded = [arch for arch in space.decode(usable) if arch is not None]
        sampled, valid = sampled + len(graphs), valid + len(decoded)
        new = [arch for arch in dict.fromkeys(decoded) if arch not in seen]
        seen.update(new)
        before = len(found)
        if new:
            allowed = limits.admits(space, new, len(features.classes))
            found.update(dict.fromkeys(arch for arch, ok in zip(new, allowed, strict=True) if ok))
        if len(found) >= n or len(seen) >= space.size:
            break
        if constrained and len(found) - before < _STALLED * len(graphs):
            temperature *= _WARMER
    if len(found) < n:
        _log.warning("found %d of %d architectures (limits: %s)", len(found), n, limits)
    return Generation(list(found)[:n], sampled, valid)
