"""metad2a import: tables of benchmarks, and tables and records of one's own."""

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from metad2a.cli import output
from metad2a.database.importers.provenance import sidecar


def nasbench201(sources: Sequence[Path], out: Path, **options: int) -> None:
    """Read NAS-Bench-201's ``.pth`` file."""
    from metad2a.database.importers.nats_bench import import_nasbench201

    say_table(import_nasbench201(sources[0], out, **options), out)


def nats_bench(sources: Sequence[Path], out: Path, **options: int) -> None:
    """Read NATS-Bench's folder of the topology space."""
    from metad2a.database.importers.nats_bench import import_nats_bench

    say_table(import_nats_bench(sources[0], out, **options), out)


def analog_nasbench(sources: Sequence[Path], out: Path) -> None:
    """Read the data of the package analog-nasbench."""
    from metad2a.database.importers.analog_nasbench import import_analog_nasbench

    say_table(import_analog_nasbench(sources[0], out), out)


def latency(sources: Sequence[Path], out: Path, **options: str) -> None:
    """Read published latencies."""
    from metad2a.database.importers.latency_tables import import_latencies

    devices = import_latencies(sources[0], out, **options)
    output.console.print(f"latency on {len(devices)} devices: {escape(', '.join(devices))}")
    _say_files(out)


def table(sources: Sequence[Path], out: Path, **options: str) -> None:
    """Read a table of architectures."""
    from metad2a.database.importers.table_files import import_table

    columns, left_out = import_table(sources[0], out, **options)
    output.console.print(f"columns: {escape(', '.join(columns))}")
    if left_out:
        output.console.print(f"left out, as they hold no numbers: {escape(', '.join(left_out))}")
    _say_files(out)


def records(sources: Sequence[Path], out: Path, **options: str) -> None:
    """Read records of trainings."""
    from metad2a.database.importers.record_files import import_records

    database = import_records(sources, out, **options)
    output.console.print(f"{len(database.records)} records of {len(database.tasks)} tasks")
    output.wrote(out)


def ofa(sources: Sequence[Path], out: Path) -> None:
    """Read Once-for-All's accuracy predictor and latency tables."""
    from metad2a.database.importers.ofa import import_ofa

    imported = import_ofa(sources[0], out)
    if imported.accuracy is not None:
        output.console.print("accuracy of every MobileNetV3 network, an oracle whose columns are resolutions")
        _say_files(imported.accuracy)
    for device, (path, resolutions) in imported.latency.items():
        output.console.print(f"latency of layers on {escape(device)}, at {', '.join(map(str, resolutions))} pixels")
        _say_files(path)


def say_table(count: int, out: Path) -> None:
    """Say how many architectures a table has, and which files were written."""
    output.console.print(f"{count} architectures")
    _say_files(out)


def _say_files(out: Path) -> None:
    output.wrote(out)
    output.wrote(sidecar(out))
