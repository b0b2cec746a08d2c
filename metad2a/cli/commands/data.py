"""metad2a data: make images ready. Heavy imports happen inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Make images ready for building databases and for meta-training.")
prepare = typer.Typer(no_args_is_help=True, help="Write images and tasks to a folder that is read from the disk.")
app.add_typer(prepare, name="prepare")


@prepare.command()
def imagenet(
    source: Annotated[
        Path,
        typer.Argument(help="Folder of ImageNet, Tiny-ImageNet or down-sampled batches | file.npz with x and y"),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to make; run again to continue.")],
    resolution: Annotated[int, typer.Option(help="Pixels a side.")] = 32,
    part: Annotated[str, typer.Option(help="Whose images: train | val | all")] = "train",
    images_per_class: Annotated[int | None, typer.Option(help="Take so many at random; else all.")] = None,
    tasks_count: Annotated[
        int | None, typer.Option(help="Tasks for meta-training: 200, or of a list so many in all; else all.")
    ] = None,
    valid_tasks: Annotated[int, typer.Option(help="Tasks for meta-validation.")] = 50,
    classes_per_task: Annotated[int, typer.Option(help="Of the tasks that are drawn.")] = 20,
    valid_classes: Annotated[
        float, typer.Option(help="Share of the classes that only tasks for meta-validation have.")
    ] = 0.2,
    tasks: Annotated[
        Path | None, typer.Option(help="Take these tasks (JSON, MetaD2A's own task_classes.json) and draw none.")
    ] = None,
    wnids: Annotated[
        Path | None, typer.Option(help="Names of ImageNet32's labels, where they do not lie beside the images.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of classes, tasks and images.")] = 0,
) -> None:
    """Make tasks of ImageNet's classes, and write their images, never holding all of them in memory."""
    from metad2a.cli.commands import data_files

    data_files.prepare_imagenet(
        source,
        out,
        resolution=resolution,
        part=part,
        images_per_class=images_per_class,
        tasks=tasks_count,
        valid_tasks=valid_tasks,
        classes_per_task=classes_per_task,
        valid_classes=valid_classes,
        task_list=tasks,
        wnids=wnids,
        seed=seed,
    )


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="Folder of prepared images.")]) -> None:
    """Compare the files of prepared images with their checksums."""
    from metad2a.cli.commands import data_files

    data_files.verify(folder)
