"""Architectures within limits that leave too few to be drawn."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metad2a.models.generator import Generator
from metad2a.search.constraints import Costs, Limits
from metad2a.spaces.base import Architecture, SearchSpace

_AT_ONCE = 64  # architectures whose neighbours are looked at together
_GRAPHS_A_BATCH = 1024


def within_reach(costs: Costs, limits: Limits, found: Iterable[Architecture], *, most: int) -> list[Architecture]:
    """Return architectures within ``limits`` that are not among ``found``.

    All of them where the space can be listed. Else up to ``most``, from neighbour to neighbour of those found, or
    of the cheapest one.
    """
    known = dict.fromkeys(found)
    if costs.space.listable:
        archs = list(costs.space.enumerate())
        allowed = limits.admits(costs, archs).tolist()
        return [arch for arch, ok in zip(archs, allowed, strict=True) if ok and arch not in known]
    queue = list(known) or [costs.smallest(limits.known(costs))]
    seen, reached = set(queue), [] if known else [arch for arch in queue if limits.admits(costs, [arch])[0]]
    for start in _portions(queue):
        near = dict.fromkeys(
            arch for center in start for arch in costs.space.neighbours(center) if arch not in seen
        )
        seen.update(near)
        allowed = limits.admits(costs, list(near)).tolist()
        new = [arch for arch, ok in zip(near, allowed, strict=True) if ok]
        reached += new
        queue += new
        if len(reached) >= most:
            break
    return reached[:most]


def _portions(queue: list[Architecture]) -> Iterable[list[Architecture]]:
    """Yield a list that may grow meanwhile, in portions."""
    start = 0
    while start < len(queue):
        portion = queue[start : start + _AT_ONCE]
        start += len(portion)
        yield portion


def likeliest(
    model: Generator, space: SearchSpace, latents: Float[Tensor, "B Z"], archs: Sequence[Architecture]
) -> list[Architecture]:
    """Return ``archs``, first those that the decoder would most probably make from the mean of ``latents``."""
    order = log_probability(model, space, latents, archs).argsort(descending=True, stable=True)
    return [archs[i] for i in order.tolist()]


@torch.inference_mode()
def log_probability(
    model: Generator, space: SearchSpace, latents: Float[Tensor, "B Z"], archs: Sequence[Architecture]
) -> Float[Tensor, " A"]:
    """Return the log-probability with which the decoder makes each of ``archs`` from the mean of ``latents``."""
    scores = [torch.empty(0)]
    for start in range(0, len(archs), _GRAPHS_A_BATCH):
        graphs = space.encode(archs[start : start + _GRAPHS_A_BATCH]).to(latents.device)
        types, edges = model.decoder.log_likelihood(latents.mean(0).expand(len(graphs), -1), graphs)
        scores.append((types + edges).cpu())
    return torch.cat(scores)
