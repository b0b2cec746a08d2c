"""A few true evaluations, spent on what is most worth knowing: the surrogate learns from each of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metad2a.errors import ConfigError, LimitError
from metad2a.models.surrogate import LinearPosterior
from metad2a.search.growing_process import GrowingProcess
from metad2a.spaces.base import Architecture, SearchSpace

_UNITS = np.geomspace(0.02, 2.0, 25)  # of the usual spread of a task's accuracies
_UNIT_DOUBT = 1.0  # standard deviation of the logarithm of the unit, before anything is seen


class SurrogateSearcher:
    """Proposes the architecture with the greatest expected improvement over the best one seen (ask/tell).

    Expected improvement: Jones, Schonlau and Welch, Journal of Global Optimization 13, 1998; here of the difference
    between an architecture and the best one seen, so that a data set's own level of accuracy does not matter. How
    many percent a score of one is on this data set is not known before, either: it is the most likely value given
    what was told. Of several asked for at once each is chosen as if those before it had shown what is expected.

    Args:
        space: of the architectures.
        archs: that may be proposed, distinct.
        features: of these architectures, see ``ArchFeatures``.
        belief: of the data set, before anything is seen.
        spread: the usual standard deviation of a task's accuracies, in percent.
    """

    def __init__(
        self,
        space: SearchSpace,
        archs: Sequence[Architecture],
        features: Float[Tensor, "A D"],
        belief: LinearPosterior,
        *,
        spread: float,
    ) -> None:
        self._space, self._archs, self._spread = space, list(archs), spread
        self._process = GrowingProcess(features, belief)
        self._place = {arch: place for place, arch in enumerate(self._archs)}
        self._asked: list[int] = []
        self._told: dict[int, float] = {}

    def ask(self, n: int) -> list[Architecture]:
        """See ``Searcher.ask``."""
        chosen: list[int] = []
        while len(chosen) < n and len(self._asked) < len(self._archs):
            place = int(self._improvement()[0].argmax())
            self._asked.append(place)
            chosen.append(place)
        return [self._archs[place] for place in chosen]

    def tell(self, archs: Sequence[Architecture], values: Sequence[float]) -> None:
        """See ``Searcher.tell``; values are accuracies in percent."""
        for arch, value in zip(archs, values, strict=True):
            if arch in self._place:
                self._told[self._place[arch]] = float(value)

    @property
    def best(self) -> Architecture | None:
        """The architecture with the highest value told; None before there is one."""
        known = self._known()
        return self._archs[max(known, key=known.__getitem__)] if known else None

    def promise(self) -> float:
        """Return by how many percent of accuracy the next architecture is expected to beat the best one seen.

        Infinite before anything was seen. Searching on is hardly worth it where this is small.
        """
        if self.best is None:
            return math.inf
        if len(self._asked) == len(self._archs):
            return 0.0
        improvement, unit = self._improvement()
        return float(improvement.max()) * unit

    def state_dict(self) -> dict[str, Any]:
        """See ``Searcher.state_dict``."""
        told = {str(place): value if math.isfinite(value) else None for place, value in self._told.items()}
        return {"asked": list(self._asked), "told": told}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``Searcher.load_state_dict``."""
        self._asked = list(state["asked"])
        self._told = {int(place): math.nan if value is None else value for place, value in state["told"].items()}

    def _known(self) -> dict[int, float]:
        return {place: value for place, value in self._told.items() if math.isfinite(value)}

    def _learned(self) -> tuple[Float[Tensor, " A"], float]:
        """Return the mean score of each architecture, and how many percent a score of one is, most likely."""
        known = self._known()
        pending = [place for place in self._asked if place not in self._told]
        process = self._process
        process.observe([*known, *pending])
        values = torch.tensor(list(known.values()), dtype=torch.float64)
        seen = process.whitened(values - values.mean()) if len(values) else values
        expected = process.whitened(process.start[list(known)])
        unit = self._unit(seen, expected)
        return process.mean(seen / unit - expected), unit

    def _unit(self, seen: Float[Tensor, " T"], expected: Float[Tensor, " T"]) -> float:
        if len(seen) < 2:
            return self._spread
        units = torch.from_numpy(_UNITS * self._spread)
        fits = -0.5 * (seen / units[:, None] - expected).square().sum(1) - len(seen) * units.log()
        doubt = -0.5 * torch.from_numpy((np.log(_UNITS) / _UNIT_DOUBT) ** 2)
        return float(units[(fits + doubt).argmax()])

    def _improvement(self) -> tuple[Float[Tensor, " A"], float]:
        """Return the expected improvement of each architecture as a score, and ``_learned``'s unit.

        It is minus infinity for those asked for before; where nothing was, the mean itself.
        """
        mean, unit = self._learned()
        able = torch.tensor([place for place in self._asked if math.isfinite(self._told.get(place, 0.0))]).long()
        improvement = mean
        if len(able):
            incumbent = int(able[mean[able].argmax()])
            gain, deviation = mean - mean[incumbent], self._process.deviation_from(incumbent).clamp_min(1e-12)
            z = gain / deviation
            density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
            improvement = gain * torch.special.ndtr(z) + deviation * density
        return improvement.index_fill(0, torch.tensor(self._asked).long(), -torch.inf), unit


@dataclass(frozen=True)
class Queried:
    """What a few true evaluations found.

    Attributes:
        trail: architectures (as text) and accuracies in percent, in the order of evaluation; NaN where it failed.
        best: the one with the highest accuracy.
        accuracy: its accuracy, in percent.
        promise: by how many percent the next evaluation was expected to improve on it when the search ended.
        oracle: name of who evaluated.
    """

    trail: tuple[tuple[str, float], ...]
    best: str
    accuracy: float
    promise: float
    oracle: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; numbers that do not exist are null."""
        rows = [{"arch": arch, "accuracy": value if math.isfinite(value) else None} for arch, value in self.trail]
        plain = {"best": self.best, "accuracy": self.accuracy, "promise": self.promise, "oracle": self.oracle}
        return {"trail": rows} | plain


def spend(
    searcher: SurrogateSearcher,
    space: SearchSpace,
    evaluate: Callable[[list[Architecture]], Sequence[float]],
    *,
    queries: int,
    batch: int = 1,
    enough: float = 0.0,
    oracle: str = "",
    on_query: Callable[[str, float], None] = lambda arch, accuracy: None,
) -> Queried:
    """Spend up to ``queries`` true evaluations on what ``searcher`` asks for.

    Args:
        searcher: proposes.
        space: of the architectures.
        evaluate: returns true accuracies in percent.
        queries: at most.
        batch: how many are evaluated at a time.
        enough: it ends early when the next evaluation promises less than so many percent.
        oracle: name of who evaluates, for who reads what comes of it.
        on_query: told each architecture and its accuracy.

    Raises:
        ConfigError: a number is out of range.
        LimitError: every evaluation failed.
    """
    if queries < 1 or batch < 1 or enough < 0:
        raise ConfigError(
            f"queries={queries}, batch={batch}, enough={enough}: give 1 or more, and no negative number."
        )
    trail: list[tuple[str, float]] = []
    while len(trail) < queries and searcher.promise() > enough:
        asked = searcher.ask(min(batch, queries - len(trail)))
        if not asked:
            break
        values = [float(value) for value in evaluate(asked)]
        searcher.tell(asked, values)
        for arch, value in zip(asked, values, strict=True):
            trail.append((space.format(arch), value))
            on_query(*trail[-1])
    if searcher.best is None:
        raise LimitError(f"all {len(trail)} evaluations failed: there is no best architecture.")
    best = space.format(searcher.best)
    return Queried(tuple(trail), best, dict(trail)[best], searcher.promise(), oracle)
