"""Latency of every architecture of a space, predicted from measurements of a few."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch.nn import functional as F

from metad2a.errors import ConfigError, DataError
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace

MEASURED = 20
"""Architectures that are measured to know a machine."""

_POOL = 1000  # random architectures that those to be measured are chosen from
_REFERENCE = 512  # architectures that say how widely a feature varies
_PLACES = 0.2  # prior weight of where an operation stands, beside that of how many there are
_NOISE = 10.0 ** np.arange(-2, 1.1, 0.5)  # of a measurement, in variances of the features' part
_DESIGN_NOISE = 0.1
_FEWEST = 3


@runtime_checkable
class LatencyPredictor(Protocol):
    """Predicts the latency of architectures on some device."""

    @property
    def archs(self) -> tuple[Architecture, ...]:
        """Those that were measured as a whole."""

    @property
    def milliseconds(self) -> tuple[float, ...]:
        """Of each of them."""

    @property
    def error_ms(self) -> float | None:
        """Root mean square error of a prediction; None where nobody knows."""

    def predict(self, archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        """Return the milliseconds of each architecture."""


class GraphFeatures:
    """Numbers that tell how long an architecture may take: what its graph is made of, and its multiply-adds.

    Three groups of equal weight in total, each feature in standard deviations over the space: how many vertices of
    each type there are, and edges; multiply-adds and parameters; and, with less weight, the type of each vertex.
    Whatever the space, they come from its graphs and its two costs.

    Args:
        space: of the architectures.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._mean: list[np.ndarray] = []
        self._scale: list[np.ndarray] = []
        for group, weight in zip(
            self._groups(space.sample(_REFERENCE, numpy_rng("latency features"))), (1.0, 1.0, _PLACES), strict=True
        ):
            spread = group.std(axis=0)
            varies = spread > 1e-9
            self._mean.append(group.mean(axis=0))
            scale = np.zeros(len(spread))
            scale[varies] = weight / spread[varies] / np.sqrt(max(1, varies.sum()))
            self._scale.append(scale)

    def __call__(self, archs: Sequence[Architecture]) -> Float[np.ndarray, "A features"]:
        """Return the features of each architecture."""
        groups = zip(self._groups(archs), self._mean, self._scale, strict=True)
        return np.concatenate([(group - mean) * scale for group, mean, scale in groups], axis=1)

    def _groups(self, archs: Sequence[Architecture]) -> list[Float[np.ndarray, "A features"]]:
        graphs, space = self._space.encode(archs), self._space
        placed = (F.one_hot(graphs.types, space.num_types) * graphs.mask[:, :, None]).numpy().astype(np.float64)
        edges = graphs.edges.sum((1, 2)).numpy().astype(np.float64)
        costs = [space.flops(archs, 10, space.resolution), space.params(archs, 10)]
        return [
            np.column_stack([placed.sum(axis=1), edges]),
            np.column_stack(costs).astype(np.float64),
            placed.reshape(len(archs), -1),
        ]


@dataclass(frozen=True)
class LatencyModel:
    """Milliseconds as a sum over ``GraphFeatures``, learned from a few measurements by Bayesian ridge regression.

    ``fit`` makes one, of measurements from whatever device.

    Attributes:
        features: of architectures.
        weights: milliseconds per feature.
        offset: milliseconds of the average architecture.
        archs: those measured.
        milliseconds: of each; nothing is predicted to take less than half of the least.
        error_ms: root mean square error on each measured architecture, as predicted from the others.
    """

    features: GraphFeatures
    weights: Float[np.ndarray, " features"]
    offset: float
    archs: tuple[Architecture, ...]
    milliseconds: tuple[float, ...]
    error_ms: float

    @classmethod
    def fit(
        cls, space: SearchSpace, archs: Sequence[Architecture], milliseconds: Sequence[float] | np.ndarray
    ) -> "LatencyModel":
        """Learn from measurements; how noisy they are is what makes them most probable (the evidence).

        Raises:
            ConfigError: fewer than three architectures, or a latency that is no positive number.
        """
        times = np.asarray(milliseconds, dtype=np.float64)
        if len(archs) < _FEWEST or times.shape != (len(archs),):
            raise ConfigError(
                f"a latency model needs at least {_FEWEST} architectures and a time for each; given are "
                f"{len(archs)} and {times.size}. Measure more; {MEASURED} are a good number."
            )
        if not (np.isfinite(times) & (times > 0)).all():
            raise ConfigError("latencies must be positive milliseconds. Leave out the architectures that failed.")
        features = GraphFeatures(space)
        table = features(archs)
        offset, spread = float(times.mean()), float(times.std()) or 1.0
        middle = table.mean(axis=0)
        centred, target = table - middle, (times - offset) / spread
        kernel = centred @ centred.T
        noise = max(_NOISE, key=lambda noise: _log_evidence(kernel, target, noise))
        error = _leave_one_out(kernel, target, noise)
        weights = spread * centred.T @ np.linalg.solve(kernel + noise * np.eye(len(times)), target)
        start = offset - float(middle @ weights)
        return cls(features, weights, start, tuple(archs), tuple(times.tolist()), spread * error)

    @classmethod
    def read(cls, path: str | Path, space: SearchSpace) -> "LatencyModel":
        """Learn from a CSV file with the columns ``arch`` and ``ms``, of measurements on whatever device.

        Raises:
            DataError: there is no such file, a column is missing, or a row has no number; the message says which.
            ArchitectureError: a text is no architecture of ``space``.
            ConfigError: see ``fit``.
        """
        return cls.fit(space, *_read_table(path, space))

    def predict(self, archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        """Return the milliseconds of each architecture."""
        if not archs:
            return np.empty(0)
        return np.maximum(self.offset + self.features(archs) @ self.weights, min(self.milliseconds) / 2)


def _log_evidence(kernel: Float[np.ndarray, "A A"], target: Float[np.ndarray, " A"], noise: float) -> float:
    """Return how probable the targets are, but for a constant, at the scale that suits them best."""
    total = kernel + noise * np.eye(len(kernel))
    misfit = max(float(target @ np.linalg.solve(total, target)), 1e-9)
    return float(-len(target) * np.log(misfit) - np.linalg.slogdet(total)[1])


def _leave_one_out(kernel: Float[np.ndarray, "A A"], target: Float[np.ndarray, " A"], noise: float) -> float:
    """Return the root mean square error of predicting each target from the others."""
    hat = kernel @ np.linalg.inv(kernel + noise * np.eye(len(kernel)))
    residual = (target - hat @ target) / np.maximum(1 - np.diag(hat), 1e-9)
    return float(np.sqrt((residual**2).mean()))


def choose_architectures(space: SearchSpace, *, n: int = MEASURED, seed: int = 0) -> list[Architecture]:
    """Return ``n`` of 1,000 random architectures: those whose latencies say most about the others.

    One after the other, the one whose latency is least certain given those before, in the model that is to be
    fitted: the greedy way to a D-optimal design. The same seed gives the same choice.
    """
    pool = list(dict.fromkeys(space.sample(_POOL, numpy_rng(seed, "latency pool"))))
    table = GraphFeatures(space)(pool)
    uncertain = (table**2).sum(axis=1)
    known = np.zeros((0, len(pool)))
    chosen: list[int] = []
    for _ in range(min(n, len(pool))):
        uncertain[chosen] = -1.0
        best = int(uncertain.argmax())
        chosen.append(best)
        shared = table @ table[best] - known.T @ known[:, best]
        shared /= np.sqrt(max(shared[best], 0.0) + _DESIGN_NOISE)
        known = np.vstack([known, shared])
        uncertain -= shared**2
    return [pool[i] for i in chosen]


def _read_table(path: str | Path, space: SearchSpace) -> tuple[list[Architecture], list[float]]:
    """Return the architectures and milliseconds of a CSV file; see ``LatencyModel.read``."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"cannot read {path}: {error}. Give a CSV file with the columns 'arch' and 'ms'."
        ) from error
    if not {"arch", "ms"} <= set(columns):
        raise DataError(f"{path} has the columns {', '.join(columns) or 'none'}; it must have 'arch' and 'ms'.")
    times = []
    for line, row in enumerate(rows, start=2):
        try:
            times.append(float(row["ms"]))
        except (TypeError, ValueError):
            raise DataError(f"{path}, line {line}: ms is {row['ms']!r}, which is no number. Mend it.") from None
    return [space.parse(row["arch"] or "") for row in rows], times
