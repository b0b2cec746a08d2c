"""What a meta-training database says of architectures alone: the baseline that looks at no images."""

from pathlib import Path

import pandas as pd

from metad2a.database.published import MetaDatabase
from metad2a.database.splits import split_database
from metad2a.models.checkpoint import SUFFIX, Checkpoint
from metad2a.search.shipped_checkpoints import checkpoint_file, pretrained_names


def most_frequent(reference: str) -> dict[str, float]:
    """Return how often each architecture occurs in meta-training.

    Args:
        reference: a database (folder, or a shipped one's name), whose part for meta-training counts; or a
            checkpoint (file, or a shipped one's name), which knows the order alone: the numbers descend by one.

    Raises:
        DatabaseError: it is neither.
        CheckpointError: the checkpoint cannot be read.
    """
    path = Path(reference)
    if reference in pretrained_names() or path.suffix == SUFFIX:
        archs = Checkpoint.load(checkpoint_file(reference)).train_archs
        return {arch: float(len(archs) - place) for place, arch in enumerate(archs)}
    rows = _meta_training(reference)
    return {str(arch): float(count) for arch, count in rows["arch"].value_counts().items()}


def best_on_average(reference: str) -> dict[str, float]:
    """Return by how much each architecture is above the mean of its tasks, in percent, shrunk to it.

    A cell with ``n`` labels counts ``n / (n + 1)`` of its mean: a single lucky label does not win.

    Args:
        reference: a database, whose part for meta-training counts.

    Raises:
        DatabaseError: there is none.
    """
    rows = _meta_training(reference)
    by_task = rows.groupby(["task", "recipe"], dropna=False)["accuracy"]
    above = rows["accuracy"] - by_task.transform("mean")
    found = above.groupby(rows["arch"]).agg(["sum", "size"])
    return {str(arch): float(value) for arch, value in (found["sum"] / (found["size"] + 1)).items()}


def _meta_training(reference: str) -> pd.DataFrame:
    database = MetaDatabase.load(reference)
    return database.records[~split_database(database).valid]
