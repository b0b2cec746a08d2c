"""Oracles by file name."""

from pathlib import Path

from metad2a.data.image_set import ImageSet
from metad2a.errors import DataError
from metad2a.fitting.supernet_file import is_supernet
from metad2a.fitting.supernet_ofa import NAMES
from metad2a.oracles.ofa import SUFFIX, AccuracyPredictor
from metad2a.oracles.supernet import SupernetOracle, open_supernet
from metad2a.oracles.table import TableOracle
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.mobile import MobileSpace


def open_oracle(
    path: str | Path, column: str, space: SearchSpace
) -> TableOracle | AccuracyPredictor | SupernetOracle:
    """Open a table (CSV, Parquet), an accuracy predictor or a supernet.

    The columns of an accuracy predictor (``.safetensors``) are resolutions. Those of a supernet (``.safetensors``,
    or weights that Once-for-All published) are data sets, in any form that ``ImageSet.open`` takes.

    Raises:
        CheckpointError: see ``open_supernet``.
        DataError: see ``TableOracle.from_file``, ``AccuracyPredictor.from_file`` and ``SupernetOracle.on``.
        UnknownNameError: there is no such column, or the supernet does not know a class of the data set.
    """
    if Path(path).name in NAMES.values() or is_supernet(path):
        if not isinstance(space, MobileSpace):
            raise DataError(
                f"{path} is a supernet of 'mobilenetv3', not of '{space.name}'. Take the space "
                "'mobilenetv3', or a checkpoint for it, or give a table as the oracle."
            )
        return SupernetOracle.on(open_supernet(path), ImageSet.open(column), space=space)
    if Path(path).suffix == SUFFIX:
        return AccuracyPredictor.from_file(path, column, space)
    return TableOracle.from_file(path, column, space)
