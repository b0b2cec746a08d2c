"""What a comparison knows of a data set by a table: what a method is told, and what is reported of it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from metad2a.errors import ConfigError, DataError, unknown_name
from metad2a.oracles.table import TableOracle
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace


@dataclass(frozen=True)
class Noise:
    """How what a method is told differs from what is reported.

    Attributes:
        columns: of the oracle's table; the seeds take turns at them.
        sd: standard deviation of a normal error, in percent: one an architecture and seed.

    Raises:
        ConfigError: both are given, or ``sd`` is negative.
    """

    columns: tuple[str, ...] = ()
    sd: float = 0.0

    def __post_init__(self) -> None:
        if self.sd < 0 or (self.columns and self.sd):
            raise ConfigError(
                f"noise_columns={list(self.columns)} and noise_sd={self.sd}: give columns of the table, or a "
                "standard deviation of at least 0, not both."
            )

    def __str__(self) -> str:
        if self.columns:
            return f"one of the columns {', '.join(self.columns)} of the table, by the seed"
        return f"the truth with a normal error of standard deviation {self.sd:g}" if self.sd else "the truth"


class Looked(NamedTuple):
    """What architectures turned out to be.

    Attributes:
        true: accuracies in percent.
        told: what the search is told of them.
        seconds: that each evaluation took; None when unknown.
    """

    true: Float[np.ndarray, " A"]
    told: Float[np.ndarray, " A"]
    seconds: Float[np.ndarray, " A"] | None


@dataclass(frozen=True)
class Judge:
    """A table of true accuracies, and what a search is told of them.

    Attributes:
        name: of the table and its column.
        archs: that it lists.
        truth: accuracies in percent, what is reported.
        noise: see there.
        told: of each of the noise's columns the accuracies.
        seconds: that the training of each architecture took; None when unknown.
    """

    name: str
    archs: Sequence[Architecture]
    truth: Float[np.ndarray, " A"]
    noise: Noise = Noise()
    told: Float[np.ndarray, "S A"] | None = None
    seconds: Float[np.ndarray, " A"] | None = None
    place: dict[Architecture, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", {arch: i for i, arch in enumerate(self.archs)})

    @classmethod
    def from_file(
        cls, text: str, space: SearchSpace, *, noise: Noise = Noise(), seconds_column: str = ""
    ) -> "Judge":
        """Read ``FILE:COLUMN``.

        Raises:
            ConfigError: no column is named.
            DataError: the file cannot be used, or does not list the whole space.
            UnknownNameError: there is no such column.
        """
        path, _, column = text.rpartition(":")
        if not path or not column:
            raise ConfigError(f"oracles: '{text}' names no column of the table. Write FILE:COLUMN.")
        oracle = TableOracle.from_file(path, column, space)
        return cls.from_table(oracle, Path(path), space, noise=noise, seconds_column=seconds_column)

    @classmethod
    def from_table(
        cls,
        oracle: TableOracle,
        path: Path,
        space: SearchSpace,
        *,
        noise: Noise = Noise(),
        seconds_column: str = "",
    ) -> "Judge":
        """Use a table that was read from ``path``; see ``from_file``."""
        archs = oracle.archs
        if space.listable and len(archs) < space.size:
            raise DataError(
                f"the oracle {oracle.name} lists {len(archs)} of {space.size} architectures of '{space.name}'. "
                "Use a table of the whole space."
            )
        told = [_column(path, name, most=100.0, what="percentages") for name in noise.columns]
        return cls(
            oracle.name,
            archs,
            oracle.evaluate(archs),
            noise=noise,
            told=np.stack(told) if told else None,
            seconds=_column(path, seconds_column, what="seconds") if seconds_column else None,
        )

    listed = True
    """Whether ``archs`` are all that can be asked for."""

    @property
    def timed(self) -> bool:
        """Whether the seconds of evaluations are known."""
        return self.seconds is not None

    @property
    def best(self) -> float:
        """The highest true accuracy."""
        return float(self.truth.max())

    def rows(self, archs: Sequence[Architecture]) -> list[int]:
        """Return the places of ``archs`` in the table.

        Raises:
            DataError: one is not listed.
        """
        missing = next((arch for arch in archs if arch not in self.place), None)
        if missing is not None:
            raise DataError(f"the oracle {self.name} does not list {missing}. Use a table of the whole space.")
        return [self.place[arch] for arch in archs]

    def looker(self, seed: int) -> Callable[[Sequence[Architecture]], Looked]:
        """Return a function that evaluates architectures for a search with this seed."""
        signal = self.signal(seed)

        def look(archs: Sequence[Architecture]) -> Looked:
            rows = self.rows(archs)
            return Looked(self.truth[rows], signal[rows], None if self.seconds is None else self.seconds[rows])

        return look

    def signal(self, seed: int) -> Float[np.ndarray, " A"]:
        """Return what a search with this seed is told of each architecture, the same for every method."""
        if self.told is not None:
            return self.told[seed % len(self.told)]
        if not self.noise.sd:
            return self.truth
        return self.truth + self.noise.sd * numpy_rng("signal", seed).standard_normal(len(self.truth))

    def fingerprint(self) -> str:
        """Return a digest of the whole table and the noise."""
        digest = hashlib.blake2b(
            repr(([arch.choices for arch in self.archs], self.noise.sd)).encode(), digest_size=8
        )
        for array in (self.truth, self.told, self.seconds):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _column(path: Path, name: str, *, most: float = float("inf"), what: str) -> Float[np.ndarray, " A"]:
    """Return another column of a table that was read before, in the order of its rows."""
    import pandas as pd

    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    if name not in table:
        raise unknown_name(f"column of the oracle {path.name}", name, table.select_dtypes("number").columns)
    values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~((values >= 0) & (values <= most)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"column '{name}' of {path} holds '{table[name].iloc[row]}' in data row {row + 1}: no {what}."
        )
    return values
