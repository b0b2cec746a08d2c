"""What a comparison knows of a data set without a table: an oracle that is asked, network by network."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError
from metad2a.evaluation.asking import SAMPLE, Remembered, uniform_sample
from metad2a.evaluation.compare.judge import Judge, Looked, Noise
from metad2a.evaluation.compare.kept import Kept
from metad2a.evaluation.compare.problem import data_digest
from metad2a.oracles.base import Oracle
from metad2a.oracles.opening import open_oracle
from metad2a.oracles.supernet import SupernetOracle
from metad2a.oracles.table import TableOracle
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace


class AskedJudge:
    """An oracle without a list of architectures, and what a search is told of it.

    What needs all architectures, such as rank quality, is measured on ``archs``, drawn uniformly from the space and
    the same in every comparison. Each network is evaluated once.

    Attributes:
        name: of the oracle's file and its column.
        noise: see ``Noise``; its columns are other columns of the oracle.
        oracle: knows the truth.

    Args:
        name: see above.
        oracle: see above.
        space: of the architectures.
        content: a digest of the oracle: of all that decides what it answers.
        kept: accuracies of ``archs`` are kept in it.
        noise: see above.
        told: an oracle for each of the noise's columns.
        sample: how many architectures are drawn.
    """

    listed = False
    """Whether ``archs`` are all that can be asked for."""

    def __init__(
        self,
        name: str,
        oracle: Oracle,
        space: SearchSpace,
        *,
        content: str,
        kept: Kept,
        noise: Noise = Noise(),  # noqa: B008 - frozen
        told: Sequence[Oracle] = (),
        sample: int = SAMPLE,
    ) -> None:
        self.name, self.noise, self.oracle = name, noise, oracle
        self._space, self._content, self._sample = space, content, sample
        self._true = Remembered(oracle, space, kept=kept, content=content)
        self._told = [Remembered(one, space) for one in told]

    @cached_property
    def archs(self) -> list[Architecture]:
        """Architectures drawn uniformly, of distinct networks."""
        return uniform_sample(self._space, self._sample)

    @cached_property
    def truth(self) -> Float[np.ndarray, " A"]:
        """Accuracies of ``archs`` in percent."""
        return self.accuracies(self.archs)

    @property
    def best(self) -> float:
        """The highest accuracy of ``archs``: searches may find higher ones."""
        return float(self.truth.max())

    @property
    def timed(self) -> bool:
        """Whether the seconds of evaluations are known: they are measured."""
        return True

    def accuracies(self, archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        """Return the true accuracies of any architectures; they are kept for the next comparison."""
        return self._true.evaluate(archs)

    def looker(self, seed: int) -> Callable[[Sequence[Architecture]], Looked]:
        """Return a function that evaluates architectures for a search with this seed."""
        return partial(self._look, seed)

    def _look(self, seed: int, archs: Sequence[Architecture]) -> Looked:
        true, seconds = self._true.timed(archs)
        if self._told:
            told, seconds = self._told[seed % len(self._told)].timed(archs)
            return Looked(true, told, seconds)
        if not self.noise.sd:
            return Looked(true, true, seconds)
        errors = [numpy_rng("signal", seed, self._space.canonical(arch)).standard_normal() for arch in archs]
        return Looked(true, true + self.noise.sd * np.array(errors), seconds)

    def fingerprint(self) -> str:
        """Return a digest of the oracle, the noise and the sample's size."""
        told = repr((self._content, self.noise, self._sample))
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def open_judge(
    text: str,
    space: SearchSpace,
    *,
    kept: Kept,
    noise: Noise = Noise(),  # noqa: B008 - frozen
    seconds_column: str = "",
    sample: int = SAMPLE,
) -> Judge | AskedJudge:
    """Open ``FILE:COLUMN``, any oracle that ``open_oracle`` opens.

    Raises:
        ConfigError: no column is named, or seconds are wanted of an oracle that is no table.
        CheckpointError: see ``open_oracle``.
        DataError: see there, or a table does not list the whole space.
        UnknownNameError: see there.
    """
    path, column = split_oracle(text)
    oracle = open_oracle(path, column, space)
    if isinstance(oracle, TableOracle):
        return Judge.from_table(oracle, path, space, noise=noise, seconds_column=seconds_column)
    if seconds_column:
        raise ConfigError(
            f"seconds_column={seconds_column}: {path} is no table. The seconds of its evaluations are measured; "
            "leave the column out."
        )
    columns = (column, *noise.columns)
    return AskedJudge(
        f"{path.name}:{_column_name(oracle, column)}",
        oracle,
        space,
        content=oracle_digest(oracle, path, columns),
        kept=kept,
        noise=noise,
        told=[open_oracle(path, other, space) for other in noise.columns],
        sample=sample,
    )


def split_oracle(text: str) -> tuple[Path, str]:
    """Return file and column of ``FILE:COLUMN``; both may hold colons, if there is such a file.

    Raises:
        ConfigError: no column is named.
    """
    places = [place for place, character in enumerate(text) if character == ":"]
    found = [place for place in places if Path(text[:place]).is_file()] or places
    path, column = (text[: found[-1]], text[found[-1] + 1 :]) if found else ("", "")
    if not path or not column:
        raise ConfigError(f"oracles: '{text}' names no column of the oracle. Write FILE:COLUMN.")
    return Path(path), column


def _column_name(oracle: Oracle, column: str) -> str:
    """Return how reports call a column; a data set is called by its name, not by its place."""
    return ImageSet.open(column).name if isinstance(oracle, SupernetOracle) else column


def oracle_digest(oracle: Oracle, path: Path, columns: Sequence[str]) -> str:
    """Return a digest of all that decides what ``oracle`` answers, which was opened from ``path``."""
    images = isinstance(oracle, SupernetOracle)
    digest = hashlib.blake2b(path.read_bytes(), digest_size=8)
    for column in columns:
        digest.update(data_digest(ImageSet.open(column)).encode() if images else column.encode())
    return digest.hexdigest()
