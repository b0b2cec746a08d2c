"""What meta-training leaves behind of its data, for explanations of what a search found."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metad2a.data.features import FeatureSet
from metad2a.models.reference import Reference, class_means, cosine_distances
from metad2a.training.meta_data import MetaData

SIZES = (1, 2, 5, 10, 20, 50)
MAX_IMAGES = 50  # of a class; more hardly move its mean
MAX_TASKS = 10_000
_CLASSES = 10  # fewer are no distribution
_QUANTILES = 101


def reference_of(data: MetaData, images_per_class: int) -> Reference:
    """Return the classes and tasks of the records of meta-training, of the recipe that is asked for.

    Of more than 10,000 tasks every so many-th is kept: the checkpoint must stay small.

    Args:
        data: the records.
        images_per_class: of the sets that the models see. Means of more images are not told apart: few classes may
            have them, and these may be of one kind.
    """
    rows = data.of_recipe(data.train_rows)
    known, task_of = data.task_of[rows].unique(return_inverse=True)
    best_row, accuracy = _best_and_mean(data.accuracy[rows].double(), task_of, len(known))
    kept = torch.linspace(0, len(known) - 1, min(len(known), MAX_TASKS)).round().long()
    tasks = data.tasks[known[kept]]
    classes = tasks[tasks >= 0].unique()
    best_row = rows[best_row[kept]]
    archs, best = data.arch_of[best_row].unique(return_inverse=True)
    sizes, loneliness = _loneliness(data.features, classes, images_per_class)
    return Reference(
        classes=tuple(data.features.classes[number] for number in classes.tolist()),
        means=class_means(data.features, classes, MAX_IMAGES).half(),
        tasks=torch.where(tasks >= 0, torch.searchsorted(classes, tasks.clamp_min(0)), -1).int(),
        archs=tuple(data.arch_names[number] for number in archs.tolist()),
        accuracy=accuracy[kept].float(),
        best=best.int(),
        best_accuracy=data.accuracy[best_row].float(),
        sizes=sizes,
        loneliness=loneliness,
    )


def _best_and_mean(
    accuracy: Float[Tensor, " R"], task_of: Int[Tensor, " R"], tasks: int
) -> tuple[Int[Tensor, " tasks"], Float[Tensor, " tasks"]]:
    """Return the position of each task's best record, and the mean of its records."""
    order = np.lexsort((-accuracy.numpy(), task_of.numpy()))
    first = torch.from_numpy(np.searchsorted(task_of.numpy()[order], np.arange(tasks)))
    total = accuracy.new_zeros(tasks).index_add_(0, task_of, accuracy)
    return torch.from_numpy(order)[first], total / torch.bincount(task_of, minlength=tasks)


def _loneliness(
    features: FeatureSet, classes: Int[Tensor, " R"], images_per_class: int
) -> tuple[tuple[int, ...], Float[Tensor, "S Q"]]:
    """Return for each number of images how far a class of so many lies from the nearest other one: quantiles."""
    means = class_means(features, classes, MAX_IMAGES)
    sizes, rows = [], []
    for size in (size for size in SIZES if size <= images_per_class):
        having = (features.counts[classes] >= size).nonzero().squeeze(1)
        if len(having) < _CLASSES:
            continue
        distances = cosine_distances(class_means(features, classes[having], size), means)
        distances[torch.arange(len(having)), having] = torch.inf
        sizes.append(size)
        rows.append(distances.amin(1).quantile(torch.linspace(0, 1, _QUANTILES)))
    return tuple(sizes), torch.stack(rows) if rows else torch.empty(0, _QUANTILES)
