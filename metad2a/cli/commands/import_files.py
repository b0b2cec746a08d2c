"""metad2a import."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metad2a.cli import output
from metad2a.cli.commands import import_benchmarks
from metad2a.database.published import MetaDatabase
from metad2a.errors import ConfigError, DatabaseError, unknown_name


@dataclass(frozen=True)
class Kind:
    """One kind of import.

    Attributes:
        run: reads the sources, writes what the second argument names and says so; options come by keyword.
        max_sources: how many sources it takes at most.
        options: names of the options it takes.
    """

    run: Callable[..., None]
    max_sources: int = 1
    options: tuple[str, ...] = ()


def run(what: str, sources: Sequence[Path], out: Path, options: Mapping[str, Any]) -> None:
    """Read others' files and write them in this project's formats.

    Raises:
        UnknownNameError: ``what`` is no kind of import.
        ConfigError: too many sources, or an option that this kind does not take.
    """
    if what not in KINDS:
        raise unknown_name("kind of import", what, KINDS)
    kind = KINDS[what]
    if len(sources) > kind.max_sources:
        raise ConfigError(
            f"import {what} reads {kind.max_sources} at most, but got {len(sources)}: "
            f"{', '.join(map(str, sources))}. The last argument is what to write."
        )
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in kind.options:
            raise ConfigError(f"--{name.replace('_', '-')} means nothing to import {what}. Leave it out.")
    kind.run(sources, out, **given)


def _database(sources: Sequence[Path], out: Path, **options: str) -> None:
    from metad2a.database.importers.official import import_official

    _say_database(import_official(sources[0], out, **options), out)


def _mobilenetv3(sources: Sequence[Path], out: Path, **options: str) -> None:
    from metad2a.database.importers.official_mobilenetv3 import import_mobilenetv3

    _say_database(import_mobilenetv3(sources[0], out, **options), out)


def _say_database(database: MetaDatabase, out: Path) -> None:
    output.console.print(f"{len(database.records)} records of {len(database.tasks)} tasks")
    if len(database.held_out):
        output.console.print(f"{len(database.held_out)} more are held out, as the authors kept them for testing")
    output.wrote(out)


def _features(sources: Sequence[Path], out: Path, *, wnids: Path | None = None) -> None:
    from metad2a.database.importers.official_features import import_features

    features = import_features(sources[0], out, wnids=wnids)
    output.console.print(f"{features.name}: features of {len(features)} images of {len(features.classes)} classes")
    output.wrote(out)


def _table(sources: Sequence[Path], out: Path) -> None:
    from metad2a.database.importers.official_table import import_nasbench201_table

    import_benchmarks.say_table(import_nasbench201_table(sources[0], out), out)


def _checkpoint(
    sources: Sequence[Path],
    out: Path,
    *,
    database: Path | None = None,
    target_mean: float | None = None,
    target_std: float | None = None,
) -> None:
    from metad2a.models.official import official_checkpoint

    if (target_mean is None) != (target_std is None):
        raise ConfigError("--target-mean and --target-std belong together: give both.")
    accuracies = None if target_mean is None or target_std is None else (target_mean, target_std)
    if accuracies is not None and database is not None:
        raise ConfigError("--database says what --target-mean and --target-std say. Give one or the other.")
    known = None if database is None else MetaDatabase.load(database)
    if known is not None:
        accuracies = _training_accuracies(known)
    checkpoint = official_checkpoint(*sources, accuracies=accuracies)
    if known is not None and known.space != checkpoint.space:
        raise DatabaseError(
            f"the database {database} is of '{known.space}', the predictor of '{checkpoint.space}'. "
            "Give that on which the predictor was trained."
        )
    checkpoint.save(out)
    for name, origin in checkpoint.provenance.items():
        output.console.print(f"{name} of {checkpoint.space}, from {origin['official_file']}")
        output.console.print(f"  left behind, as no result depends on it: {', '.join(origin['left_behind'])}")
    if checkpoint.target is not None:
        output.console.print("accuracy in percent = {mean:g} + {std:g} x score".format(**checkpoint.target))
    output.wrote(out)


def _training_accuracies(database: MetaDatabase) -> tuple[float, float]:
    """Return mean and standard deviation of all records but those that the database marks as validation."""
    valid = database.records["split"].eq("valid").fillna(False).to_numpy(dtype=bool)
    accuracy = database.accuracy[~valid]
    return float(accuracy.mean()), float(accuracy.std(ddof=1))


KINDS: dict[str, Kind] = {
    "metad2a-database": Kind(_database, options=("which",)),
    "metad2a-mobilenetv3": Kind(_mobilenetv3, options=("classes",)),
    "features": Kind(_features, options=("wnids",)),
    "nasbench201-table": Kind(_table),
    "nasbench201": Kind(import_benchmarks.nasbench201, options=("epochs",)),
    "nats-bench": Kind(import_benchmarks.nats_bench, options=("epochs",)),
    "analog-nasbench": Kind(import_benchmarks.analog_nasbench),
    "latency": Kind(import_benchmarks.latency, options=("dataset", "licence")),
    "ofa": Kind(import_benchmarks.ofa),
    "table": Kind(import_benchmarks.table, options=("space", "licence")),
    "records": Kind(import_benchmarks.records, max_sources=2, options=("space", "licence", "name")),
    "checkpoint": Kind(_checkpoint, max_sources=2, options=("database", "target_mean", "target_std")),
}
