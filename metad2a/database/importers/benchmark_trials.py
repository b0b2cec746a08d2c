"""What NAS-Bench-201 and NATS-Bench say of each cell, trained from several seeds, as a table of accuracies."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metad2a.database.importers.oracle_table import Origin, write_table
from metad2a.errors import ConfigError, DatabaseError
from metad2a.spaces.nasbench201 import NASBench201

EPOCHS = (200, 12)
"""Of the two trainings that both benchmarks hold."""
RESULTS = {
    "cifar10": ("cifar10", "ori-test", "CIFAR-10: test images; trained on the whole training set"),
    "cifar10-valid": ("cifar10-valid", "x-valid", "CIFAR-10: half the training set; trained on the other half"),
    "cifar100": ("cifar100", "x-test", "CIFAR-100: half the test images"),
    "cifar100-valid": ("cifar100", "x-valid", "CIFAR-100: the other half of the test images"),
    "ImageNet16-120": ("ImageNet16-120", "x-test", "ImageNet16-120: half the validation images"),
    "ImageNet16-120-valid": (
        "ImageNet16-120",
        "x-valid",
        "ImageNet16-120: the other half of them",
    ),
}
"""Column: the benchmark's name of the data set, and of the images measured on; and what that is."""
LICENCE = (
    "MIT (NAS-Bench-201 and NATS-Bench, Xuanyi Dong). The images behind the figures have terms of their own: "
    "CIFAR-10 and CIFAR-100 state none, ImageNet16-120 those of ImageNet, research only."
)

_log = logging.getLogger(__name__)


def check_epochs(epochs: int) -> None:
    """Refuse a number of epochs that the benchmarks have no trainings of.

    Raises:
        ConfigError: see above.
    """
    if epochs not in EPOCHS:
        raise ConfigError(f"there are no results of {epochs} epochs; --epochs is {' or '.join(map(str, EPOCHS))}.")


class Trials:
    """Accuracies after the last epoch, collected cell by cell.

    Args:
        where: they are read, for messages.
        archs: the benchmark's list of all cells.
        epochs: of training.
    """

    def __init__(self, where: str, archs: Sequence[str], epochs: int) -> None:
        self._where, self._archs, self._epochs = where, archs, epochs
        self._values: dict[int, dict[str, list[float]]] = {}

    def add(self, index: Any, info: Any, key: str) -> None:
        """Read the results of cell ``index`` from what the benchmark says of it under ``key``.

        Raises:
            DatabaseError: they are missing, damaged, or of another cell.
        """
        state = info.get(key) if isinstance(info, Mapping) else None
        if type(index) is not int or not 0 <= index < len(self._archs) or not isinstance(state, Mapping):
            raise DatabaseError(f"{self._where}: architecture {index!r} has no results of {self._epochs} epochs.")
        if state.get("arch_str") != self._archs[index]:
            raise DatabaseError(
                f"{self._where} contradicts itself: architecture {index} is {self._archs[index]} in the list, "
                f"{state.get('arch_str')} in its results."
            )
        try:
            found = {column: list(self._accuracies(state, *where[:2])) for column, where in RESULTS.items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DatabaseError(
                f"{self._where}: the results of architecture {index} are damaged or incomplete "
                f"({type(error).__name__}: {error})."
            ) from error
        self._values[index] = {column: values for column, values in found.items() if values}

    def _accuracies(self, state: Mapping[str, Any], dataset: str, images: str) -> Iterator[float]:
        for seed in state["dataset_seed"].get(dataset, ()):
            result = state["all_results"][dataset, seed]
            if result["epochs"] != self._epochs:
                raise ValueError(f"{dataset}, seed {seed}: {result['epochs']} epochs, not {self._epochs}")
            value = float(result["eval_acc1es"][f"{images}@{self._epochs - 1}"])
            if not 0 <= value <= 100:
                raise ValueError(f"{dataset}, seed {seed}: an accuracy of {value}")
            yield value

    def write(
        self, out: str | Path, benchmark: str, version: str | None, files: list[dict[str, Any]], command: str
    ) -> int:
        """Write the table and what is known of it; return its number of rows. See ``write_table``."""
        rows = sorted(self._values)
        columns, seeds, spread = {}, {}, {}
        for column in RESULTS:
            values = [self._values[row].get(column, []) for row in rows]
            if any(values):
                columns[column] = np.array([np.mean(found) if found else np.nan for found in values])
                seeds[column] = dict(sorted(Counter(str(len(found)) for found in values).items()))
                spread[column] = _mean_spread(values)
        if len(rows) < len(self._archs):
            _log.warning(
                "%s holds results of %d of %d architectures; metad2a evaluate needs all",
                *(self._where, len(rows), len(self._archs)),
            )
        notes = {
            "accuracy": f"Mean over the seeds after the last of {self._epochs} epochs of training.",
            "architectures_by_number_of_seeds": seeds,
            "standard_deviation_between_seeds": spread,
        }
        explained = {name: f"{RESULTS[name][2]}; percent" for name in columns}
        origin = Origin(benchmark, version, LICENCE, explained, files, command, notes)
        write_table(out, NASBench201.name, [self._archs[row] for row in rows], columns, origin)
        return len(rows)


def _mean_spread(values: Sequence[Sequence[float]]) -> float | None:
    """Return the standard deviation between seeds, pooled over the cells that have several; None without any."""
    variances = [np.var(found, ddof=1) for found in values if len(found) > 1]
    return float(np.sqrt(np.mean(variances))) if variances else None
