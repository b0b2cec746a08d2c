"""Oracles by file name."""

from pathlib import Path

from metad2a.oracles.ofa import SUFFIX, AccuracyPredictor
from metad2a.oracles.table import TableOracle
from metad2a.spaces.base import SearchSpace


def open_oracle(path: str | Path, column: str, space: SearchSpace) -> TableOracle | AccuracyPredictor:
    """Open a table (CSV, Parquet) or an accuracy predictor (``.safetensors``, whose columns are resolutions).

    Raises:
        DataError: see ``TableOracle.from_file`` and ``AccuracyPredictor.from_file``.
        UnknownNameError: there is no such column.
    """
    if Path(path).suffix == SUFFIX:
        return AccuracyPredictor.from_file(path, column, space)
    return TableOracle.from_file(path, column, space)
