"""What a search returns."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from metad2a.data.features import FeatureSet
from metad2a.errors import ConfigError, unknown_name
from metad2a.search.pareto import COSTS, pareto_front
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.scale import NetworkScale

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1


_PLAIN = (
    *("rank", "arch", "predicted", "std", "params", "flops", "latency_ms"),
    *("latency_measured", "latency_quartiles_ms", "memory_mb"),
)


@dataclass(frozen=True)
class Candidate:
    """One proposed architecture.

    Attributes:
        rank: 1 is the best.
        arch: the space's text of the architecture.
        predicted: accuracy in percent.
        std: uncertainty of ``predicted`` in percent, None when unknown.
        params: trainable parameters, for the searched data set's number of classes.
        flops: multiply-adds of one image.
        latency_ms: milliseconds of one image, None when unknown.
        space: of ``arch``.
        num_classes: of the searched data set.
        draws: ``predicted`` before averaging: on each random draw of images; empty when unknown.
        latency_measured: whether ``latency_ms`` is a median of measurements or predicted from those of others; None
            when unknown.
        latency_quartiles_ms: first and third quartile of the measurements made now.
        memory_mb: megabytes (10^6 bytes) of one forward pass of one image, see ``metad2a.costs.memory``; None when
            it would have to be measured.
        resolution: pixels a side of the images for which all this was counted; None: those of the space.
        scale: the space's scale options of the network, as far as they are not its defaults.
    """

    rank: int
    arch: str
    predicted: float
    std: float | None
    params: int
    flops: int
    latency_ms: float | None
    space: SearchSpace
    num_classes: int
    draws: tuple[float, ...] = ()
    latency_measured: bool | None = None
    latency_quartiles_ms: tuple[float, float] | None = None
    memory_mb: float | None = None
    resolution: int | None = None
    scale: dict[str, int] = field(default_factory=dict, hash=False)

    def build(self, num_classes: int | None = None, **scale: int) -> nn.Module:
        """Return the untrained network, of the scale that was searched for except where ``scale`` has another one.

        See ``SearchSpace.build`` for ``scale``.
        """
        classes = self.num_classes if num_classes is None else num_classes
        return self.space.build(self.space.parse(self.arch), classes, **{**self.scale, **scale})

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate as plain data."""
        return {name: getattr(self, name) for name in _PLAIN}


@dataclass(frozen=True)
class SearchResult:
    """Ranked candidates, and how they were found.

    Attributes:
        candidates: best first.
        space: name.
        checkpoint: name or files.
        seed: random state of the search.
        dataset: ``name``, ``classes``, ``images_used``, ``embedder``.
        generation: counts ``sampled``, ``valid``, ``unique``, ``novel``.
        timing: seconds: ``embed_s``, ``generate_s``, ``rank_s``, ``total_s``; and ``measure_s`` where latency was.
        latency: where latencies come from: ``device`` (None: from a model that was given), ``threads``,
            architectures ``measured`` in all, ``model_archs`` that the others' are predicted from, and
            ``model_error_ms``, the root mean square error on each of these as predicted from the others. None when
            unknown.
        features: of the images that were searched with.
        images_per_class: the most that the search was to look at; None where features were given.
    """

    candidates: tuple[Candidate, ...]
    space: str
    checkpoint: str
    seed: int
    dataset: dict[str, Any]
    generation: dict[str, int]
    timing: dict[str, float]
    latency: dict[str, Any] | None = None
    features: FeatureSet | None = field(default=None, repr=False, compare=False)
    images_per_class: int | None = None

    @property
    def best(self) -> Candidate:
        """The first-ranked candidate."""
        return self.candidates[0]

    @property
    def networks(self) -> NetworkScale:
        """The scale of the networks whose costs were counted."""
        return NetworkScale(self.best.resolution or self.best.space.resolution, self.best.scale)

    def pareto(self, cost: str = "params") -> tuple[Candidate, ...]:
        """Return the candidates that no other one beats in both predicted accuracy and ``cost``, cheapest first.

        Args:
            cost: ``params``, ``flops``, ``latency_ms`` or ``memory_mb``.

        Raises:
            UnknownNameError: there is no such cost.
            ConfigError: it is not known of these candidates.
        """
        if cost not in COSTS:
            raise unknown_name("cost", cost, COSTS)
        if cost not in self._known_costs():
            raise ConfigError(f"{cost} is not known of these candidates. Search with a limit on it.")
        values = np.array([candidate.predicted for candidate in self.candidates])
        costs = np.array([getattr(candidate, cost) for candidate in self.candidates], dtype=np.float64)
        return tuple(self.candidates[i] for i in pareto_front(values, costs))

    def _known_costs(self) -> list[str]:
        return [cost for cost in COSTS if getattr(self.best, cost) is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, the content of ``metad2a search --json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "space": self.space,
            "resolution": self.networks.resolution,
            "scale": self.networks.options,
            "checkpoint": self.checkpoint,
            "seed": self.seed,
            "dataset": self.dataset,
            "generation": self.generation,
            "timing": self.timing,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "pareto": {cost: [c.rank for c in self.pareto(cost)] for cost in self._known_costs()},
            "latency": self.latency,
        }

    def to_frame(self) -> "pd.DataFrame":
        """Return one row a candidate."""
        import pandas as pd

        return pd.DataFrame([candidate.to_dict() for candidate in self.candidates])
