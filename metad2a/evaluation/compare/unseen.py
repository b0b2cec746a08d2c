"""Rank quality on the tasks of meta-validation: there only the labelled cells of a task count."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from metad2a.data.cache import FeatureCache
from metad2a.data.embedders.base import Embedder
from metad2a.data.features import FeatureSet
from metad2a.database.audit.ranks import within
from metad2a.database.published import MetaDatabase
from metad2a.database.splits import split_database
from metad2a.evaluation.compare.calibration import FEWEST, calibration_rows
from metad2a.evaluation.compare.learned_method import LearnedMethod
from metad2a.evaluation.compare.methods import Method
from metad2a.evaluation.compare.problem import Problem
from metad2a.runtime import progress
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.training.features import database_features
from metad2a.training.meta_data import class_key


class LabelledTask(NamedTuple):
    """A task of meta-validation.

    Attributes:
        classes: its classes, by the names that their features have.
        archs: its labelled cells.
        accuracy: of each, in percent; the mean of repeats.
    """

    classes: tuple[str, ...]
    archs: list[Architecture]
    accuracy: Float[np.ndarray, " A"]


def labelled_tasks(database: MetaDatabase, space: SearchSpace, *, split: str = "auto") -> list[LabelledTask]:
    """Return the tasks of meta-validation with their labelled cells; labels of two recipes make two tasks."""
    rows = database.records[split_database(database, split).valid]
    sources = dict(zip(database.tasks["task"], database.tasks["source"], strict=True))
    classes = dict(zip(database.tasks["task"], database.task_classes, strict=True))
    tasks = []
    for (task, _), part in rows.groupby(["task", "recipe"], sort=True, dropna=False):
        labels = part.groupby("arch")["accuracy"].mean()
        names = tuple(class_key(sources[task], name) for name in classes[task])
        tasks.append(LabelledTask(names, [space.parse(text) for text in labels.index], labels.to_numpy()))
    return tasks


def features_of(
    database: MetaDatabase, images: Sequence[str], max_images_per_class: int
) -> Callable[[Embedder], FeatureSet]:
    """Return a function that embeds the classes of ``database``; see ``database_features``."""

    def embed(embedder: Embedder) -> FeatureSet:
        return database_features(
            database, embedder, images=images, max_images_per_class=max_images_per_class, cache=FeatureCache()
        )

    return embed


def unseen_rows(
    methods: Sequence[Method],
    tasks: Sequence[LabelledTask],
    space: SearchSpace,
    embed: Callable[[Embedder], FeatureSet],
    *,
    seed: int = 0,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rank quality within the tasks of meta-validation, and the calibration of predictions on them.

    A row of the first for each score: the mean over the tasks of at least four labelled cells of Spearman's and
    Kendall's correlations, with 95 % intervals over tasks. Of the second for each meta-trained method, see
    ``calibration_rows``. Where a method's data sets are shuffled, it sees another task's that shares no class.
    """
    ranks: list[dict[str, Any]] = []
    calibrated: list[dict[str, Any]] = []
    true = np.concatenate([task.accuracy for task in tasks])
    number = np.repeat(np.arange(len(tasks)), [len(task.archs) for task in tasks])
    for method in methods:
        if not method.scorers:
            continue
        problems = list(_problems(method, tasks, space, embed))
        found = [
            method.scores(problem, task.archs, seed)
            for problem, task in progress(list(zip(problems, tasks, strict=True)), label=f"unseen: {method.label}")
        ]
        for name in method.scorers:
            scores = np.concatenate([np.asarray(row[name], dtype=np.float64) for row in found])
            ranks.append({"score": name, **_correlation(scores, true, number)})
        if isinstance(method, LearnedMethod):
            sure = [
                method.uncertain(problem, task.archs, seed) for problem, task in zip(problems, tasks, strict=True)
            ]
            rows = calibration_rows(sure, [task.accuracy for task in tasks], centred=False)
            calibrated += [{"method": method.label, "on": "meta-validation", **row} for row in rows]
    return ranks, calibrated


def _correlation(scores: np.ndarray, true: np.ndarray, number: np.ndarray) -> dict[str, Any]:
    found = within(scores, true, number, at_least=FEWEST)
    return {
        "tasks": found.tasks,
        "labels": found.labels,
        "spearman": {"mean": found.spearman, "low": found.spearman_interval[0], "high": found.spearman_interval[1]},
        "kendall": {"mean": found.kendall, "low": found.kendall_interval[0], "high": found.kendall_interval[1]},
    }


def _problems(
    method: Method, tasks: Sequence[LabelledTask], space: SearchSpace, embed: Callable[[Embedder], FeatureSet]
) -> list[Problem]:
    if isinstance(method, LearnedMethod):
        features = embed(method.ranker.embedder())
        number = {name: i for i, name in enumerate(features.classes)}
        sets = [features.keep_classes([number[name] for name in task.classes]) for task in tasks]
        problems = [Problem(space, one, others=_others(one, sets) if method.shuffled else ()) for one in sets]
        for problem in problems:
            method.check(problem)
        return problems
    return [Problem(space, _classes_alone(task.classes)) for task in tasks]


def _others(own: FeatureSet, sets: Sequence[FeatureSet]) -> tuple[FeatureSet, ...]:
    """Return the data sets that share no class with ``own``; where all do, those of other classes at least."""
    strange = tuple(one for one in sets if not set(one.classes) & set(own.classes))
    return strange or tuple(one for one in sets if set(one.classes) != set(own.classes))


def _classes_alone(names: Sequence[str]) -> FeatureSet:
    """Return as little of a data set as is needed by who looks at the number of classes alone."""
    return FeatureSet(torch.zeros(len(names), 1), np.arange(len(names)), names, embedder="none", name="classes")
