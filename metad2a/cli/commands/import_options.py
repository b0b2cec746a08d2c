"""metad2a import: its options."""

from pathlib import Path
from typing import Annotated

import typer


def import_(
    what: Annotated[
        str,
        typer.Argument(
            help="MetaD2A's: metad2a-database | metad2a-mobilenetv3 | features | nasbench201-table | checkpoint. "
            "Benchmarks: nasbench201 | nats-bench | analog-nasbench | latency. "
            "Once-for-All's: ofa. Your own: table | records."
        ),
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="A folder | one file | a generator's file, a predictor's file, or both | records, their tasks | "
            "`installed` for the package analog-nasbench."
        ),
    ],
    out: Annotated[
        Path, typer.Argument(help="What to write: a folder | FILE.safetensors | FILE.csv or FILE.parquet")
    ],
    database: Annotated[
        Path | None,
        typer.Option(help="checkpoint: the imported database that the predictor was trained on."),
    ] = None,
    target_mean: Annotated[
        float | None,
        typer.Option(help="checkpoint: mean of the accuracies it was trained on, in percent."),
    ] = None,
    target_std: Annotated[float | None, typer.Option(help="checkpoint: their standard deviation.")] = None,
    which: Annotated[
        str | None,
        typer.Option(help="metad2a-database: predictor | generator, where the folder has both."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="metad2a-mobilenetv3: what class numbers count, folder (default) | label."),
    ] = None,
    wnids: Annotated[
        Path | None,
        typer.Option(help="features: names of ImageNet32's classes, where they do not lie beside the file."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="nasbench201, nats-bench: 200 (default) | 12.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="latency, of HW-NAS-Bench: cifar10 (default) | cifar100 | ImageNet16-120."),
    ] = None,
    space: Annotated[str | None, typer.Option(help="table, records: the search space; else nasbench201.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="latency, table, records: of the figures, where the file does not say.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="records: of the database; else the file's.")] = None,
) -> None:
    """Read files of MetaD2A's authors, of benchmarks, or of your own, safely, and write them in our formats."""
    from metad2a.cli.commands import import_files

    options = {
        "database": database,
        "target_mean": target_mean,
        "target_std": target_std,
        "which": which,
        "classes": classes,
        "wnids": wnids,
        "epochs": epochs,
        "dataset": dataset,
        "space": space,
        "licence": licence,
        "name": name,
    }
    import_files.run(what, sources, out, options)
