"""A table of true accuracies, read from a CSV file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from metad2a.errors import DataError, unknown_name
from metad2a.spaces.base import Architecture, SearchSpace


class TableOracle:
    """Accuracies of listed architectures.

    Args:
        accuracy: percent, by the space's text of the architecture.
        space: of the architectures.
        name: for reports.
    """

    def __init__(self, accuracy: dict[str, float], space: SearchSpace, *, name: str) -> None:
        self.name = name
        self._accuracy = accuracy
        self._space = space

    @classmethod
    def from_csv(cls, path: str | Path, column: str, space: SearchSpace) -> "TableOracle":
        """Read a CSV file with a column ``arch`` and one column of percentages a data set.

        Raises:
            DataError: the file cannot be read, has no such column, or holds something else than percentages.
        """
        import pandas as pd

        path = Path(path)
        try:
            table = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read the oracle {path}: {error}. It must be a CSV file.") from error
        if "arch" not in table:
            raise DataError(f"the oracle {path} has no column 'arch'; it has: {', '.join(table.columns)}.")
        if column not in table:
            numeric = table.select_dtypes("number").columns
            raise unknown_name(f"column of the oracle {path.name}", column, numeric)
        values = pd.to_numeric(table[column], errors="coerce")
        if values.isna().any() or not values.between(0, 100).all():
            row = int(np.argmax((values.isna() | ~values.between(0, 100)).to_numpy()))
            raise DataError(
                f"column '{column}' of {path} holds {table[column][row]!r} in data row {row + 1}: "
                "accuracies are percentages, 0 to 100."
            )
        if table["arch"].duplicated().any():
            twice = table["arch"][table["arch"].duplicated()].iloc[0]
            raise DataError(f"the oracle {path} lists '{twice}' more than once.")
        for text in table["arch"]:
            space.parse(text)
        return cls(dict(zip(table["arch"], values.astype(float), strict=True)), space, name=f"{path.name}:{column}")

    @property
    def archs(self) -> list[Architecture]:
        """All listed architectures."""
        return [self._space.parse(text) for text in self._accuracy]

    @property
    def best(self) -> float:
        """The highest accuracy of the table."""
        return max(self._accuracy.values())

    def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> Float[np.ndarray, " A"]:
        """See ``Oracle.evaluate``; the table is one value an architecture, whatever the seed.

        Raises:
            DataError: an architecture is not listed.
        """
        texts = [self._space.format(arch) for arch in archs]
        missing = next((text for text in texts if text not in self._accuracy), None)
        if missing is not None:
            raise DataError(f"the oracle {self.name} does not list '{missing}'. Use a table of the whole space.")
        return np.array([self._accuracy[text] for text in texts])
