"""Note in a checkpoint what it was meta-trained on: for one made before checkpoints did so themselves.

    add_reference.py CHECKPOINT DATABASE OUT [--images PLACE...] [--no-tasks]

The weights stay as they are, bit for bit. The database, its split and the images must be those of the training;
the predictor's error of differences (val/pair_error) is measured on the records of meta-validation.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from metad2a.data.cache import FeatureCache
from metad2a.data.embedders.base import get_embedder
from metad2a.database.published import MetaDatabase
from metad2a.database.splits import SPLITS, split_database
from metad2a.errors import UserError
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.reference import Reference
from metad2a.spaces.registry import get_space
from metad2a.training.features import database_features
from metad2a.training.meta_data import MetaData, meta_data
from metad2a.training.predictor_objective import PredictorObjective
from metad2a.training.reference import reference_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("database", help="folder of the database it was trained on")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument("--images", nargs="*", default=[], help="as images=[...] of metad2a train")
    parser.add_argument("--no-tasks", action="store_true", help="leave out the tasks: they are others' to publish")
    parser.add_argument("--split", choices=SPLITS, default="by_task")
    parser.add_argument("--max-images-per-class", type=int, default=50)
    arguments = parser.parse_args()
    try:
        write(arguments)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"wrote {arguments.out}")


def write(arguments: argparse.Namespace) -> None:
    checkpoint = Checkpoint.load(arguments.checkpoint)
    space, embedder = get_space(checkpoint.space), get_embedder(checkpoint.embedder["name"])
    checkpoint.check(embedder=embedder)
    database = MetaDatabase.load(arguments.database)
    features = database_features(
        database,
        embedder,
        images=arguments.images,
        max_images_per_class=arguments.max_images_per_class,
        cache=FeatureCache(),
    )
    data = meta_data(database, features, space, valid=split_database(database, arguments.split).valid)
    reference = reference_of(data, checkpoint.images_per_class)
    if arguments.no_tasks:
        reference = without_tasks(reference)
    metrics = {**checkpoint.metrics, "predictor": checkpoint.metrics["predictor"] | pair_error(checkpoint, data)}
    replace(checkpoint, reference=reference, metrics=metrics).save(arguments.out)


def without_tasks(reference: Reference) -> Reference:
    """Return the classes of ``reference`` alone."""
    per_task = {name: getattr(reference, name)[:0] for name in ("tasks", "accuracy", "best", "best_accuracy")}
    return replace(reference, archs=(), **per_task)


def pair_error(checkpoint: Checkpoint, data: MetaData) -> dict[str, float]:
    """Return the error of differences that the predictor makes on meta-validation."""
    objective = PredictorObjective(
        data=data,
        train_rows=data.train_rows,
        valid_rows=data.valid_rows,
        batch_size=32,
        images_per_class=checkpoint.images_per_class,
        seed=0,
    )
    scores = objective.validate(checkpoint.build("predictor"))
    print({name: round(value, 3) for name, value in scores.items()})
    return {"val/pair_error": scores["val/pair_error"]}


if __name__ == "__main__":
    main()
