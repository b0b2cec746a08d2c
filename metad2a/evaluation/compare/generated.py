"""Validity, uniqueness, novelty and diversity of what a generator makes for a data set."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from metad2a.evaluation.compare.grid import Trial
from metad2a.evaluation.compare.learned_method import LearnedMethod
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.problem import Problem
from metad2a.runtime import torch_rng
from metad2a.spaces.base import Architecture, SearchSpace

NUMBER = 1000


def generated_rows(
    methods: Sequence[LearnedMethod], trials: Sequence[Trial], *, number: int = NUMBER, seed: int = 0
) -> list[dict[str, Any]]:
    """Return for each method and trial how good its graphs are as such.

    ``sampled``: graphs as the decoder makes them, repeats and all; ``handed_out``: what a search of so many
    candidates gives to the user. Of both see ``figures``. What only ranks hands out, and samples nothing.
    """
    # It does not depend on the oracle, so a data set with several is looked at once.
    made: dict[tuple[int, str], list[dict[str, Any]]] = {}
    rows = []
    for problem, judge in trials:
        for method in methods:
            key = id(problem.data), method.label
            if key not in made:
                made[key] = _rows(method, problem, number, seed)
            rows += [{"oracle": judge.name, "method": method.label, **row} for row in made[key]]
    return rows


def _rows(method: LearnedMethod, problem: Problem, number: int, seed: int) -> list[dict[str, Any]]:
    known = frozenset(method.checkpoint.train_archs)
    made: dict[str, Sequence[Architecture | None]] = {}
    if isinstance(method, MetaMethod):
        made["sampled"] = _sampled(method, problem, number, seed)
    made["handed_out"] = method.handed_out(problem, seed, number)
    return [{"what": what, **figures(archs, problem.space, known)} for what, archs in made.items()]


def figures(
    archs: Sequence[Architecture | None], space: SearchSpace, known: Collection[str]
) -> dict[str, float | int]:
    """Return how good graphs are as such; None stands for one that is no architecture.

    ``graphs``: their number. In percent: ``validity`` (architectures among them), ``uniqueness`` (distinct ones of
    these), ``novelty`` (of the distinct ones those that are not ``known`` from meta-training; NaN where nothing is
    known of that); ``unique_functions`` and ``novel_functions``: the same where isomorphic ones, which compute the
    same function, count as one. ``diversity``: decisions in which two distinct ones differ on average.
    """
    valid = [arch for arch in archs if arch is not None]
    distinct = list(dict.fromkeys(valid))
    new = sum(space.format(arch) not in known for arch in distinct)
    functions = {space.canonical(arch) for arch in distinct}
    new_functions = functions - {space.canonical(space.parse(text)) for text in known}
    return {
        "graphs": len(archs),
        "validity": _percent(len(valid), len(archs)),
        "uniqueness": _percent(len(distinct), len(valid)),
        "novelty": _percent(new, len(distinct)) if known else float("nan"),
        "unique_functions": _percent(len(functions), len(valid)),
        "novel_functions": _percent(len(new_functions), len(functions)) if known else float("nan"),
        "diversity": diversity(distinct),
    }


def diversity(archs: Sequence[Architecture]) -> float:
    """Return the mean number of decisions in which two of some distinct architectures differ; NaN below two."""
    count = len(archs)
    if count < 2:
        return float("nan")
    width = max(len(arch.choices) for arch in archs)
    table = np.array([arch.choices + (-1,) * (width - len(arch.choices)) for arch in archs])
    # Pairs that agree in a decision are counted by its choices: no pair is looked at.
    agree = sum((np.unique(column, return_counts=True)[1] ** 2).sum() - count for column in table.T)
    return float(width - agree / (count * (count - 1)))


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else float("nan")


@torch.inference_mode()
def _sampled(method: MetaMethod, problem: Problem, number: int, seed: int) -> list[Architecture | None]:
    latents = method.latents(problem, seed)
    graphs = method.model.generator.sample(
        latents.repeat(-(-number // len(latents)), 1)[:number],
        rules=problem.space if method.constrained else None,
        generator=torch_rng(seed, "compare graphs"),
    )
    archs = problem.space.decode(graphs)
    if method.constrained:
        return archs
    connected = graphs.connected().tolist()  # the official implementation counts no other graph
    return [arch if whole else None for arch, whole in zip(archs, connected, strict=True)]
