"""A table of true accuracies, read from a CSV or Parquet file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from metad2a.errors import ArchitectureError, DataError, unknown_name
from metad2a.spaces.base import Architecture, SearchSpace

if TYPE_CHECKING:
    import pandas as pd


class TableOracle:
    """Accuracies of listed architectures.

    Args:
        accuracy: percent.
        space: of the architectures.
        name: for reports.
    """

    def __init__(self, accuracy: dict[Architecture, float], space: SearchSpace, *, name: str) -> None:
        self.name = name
        self._accuracy = accuracy
        self._space = space

    @classmethod
    def from_file(cls, path: str | Path, column: str, space: SearchSpace) -> "TableOracle":
        """Read a CSV or ``.parquet`` file with a column ``arch`` and one column of percentages a data set.

        Raises:
            DataError: the file cannot be read, has no column ``arch`` or no rows, names something that is no
                architecture of ``space`` or one twice, or ``column`` holds something else than percentages.
            UnknownNameError: there is no such column.
        """
        path = Path(path)
        table = _read(path)
        if column not in table:
            numeric = table.select_dtypes("number").columns
            raise unknown_name(f"column of the oracle {path.name}", column, numeric)
        archs = _distinct_archs(path, table["arch"], space)
        values = _percentages(path, table[column])
        return cls(dict(zip(archs, values.tolist(), strict=True)), space, name=f"{path.name}:{column}")

    @property
    def archs(self) -> list[Architecture]:
        """All listed architectures."""
        return list(self._accuracy)

    @property
    def best(self) -> float:
        """The highest accuracy of the table."""
        return max(self._accuracy.values())

    def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> Float[np.ndarray, " A"]:
        """See ``Oracle.evaluate``; the table is one value an architecture, whatever the seed.

        Raises:
            DataError: an architecture is not listed.
        """
        missing = next((arch for arch in archs if arch not in self._accuracy), None)
        if missing is not None:
            raise DataError(
                f"the oracle {self.name} does not list '{self._space.format(missing)}'. "
                "Use a table of the whole space."
            )
        return np.array([self._accuracy[arch] for arch in archs], dtype=np.float64)


def _read(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the oracle {path}: {error}. It must be a CSV or a .parquet file.") from error
    if "arch" not in table:
        raise DataError(f"the oracle {path} has no column 'arch'; it has: {', '.join(table.columns)}.")
    if table.empty:
        raise DataError(f"the oracle {path} has no rows. Give a row for each architecture.")
    return table


def _distinct_archs(path: Path, texts: Iterable[object], space: SearchSpace) -> list[Architecture]:
    row_of: dict[Architecture, int] = {}
    for row, text in enumerate(texts, start=1):
        try:
            arch = space.parse(str(text))
        except ArchitectureError as error:
            raise DataError(f"the oracle {path}, data row {row}: {error}") from error
        if arch in row_of:
            raise DataError(
                f"the oracle {path} lists '{text}' more than once, in data rows {row_of[arch]} and {row}. "
                "Remove one of them."
            )
        row_of[arch] = row
    return list(row_of)


def _percentages(path: Path, column: "pd.Series") -> Float[np.ndarray, " A"]:
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~((values >= 0) & (values <= 100)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"column '{column.name}' of {path} holds '{column.iloc[row]}' in data row {row + 1}: "
            "accuracies are percentages, 0 to 100."
        )
    return values
