"""A meta-database as the tensors that meta-training reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from metad2a.data.features import FeatureSet
from metad2a.database.join import recipe_names
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError
from metad2a.spaces.base import ArchBatch, SearchSpace


@dataclass(frozen=True)
class MetaData:
    """Records of (task, architecture, accuracy) beside the features of the tasks' images.

    Attributes:
        features: the images of all classes of all tasks.
        tasks: classes of each task as class numbers of ``features``; -1 pads.
        archs: the graphs of the distinct architectures.
        arch_names: their texts.
        task_of: row of ``tasks`` of each record.
        arch_of: row of ``archs`` of each record.
        accuracy: percent.
        valid: True for records of meta-validation.
        sources: where the images of each row of ``tasks`` come from; empty: all from one place.
        losses: on held-out and on training images after the last epoch, NaN where unknown; None if not asked for.
        labelled: the architectures of meta-training that were trained, the most frequent first, where its records
            are of others, see ``metad2a.training.teaching``.
        recipes: names of the labels' recipes, that of meta-validation first; empty: all are of one.
        recipe_of: place in ``recipes`` of each record; None: all are of one.
    """

    features: FeatureSet
    tasks: Int[Tensor, "tasks C"]
    archs: ArchBatch
    arch_names: tuple[str, ...]
    task_of: Int[Tensor, " R"]
    arch_of: Int[Tensor, " R"]
    accuracy: Float[Tensor, " R"]
    valid: Bool[Tensor, " R"]
    sources: tuple[str, ...] = ()
    losses: Float[Tensor, "R 2"] | None = None
    labelled: tuple[str, ...] | None = None
    recipes: tuple[str, ...] = ()
    recipe_of: Int[Tensor, " R"] | None = None

    @property
    def train_rows(self) -> Int[Tensor, " R_train"]:
        """Records of meta-training."""
        return (~self.valid).nonzero().squeeze(1)

    @property
    def valid_rows(self) -> Int[Tensor, " R_valid"]:
        """Records of meta-validation."""
        return self.valid.nonzero().squeeze(1)

    @property
    def new_task_rows(self) -> Int[Tensor, " R_new"]:
        """Records of meta-validation whose task has no record of meta-training; by some splits not all."""
        return (self.valid & ~torch.isin(self.task_of, self.task_of[self.train_rows])).nonzero().squeeze(1)

    @cached_property
    def recipe_number(self) -> Int[Tensor, " R"]:
        """For each record the place of its recipe; 0 where all are of one."""
        return torch.zeros_like(self.task_of) if self.recipe_of is None else self.recipe_of

    @cached_property
    def group_of(self) -> Int[Tensor, " R"]:
        """For each record the number of its task under its recipe: what accuracies can be compared within."""
        return self.task_of * max(len(self.recipes), 1) + self.recipe_number

    def of_recipe(self, rows: Int[Tensor, " R_some"], recipe: int = 0) -> Int[Tensor, " R_part"]:
        """Return those of ``rows`` whose label is of a recipe."""
        return rows[self.recipe_number[rows] == recipe]

    def target(self, recipe: int = 0) -> tuple[float, float]:
        """Return mean and standard deviation of the meta-training accuracies of a recipe, in percent."""
        accuracy = self.accuracy[self.of_recipe(self.train_rows, recipe)]
        return float(accuracy.mean()), float(accuracy.std().clamp_min(1e-6))

    def arch_frequencies(self) -> list[str]:
        """Return the meta-training architectures, the most frequent first, then the better on average."""
        if self.labelled is not None:
            return list(self.labelled)
        rows = self.train_rows
        count = torch.bincount(self.arch_of[rows], minlength=len(self.archs)).double()
        total = torch.zeros_like(count).index_add_(0, self.arch_of[rows], self.accuracy[rows].double())
        order = sorted(
            (arch for arch in range(len(count)) if count[arch]),
            key=lambda arch: (-count[arch].item(), -(total[arch] / count[arch]).item(), self.arch_names[arch]),
        )
        return [self.arch_names[arch] for arch in order]


def check_space(database: MetaDatabase, space: SearchSpace) -> None:
    """Refuse another space than that of the database's architectures.

    Raises:
        DatabaseError: it is another one.
    """
    if database.space != space.name:
        raise DatabaseError(
            f"the database is of space '{database.space}', not '{space.name}'. Leave out space=, or give another "
            "database."
        )


def meta_data(
    database: MetaDatabase,
    features: FeatureSet,
    space: SearchSpace,
    *,
    valid: Bool[np.ndarray, " R"],
    with_losses: bool = False,
) -> MetaData:
    """Turn a database and the features of its classes into tensors.

    Args:
        database: its ``ok`` records are used.
        features: its class names are ``class_key`` of the database's sources and classes.
        space: of the database's architectures.
        valid: for each record whether it belongs to meta-validation.
        with_losses: whether the losses are read too, which takes a second for ten thousand learning curves.

    Raises:
        DatabaseError: the database is of another space, or has no record on one side of the split.
    """
    check_space(database, space)
    number = {name: i for i, name in enumerate(features.classes)}
    names = [
        [class_key(source, name) for name in classes]
        for source, classes in zip(database.tasks["source"], database.task_classes, strict=True)
    ]
    missing = sorted({name for task in names for name in task} - set(number))
    if missing:
        raise DatabaseError(f"no images for {len(missing)} classes of the tasks, e.g. '{missing[0]}'.")
    if valid.all() or not valid.any():
        raise DatabaseError("meta-training and meta-validation both need records; change the split.")
    width = max(len(task) for task in names)
    padded = [[number[name] for name in task] + [-1] * (width - len(task)) for task in names]
    recipes = recipe_names(database)
    recipe_of = pd.Index(list(recipes)).get_indexer(pd.Index(database.records["recipe"]))
    data = MetaData(
        features=features,
        tasks=torch.tensor(padded),
        archs=space.encode([space.parse(text) for text in database.archs]),
        arch_names=database.archs,
        task_of=torch.from_numpy(database.task_index.astype(np.int64)),
        arch_of=torch.from_numpy(database.arch_index.astype(np.int64)),
        accuracy=torch.from_numpy(database.accuracy.astype(np.float32)),
        valid=torch.from_numpy(valid),
        sources=tuple(database.tasks["source"]),
        losses=torch.from_numpy(database.last_losses()) if with_losses else None,
    )
    if len(recipes) == 1:
        return data
    return replace(data, recipes=tuple(recipes.values()), recipe_of=torch.from_numpy(recipe_of))


def class_key(source: str, name: str) -> str:
    """Return the name under which the class ``name`` of image source ``source`` is known among all sources."""
    return f"{source}/{name}"


def join_features(parts: Mapping[str, Sequence[FeatureSet]]) -> FeatureSet:
    """Join the features of several sources; image sets of one source add images to its classes.

    One feature set alone is not copied: it may be larger than the memory.

    Args:
        parts: for each source its feature sets, all of one embedder.
    """
    sets = [(source, features) for source, members in parts.items() for features in members]
    if len(sets) == 1:
        [(source, alone)] = sets
        order = sorted(range(len(alone.classes)), key=alone.classes.__getitem__)
        return alone.keep_classes(order, names=[class_key(source, alone.classes[c]) for c in order])
    keys = sorted({class_key(source, name) for source, features in sets for name in features.classes})
    number = {key: i for i, key in enumerate(keys)}
    labels = [
        np.repeat([number[class_key(source, name)] for name in features.classes], features.counts.numpy())
        for source, features in sets
    ]
    embedders = {features.embedder for _, features in sets}
    if len(embedders) != 1:
        raise DatabaseError(f"the features come from {len(embedders)} different embedders; use one for all.")
    return FeatureSet(
        torch.cat([block for _, features in sets for block in features.blocks()]),
        np.concatenate(labels),
        keys,
        embedder=embedders.pop(),
        name="+".join(parts),
    )
