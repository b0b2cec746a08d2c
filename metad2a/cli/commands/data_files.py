"""What the commands of metad2a data do."""

from pathlib import Path
from typing import Any

from rich.markup import escape

from metad2a.cli import output
from metad2a.data.imagenet import prepare
from metad2a.data.prepared import Prepared


def prepare_imagenet(source: Path, out: Path, **options: Any) -> None:
    """Prepare, and print what there is now."""
    _say(prepare.prepare_imagenet(source, out, prepare.ImageNetTasks(**options)))
    output.wrote(out)


def verify(folder: Path) -> None:
    """Check and print."""
    prepared = Prepared.open(folder)
    prepared.verify()
    _say(prepared)
    output.console.print("every file is as it was written")


def _say(prepared: Prepared) -> None:
    manifest = prepared.manifest
    counts, tasks = manifest["images_of_class"], manifest["tasks"]
    output.console.print(
        f"{escape(prepared.folder.name)}: {len(prepared.labels):,} images of {manifest['resolution']} pixels, "
        f"{len(prepared.classes)} classes of {min(counts)} to {max(counts)}, {tasks['train']} tasks for "
        f"meta-training and {tasks['valid']} for meta-validation"
    )
    lost = manifest["unreadable"]
    if lost:
        output.console.print(f"left out, as they cannot be read: {len(lost)}, the first: {escape(lost[0])}")
