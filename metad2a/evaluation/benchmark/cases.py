"""The cases of ``metad2a benchmark``: what is done, on what, and the official figure to compare with.

Shapes are those of the official implementation: features of 512 numbers, 20 images a class, batches of 32 tasks of
20 classes, a data set of 10 classes where CIFAR-10 is meant.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from metad2a.data.cache import embed
from metad2a.data.embedders.base import get_embedder
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.errors import ArchitectureError
from metad2a.evaluation.benchmark import mobile
from metad2a.evaluation.benchmark.inputs import (
    Size,
    edges_of,
    frozen,
    random_features,
    random_generator,
    random_graphs,
    random_images,
    random_metad2a,
    random_predictor,
    random_sets,
)
from metad2a.evaluation.benchmark.labelling import NETWORKS, RANK60K, SUPERNET16, label_steps
from metad2a.evaluation.benchmark.measure import Work
from metad2a.evaluation.paper.nasbench201 import drawn_quality
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.search.constraints import Limits
from metad2a.search.generation import generate
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.registry import get_space

CIFAR10 = (10, 50)  # classes, embedded images of each
IMAGES_PER_CLASS = 20
CLASSES = 20
FIRST_PROJECTIONS = 4 * 12_800 * 512 * 168  # 32 tasks x 20 classes x 20 images, forward and weight gradients
_HANDED_OUT = 1000
NB201, MOBILENET = "nasbench201", "mobilenetv3"


@dataclass(frozen=True)
class Case:
    """One measurement.

    Args:
        name: how it is called on the command line.
        what: for people.
        unit: what ``items`` counts.
        items: how many of them one execution makes.
        setup: makes the inputs and returns the work, which is executed and timed again and again. Work that
            returns a ``dict`` of numbers reports on what it made.
        space: the search space it needs.
        package: what must be installed beside what always is; None: nothing.
        official_s: CPU seconds of the official implementation on its core.
        at_most: the mark: this share of the official seconds.
        floor: FLOPs of a matrix product that the work is compared with, ``own`` for those it has itself.
        within: the mark: this many times the seconds that the floor would take.
        at_least: the mark: smallest reported numbers.
    """

    name: str
    what: str
    unit: str
    items: int
    setup: Callable[[], Work]
    space: str = NB201
    package: str | None = None
    official_s: float | None = None
    at_most: float | None = None
    floor: int | Literal["own"] | None = None
    within: float | None = None
    at_least: Mapping[str, float] = field(default_factory=dict)


# --- training steps -----------------------------------------------------------------------------------------


def _step(model: nn.Module, loss: Callable[[], Tensor]) -> Work:
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-4, fused=True)  # as conf/optimizer

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def _generator_step(space_name: str, *, tasks: int, given_edges: bool) -> Work:
    space = get_space(space_name)
    edges = edges_of(space) if given_edges else None
    model = random_generator(space, Size(), edges=edges, normalize=given_edges)
    sets, graphs = random_sets(tasks, CLASSES, IMAGES_PER_CLASS), random_graphs(space, tasks)
    noise = torch.randn(tasks, Size().latent, generator=torch_rng("benchmark", "noise"))
    return _step(model, lambda: model(sets, graphs, noise=noise).loss)


def _predictor_step(space_name: str, *, tasks: int, hidden: int, normalize: bool = False) -> Work:
    space = get_space(space_name)
    model = random_predictor(space, Size(predictor_hidden=hidden), normalize=normalize)
    sets, graphs = random_sets(tasks, CLASSES, IMAGES_PER_CLASS), random_graphs(space, tasks)
    target = torch.randn(tasks, generator=torch_rng("benchmark", "accuracy"))
    return _step(model, lambda: (model(sets, graphs) - target).square().sum())


# --- search and its parts -----------------------------------------------------------------------------------


def _decode(*, constrained: bool) -> Work:
    space = get_space(NB201)
    model = random_generator(space, Size(), edges=edges_of(space) if constrained else None).eval()
    latents = torch.randn(100, Size().latent, generator=torch_rng("benchmark", "latents"))
    rules = space if constrained else None
    return lambda: model.sample(latents, rules=rules, generator=torch_rng("benchmark", "decode"))


def _generate() -> Work:
    model, features = random_metad2a(NB201), random_features(*CIFAR10)
    return lambda: generate(
        model.generator,
        model.space,
        features,
        n=500,
        images_per_class=IMAGES_PER_CLASS,
        limits=Limits(),
        generator=torch_rng("benchmark", "generate"),
    )


def _score() -> Work:
    model, features = random_metad2a(NB201), random_features(*CIFAR10)
    archs = model.space.sample(500, numpy_rng("benchmark", "candidates"))
    return lambda: model.predict(features, archs)


def _search(space_name: str, n: int) -> Work:
    model, features = random_metad2a(space_name), random_features(*CIFAR10)
    return lambda: model.search(features, n_candidates=n)


def _shipped(name: str) -> tuple[MetaD2A, FeatureSet]:
    model = frozen(MetaD2A.from_pretrained(name, device="cpu"))
    return model, model.embed(ImageSet.open("embedded:digits"), images_per_class=CIFAR10[1])


def _search_shipped(name: str, n: int) -> Work:
    model, features = _shipped(name)
    return lambda: model.search(features, n_candidates=n)


def _quality() -> Work:
    model, features = _shipped(NB201)
    space, known = model.space, set(model.checkpoint.train_archs)
    raw = drawn_quality(model, features, _HANDED_OUT, constrained=True)
    raw_uniqueness = 100.0 * raw.distinct / raw.valid

    def work() -> dict[str, float]:
        handed_out = [c.arch for c in model.search(features, n_candidates=_HANDED_OUT).candidates]
        valid = [text for text in handed_out if _is_arch(space, text)]
        return {
            "handed_out": float(len(handed_out)),
            "validity": 100.0 * len(valid) / len(handed_out),
            "uniqueness": 100.0 * len(set(valid)) / len(valid),
            "novelty": 100.0 * len(set(valid) - known) / len(set(valid)),
            "uniqueness_of_raw_draws": raw_uniqueness,
        }

    return work


def _is_arch(space: SearchSpace, text: str) -> bool:
    try:
        space.parse(text)
    except ArchitectureError:
        return False
    return True


def _embed() -> Work:
    images, embedder = random_images(64, 32), get_embedder("efficientnet-lite0")
    return lambda: embed(images, embedder, cache=None)


CASES = (
    Case(
        "generator-step",
        "generator training step, 32 tasks, edges learned (official)",
        "task",
        32,
        partial(_generator_step, NB201, tasks=32, given_edges=False),
        official_s=0.965,
        at_most=1 / 6,
        floor=FIRST_PROJECTIONS,
        within=3.0,
    ),
    Case(
        "generator-step-given-edges",
        "generator training step, 32 tasks, edges given by the space (our default)",
        "task",
        32,
        partial(_generator_step, NB201, tasks=32, given_edges=True),
        official_s=0.965,
        at_most=1 / 6,
        floor=FIRST_PROJECTIONS,
        within=3.0,
    ),
    Case(
        "predictor-step",
        "predictor training step, 32 tasks, hidden 512 (official)",
        "task",
        32,
        partial(_predictor_step, NB201, tasks=32, hidden=512),
        official_s=0.884,
        at_most=1 / 4,
        floor="own",
        within=3.0,
    ),
    Case(
        "predictor-step-128",
        "predictor training step, 32 tasks, hidden 128 (our default)",
        "task",
        32,
        partial(_predictor_step, NB201, tasks=32, hidden=128, normalize=True),
        floor="own",
    ),
    Case(
        "decode",
        "decode 100 latents, constrained by the space",
        "graph",
        100,
        partial(_decode, constrained=True),
        official_s=0.68,
    ),
    Case(
        "decode-free",
        "decode 100 latents, free (official rules)",
        "graph",
        100,
        partial(_decode, constrained=False),
        official_s=0.68,
    ),
    Case(
        "generate",
        "generate 500 unique valid cells, random weights",
        "cell",
        500,
        _generate,
        official_s=7.8,
        at_most=1 / 100,
    ),
    Case(
        "score",
        "score 500 candidates with 10 image draws, hidden 512",
        "candidate",
        500,
        _score,
        official_s=67.7,
        at_most=1 / 200,
    ),
    Case(
        "search",
        "search: features to 500 ranked, random weights of official size",
        "candidate",
        500,
        partial(_search, NB201, 500),
        official_s=75.5,
        at_most=1 / 250,
    ),
    Case(
        "search-shipped",
        "search: features to 500 ranked, shipped checkpoint, embedded:digits",
        "candidate",
        500,
        partial(_search_shipped, NB201, 500),
        official_s=75.5,
        at_most=1 / 250,
    ),
    Case(
        "quality",
        "1,000 candidates handed out, shipped checkpoint, embedded:digits; and 1,000 raw draws",
        "candidate",
        _HANDED_OUT,
        _quality,
        at_least={"handed_out": float(_HANDED_OUT), "validity": 100.0, "uniqueness": 100.0, "novelty": 59.4},
    ),
    Case(
        "mobilenetv3-generator-step",
        "MobileNetV3 generator training step, 1 task",
        "task",
        1,
        partial(_generator_step, MOBILENET, tasks=1, given_edges=False),
        space=MOBILENET,
        official_s=0.51,
    ),
    Case(
        "mobilenetv3-generator-step-32",
        "MobileNetV3 generator training step, 32 tasks, edges given by the space (our default)",
        "task",
        32,
        partial(_generator_step, MOBILENET, tasks=32, given_edges=True),
        space=MOBILENET,
    ),
    Case(
        "mobilenetv3-predictor-step",
        "MobileNetV3 predictor training step, 4 tasks, hidden 512",
        "task",
        4,
        partial(_predictor_step, MOBILENET, tasks=4, hidden=512),
        space=MOBILENET,
        official_s=0.89,
    ),
    Case(
        "mobilenetv3-search",
        "MobileNetV3: 200 candidates generated and scored, random weights",
        "candidate",
        200,
        partial(_search, MOBILENET, 200),
        space=MOBILENET,
        official_s=122.0,
        at_most=1 / 122,
    ),
    Case(
        "mobilenetv3-search-shipped",
        "MobileNetV3: 200 candidates generated and ranked, shipped checkpoint, embedded:digits",
        "candidate",
        200,
        partial(_search_shipped, MOBILENET, 200),
        space=MOBILENET,
        official_s=122.0,
        at_most=1 / 122,
    ),
    Case(
        "mobilenetv3-inherited",
        "MobileNetV3: accuracies of 4 networks by inherited weights (width 35, 16 pixels; 1,024 and 1,000 images)",
        "network",
        mobile.INHERITED,
        mobile.inherited_accuracies,
        space=MOBILENET,
    ),
    Case(
        "mobilenetv3-nsganetv2",
        "MobileNetV3: one iteration of NSGANetV2 (100 networks known, surrogate chosen, 8 asked for)",
        "iteration",
        1,
        mobile.nsganetv2_iteration,
        space=MOBILENET,
        package="pymoo",
    ),
    Case(
        "mobilenetv3-flops",
        "MobileNetV3: count the multiply-adds of 1,000 networks",
        "network",
        mobile.COUNTED,
        mobile.count_multiply_adds,
        space=MOBILENET,
    ),
    *(
        Case(
            f"{prefix}label{suffix}",
            f"a training step of {NETWORKS} random {networks}: {what}",
            "image-step",
            NETWORKS * labels.batch,
            partial(label_steps, labels, **options),
            space=labels.space,
        )
        for prefix, networks, labels in (
            ("", "cells, recipe rank60k", RANK60K),
            ("mobilenetv3-", "MobileNetV3 networks, recipe supernet16", SUPERNET16),
        )
        for suffix, what, options in (
            ("-plain", "textbook loop", {"plain": True}),
            ("-whole", "channels last, fused optimizer", {}),
            ("", "and without needless work (ours)", {"leave_out": True}),
        )
    ),
    Case(
        "embed",
        "embed 64 images of 32 pixels, EfficientNet-Lite0",
        "image",
        64,
        _embed,
    ),
)
