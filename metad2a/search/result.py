"""What a search returns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from metad2a.spaces.base import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1


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
        latency_ms: measured milliseconds of one image, None when not measured.
        space: of ``arch``.
        num_classes: of the searched data set.
        draws: ``predicted`` before averaging: on each random draw of images; empty when unknown.
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

    def build(self, num_classes: int | None = None, **scale: int) -> nn.Module:
        """Return the untrained network; see ``SearchSpace.build`` for ``scale``."""
        classes = self.num_classes if num_classes is None else num_classes
        return self.space.build(self.space.parse(self.arch), classes, **scale)

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate as plain data."""
        names = ("rank", "arch", "predicted", "std", "params", "flops", "latency_ms")
        return {name: getattr(self, name) for name in names}


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
        timing: seconds: ``embed_s``, ``generate_s``, ``rank_s``, ``total_s``.
    """

    candidates: tuple[Candidate, ...]
    space: str
    checkpoint: str
    seed: int
    dataset: dict[str, Any]
    generation: dict[str, int]
    timing: dict[str, float]

    @property
    def best(self) -> Candidate:
        """The first-ranked candidate."""
        return self.candidates[0]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, the content of ``metad2a search --json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "space": self.space,
            "checkpoint": self.checkpoint,
            "seed": self.seed,
            "dataset": self.dataset,
            "generation": self.generation,
            "timing": self.timing,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }

    def to_frame(self) -> "pd.DataFrame":
        """Return one row a candidate."""
        import pandas as pd

        return pd.DataFrame([candidate.to_dict() for candidate in self.candidates])
