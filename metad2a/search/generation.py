"""Distinct architectures for a data set, drawn from a generator."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from metad2a.data.features import FeatureSet, SetBatch
from metad2a.errors import CheckpointError, LimitError
from metad2a.models.generator import Generator
from metad2a.search.constraints import Costs, Limits
from metad2a.search.neighbourhood import likeliest, within_reach
from metad2a.search.steering import Steering
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
_GIVE_UP = 8  # rounds in a row of so few, within limits, after which no more are drawn


@dataclass(frozen=True)
class Generation:
    """What was drawn.

    Attributes:
        archs: distinct architectures within the limits, in the order they were found.
        sampled: graphs decoded, and architectures looked at beside them where hardly any meets the limits.
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
    costs: Costs | None = None,
    device: str = "cpu",
    constrained: bool = True,
    steer: bool = True,
    want: Mapping[str, float] | None = None,
) -> Generation:
    """Draw until ``n`` distinct architectures within ``limits`` are found.

    Limits steer the decoder, see ``Steering``. A generator that repeats itself is drawn from at a rising
    temperature, so that the list fills up; when even that finds nothing new the list stays shorter. Where limits
    leave so little that drawing stalls, the list is filled from all that meets them, what the decoder thinks
    likeliest first; in a space that cannot be listed, from what is in reach of those found, one decision after the
    other.

    Without ``steer`` limits only filter what is drawn. ``want`` is what a generator that can be told aims at, see
    ``Generator.latents``.

    Not ``constrained`` it is the official way: each graph comes from a draw of the data set of its own, the decoder
    runs free, at its own temperature, and a graph that is not ``connected`` is thrown away.

    Raises:
        CheckpointError: the generator cannot run free: it was trained with given edges.
    """
    if not constrained:
        _check_free(model)

    def latents(num_sets: int) -> Float[Tensor, "B Z"]:
        draws = draw_sets(features, num_sets, images_per_class, generator)
        return torch.cat([model.latents(sets.to(device), want) for sets in draws])

    costs = costs or Costs(space, len(features.classes))
    steering = Steering(space, costs, limits.known(costs) if steer else {})
    few_sets = latents(_SETS) if constrained else None
    yields = _Yield(limits, costs)
    stalled, temperature = 0, 1.0
    while yields.sampled < max(_MOST_DRAWS, _MOST_DRAWS_EACH * n):
        graphs = model.sample(
            latents(_OFFICIAL_ROUND) if few_sets is None else few_sets.repeat(_GRAPHS_A_ROUND // _SETS, 1),
            rules=space if constrained else None,
            generator=generator,
            temperature=temperature,
            penalty=steering.penalty,
        )
        usable = graphs if constrained else graphs[graphs.connected()]
        decoded = [arch for arch in space.decode(usable) if arch is not None]
        gained = yields.add(decoded, sampled=len(graphs))
        steering.learn(decoded)
        if len(yields.found) >= n or len(yields.seen) >= space.size:
            break
        stalled = stalled + 1 if gained < _STALLED * len(graphs) else 0
        if constrained and stalled and not steering.rising:
            temperature *= _WARMER
        if few_sets is not None and steering.active and stalled >= _GIVE_UP:
            yields.fill(likeliest(model, space, few_sets, within_reach(costs, limits, yields.found, most=n)))
            break
    if len(yields.found) < n:
        _log.warning("found %d of %d architectures (limits: %s)", len(yields.found), n, limits)
    return Generation(list(yields.found)[:n], yields.sampled, yields.valid)


def _check_free(model: Generator) -> None:
    if model.config["topology"] is not None:
        raise CheckpointError(
            "this generator cannot decode unconstrained: it was trained with the search space's edges and has "
            "no network that decides them. Search constrained, or train one with model.constrained=false."
        )


class _Yield:
    """What has been drawn so far: ``seen`` are all architectures, ``found`` those within the limits, in order."""

    def __init__(self, limits: Limits, costs: Costs) -> None:
        self._limits, self._costs = limits, costs
        self.found: dict[Architecture, None] = {}
        self.seen: set[Architecture] = set()
        self.sampled = self.valid = 0

    def add(self, archs: list[Architecture], *, sampled: int) -> int:
        """Take the architectures among ``sampled`` graphs; return how many new ones are within the limits."""
        new = [arch for arch in dict.fromkeys(archs) if arch not in self.seen]
        self.seen.update(new)
        allowed = self._limits.admits(self._costs, new).tolist() if new else []
        admitted = [arch for arch, ok in zip(new, allowed, strict=True) if ok]
        self.found.update(dict.fromkeys(admitted))
        self.sampled, self.valid = self.sampled + sampled, self.valid + len(archs)
        return len(admitted)

    def fill(self, archs: list[Architecture]) -> None:
        """Take architectures that are known to be within the limits."""
        self.found.update(dict.fromkeys(archs))
        self.sampled, self.valid = self.sampled + len(archs), self.valid + len(archs)


def check_any(made: Generation, limits: Limits) -> None:
    """Fail where nothing was made.

    Raises:
        LimitError: nothing was.
    """
    if made.archs:
        return
    raise LimitError(
        f"none of the generated architectures meets {limits}. Raise the limits."
        if made.valid
        else f"none of {made.sampled} freely decoded graphs is an architecture. Search constrained."
    )
