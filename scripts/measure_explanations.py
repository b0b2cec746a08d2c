"""Measure what explanations say of data sets, and whether the chances they give are right.

python scripts/measure_explanations.py DATASET... [--images-per-class 20] [--max-classes 100] [--unseen DATABASE]
    [--oracle FILE.csv --column NAME]

A line a data set: how like meta-training it is with 1, 2 and 5 images a class. With `--unseen` classes that a task
of the DATABASE has are left out. With `--oracle`, all pairs of the candidates for the first data set are sorted by
the chance that one is really better, and counted: how often it is.
"""

import argparse
import sys
from itertools import pairwise

import numpy as np
from scipy.special import ndtr

from metad2a.data.cache import FeatureCache
from metad2a.data.image_set import ImageSet
from metad2a.database.published import MetaDatabase
from metad2a.errors import UserError
from metad2a.oracles.table import TableOracle
from metad2a.search.likeness import likeness
from metad2a.search.metad2a import MetaD2A
from metad2a.search.sureness import sureness

IMAGES = (1, 2, 5)
CHANCES = (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--checkpoint", default="nasbench201")
    parser.add_argument("--images-per-class", type=int, default=20)
    parser.add_argument("--max-classes", type=int, default=100)
    parser.add_argument("--unseen", metavar="DATABASE")
    parser.add_argument("--oracle")
    parser.add_argument("--column", default="accuracy")
    arguments = parser.parse_args()
    try:
        model = MetaD2A.open(arguments.checkpoint)
        for spec in arguments.datasets:
            print_likeness(model, opened(spec, arguments))
        if arguments.oracle:
            print_chances(model, opened(arguments.datasets[0], arguments), arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def opened(spec: str, arguments: argparse.Namespace) -> ImageSet:
    """Return the first classes of a data set, without those of the database."""
    images = ImageSet.open(spec)
    known: set[str] = set()
    if arguments.unseen:
        known = {name for classes in MetaDatabase.load(arguments.unseen).task_classes for name in classes}
    kept = [number for number, name in enumerate(images.classes) if name not in known]
    return images.keep_classes(kept[: arguments.max_classes])


def print_likeness(model: MetaD2A, images: ImageSet) -> None:
    """Print a line of a table."""
    cells = []
    for count in IMAGES:
        having = np.flatnonzero(images.counts >= count)
        if len(having) < 2:
            cells.append("")
            continue
        features = model.embed(images.keep_classes(having), images_per_class=count, cache=FeatureCache())
        near = likeness(features, model.checkpoint.reference)
        cells.append(f"{near.percentile:.0f} {near.level}")
    print(f"| {images.name} | {images.num_classes} | {' | '.join(cells)} |", flush=True)


def print_chances(model: MetaD2A, images: ImageSet, arguments: argparse.Namespace) -> None:
    """Print for each class of chances how many pairs it has, the mean chance, and how often the better one is."""
    features = model.embed(images, images_per_class=arguments.images_per_class, cache=FeatureCache())
    result = model.search(features, n_candidates=500)
    pair_error = sureness(model.checkpoint, result).pair_error
    if not pair_error:
        sys.exit("error: the checkpoint does not say how far a predicted difference is off.")
    oracle = TableOracle.from_file(arguments.oracle, arguments.column, model.space)
    true = oracle.evaluate([model.space.parse(candidate.arch) for candidate in result.candidates])
    predicted = np.array([candidate.predicted for candidate in result.candidates])
    better, worse = np.triu_indices(len(true), 1)
    chance = ndtr((predicted[better] - predicted[worse]) / pair_error)
    right = (true[better] > true[worse]) + 0.5 * (true[better] == true[worse])
    for low, high in pairwise(CHANCES):
        inside = (chance >= low) & (chance < high + (high == 1.0))
        if inside.any():
            said, found = 100 * chance[inside].mean(), 100 * right[inside].mean()
            print(f"| {100 * low:.0f} to {100 * high:.0f} % | {inside.sum():,} | {said:.0f} % | {found:.0f} % |")


if __name__ == "__main__":
    main()
