"""MetaD2A (Lee, Hyung, Hwang, ICLR 2021): embed a data set, generate architectures for it, rank them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float

from metad2a.costs.latency_model import LatencyPredictor
from metad2a.data.cache import FeatureCache
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.errors import CheckpointError, ConfigError
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.runtime import resolve_device, torch_rng
from metad2a.search.base import Ranked
from metad2a.search.constraints import Costs, Limits
from metad2a.search.generation import Generation, check_any, generate
from metad2a.search.latencies import Latencies
from metad2a.search.predictor_ranker import PredictorRanker
from metad2a.search.querying import SurrogateSearcher
from metad2a.search.ranker import Ranker
from metad2a.search.ranking import best_first, candidates_of
from metad2a.search.refinement import Draws, refine
from metad2a.search.result import Candidate, SearchResult
from metad2a.search.shipped_checkpoints import is_code_of, is_name, shipped_file, shipped_for
from metad2a.search.surrogate_ranker import SurrogateRanker
from metad2a.spaces.base import Architecture
from metad2a.spaces.registry import DEFAULT_SPACE
from metad2a.spaces.scale import agreed_scale

_REFINEMENTS = 3


class MetaD2A(Ranker):
    """A meta-trained generator and predictor for one search space.

    Make one with ``from_pretrained`` or ``from_checkpoint``.
    """

    def __init__(self, checkpoint: Checkpoint, *, name: str, device: str = "auto") -> None:
        super().__init__(checkpoint, name=name)
        self.device = resolve_device(device)
        self.generator: Generator = checkpoint.build("generator").to(self.device)
        # Where there is a surrogate it ranks, and a predictor need not be there: it is not looked at.
        self._surrogate_ranker = SurrogateRanker(checkpoint, name=name) if "surrogate" in checkpoint.parts else None
        self.surrogate = None if self._surrogate_ranker is None else self._surrogate_ranker.surrogate
        predictors = PredictorRanker(checkpoint, name=name, device=device) if self.surrogate is None else None
        self.predictor: Predictor | None = None if predictors is None else predictors.members[0]
        self._ranker: Ranker = self._surrogate_ranker or cast("Ranker", predictors)

    @classmethod
    def from_pretrained(
        cls, name: str = "nasbench201", *, device: str = "auto", label_recipe: str | None = None
    ) -> "MetaD2A":
        """Load a checkpoint shipped with the package.

        Raises:
            UnknownNameError: there is none of that name.
            CheckpointError: see ``Checkpoint.for_recipe``.
        """
        checkpoint = Checkpoint.load(shipped_file(name))
        return cls(_speaking(checkpoint, label_recipe), name=name, device=device)

    @classmethod
    def from_checkpoint(
        cls, *paths: str | Path, device: str = "auto", label_recipe: str | None = None
    ) -> "MetaD2A":
        """Load one file that holds both models, or a generator's and a predictor's file, or several predictors'.

        Args:
            paths: of the files.
            device: to compute on.
            label_recipe: of those whose labels were learned from, the one by which networks are predicted to be
                trained; None: that of meta-validation.

        Raises:
            CheckpointError: a file is unusable, they do not belong together, or one model is missing.
        """
        if not paths:
            raise CheckpointError("no checkpoint file was given. Give one with both models, or two.")
        checkpoint = _speaking(Checkpoint.joined(*paths), label_recipe)
        return cls(checkpoint, name=" + ".join(str(path) for path in paths), device=device)

    @classmethod
    def open(
        cls,
        *references: str | Path,
        space: str | None = None,
        option: str = "space=",
        device: str = "auto",
        label_recipe: str | None = None,
    ) -> "MetaD2A":
        """Load a shipped checkpoint by name, or files: whatever the references are.

        Args:
            references: none: what is shipped for ``space``.
            space: that it must be for, or for another code of its networks; None: any, and the default space where
                there are no references.
            option: what names a space to who asks, up to its name.
            device: to compute on.
            label_recipe: see ``from_checkpoint``.

        Raises:
            UnknownNameError: neither a shipped name nor a file, or there is no such space.
            CheckpointError: it is for another space, none is shipped for ``space``, or see ``from_checkpoint``.
        """
        references = references or (shipped_for(space or DEFAULT_SPACE),)
        load = cls.from_pretrained if len(references) == 1 and is_name(references[0]) else cls.from_checkpoint
        model = load(*map(str, references), device=device, label_recipe=label_recipe)
        if space is not None and not is_code_of(model.space.name, space):
            model.checkpoint.check(space=space, option=option)
        return model

    def search(
        self,
        images: ImageSet | FeatureSet,
        *,
        n_candidates: int = 500,
        max_params: float | int | None = None,
        max_flops: float | int | None = None,
        max_latency_ms: float | int | None = None,
        max_memory_mb: float | int | None = None,
        measure_latency: bool = False,
        latency: LatencyPredictor | None = None,
        measured: int = 10,
        images_per_class: int = 50,
        random_state: int = 0,
        cache: FeatureCache | None = None,
        constrained: bool = True,
        refinements: int | None = None,
        resolution: int | None = None,
        scale: Mapping[str, int] | None = None,
        want: Mapping[str, float] | None = None,
    ) -> SearchResult:
        """Propose and rank ``n_candidates`` distinct architectures for a data set, training nothing.

        Args:
            images: labelled images, or the features ``embed`` made of them.
            n_candidates: distinct valid architectures; fewer when the limits leave fewer.
            max_params: largest number of parameters.
            max_flops: most multiply-adds of one image.
            max_latency_ms: longest median time of one image on this machine, or on that of ``latency``.
            max_memory_mb: most megabytes of one forward pass of one image, see ``metad2a.costs.memory``.
            measure_latency: whether to know latencies although they are not limited.
            latency: a model of another device's latencies; then nothing is measured here.
            measured: how many of the first candidates have their latency measured, where it is measured at all; it
                is predicted for the others, from 20 more that are.
            images_per_class: images embedded of each class.
            random_state: same state, same result.
            cache: where features of images seen before are kept.
            constrained: whether the decoder may make only architectures of the space. False is the official way:
                it decides types and edges freely, and what it made wrong is thrown away.
            refinements: rounds in which neighbours of the best candidates take the places of the last; None: three
                where a surrogate ranks, none where the predictor does, as in the paper.
            resolution: pixels a side of the images for which costs are counted.
            scale: size options of the space for these networks, such as ``{"width": 120}``. What of this is not
                given is that of ``latency``, where it is of layers, else the space's default.
            want: what a generator that can be told (``model.condition``) aims at: ``accuracy``, the share of
                architectures to be better than, ``flops`` or ``params``. What is not named: the best, at any cost.

        Raises:
            ArchitectureError: the space has no networks of this scale.
            ConfigError: a number is out of range, or ``latency`` is of another scale than what is given.
            LimitError: nothing meets the limits.
            CheckpointError: the features are of another embedder than the checkpoint's, or its generator cannot
                decide edges and is to run unconstrained.
            DataError: an image cannot be read.
        """
        _check(n_candidates, refinements)
        self.generator.aim(want)
        limits = Limits(max_params, max_flops, max_latency_ms, max_memory_mb)
        networks = agreed_scale(
            self.space, resolution=resolution, scale=scale, knowing={"the latency table": latency}
        )
        timing: dict[str, float] = {}
        costs = Costs(self.space, len(images.classes), latency, networks)
        limits.check_possible(costs)
        latencies = Latencies(self.space, len(images.classes), self.device, latency, networks)
        if latency is None and (measure_latency or max_latency_ms is not None):
            with _spent(timing, "measure_s"):
                costs = replace(costs, latency=latencies.learn(random_state))
                latencies.check_possible(limits, costs)
        with _spent(timing, "embed_s"):
            features = self._seen_of(images, images_per_class, random_state, cache)
        with _spent(timing, "generate_s"):
            made = generate(
                self.generator,
                self.space,
                features,
                n=n_candidates,
                images_per_class=self.checkpoint.images_per_class,
                limits=limits,
                costs=costs,
                generator=torch_rng(random_state, "generate"),
                device=self.device,
                constrained=constrained,
                want=want,
            )
            check_any(made, limits)
        with _spent(timing, "rank_s"):
            predict = self._scorer(features, random_state)
            archs, draws = refine(made.archs, predict, costs, limits, rounds=self._rounds(refinements))
        candidates = self._candidates(features, archs, draws, costs, latencies, limits, measured, timing)
        looked_at = None if isinstance(images, FeatureSet) else images_per_class
        return self._result(candidates, made, features, looked_at, timing, random_state, latencies)

    def _seen_of(
        self, images: ImageSet | FeatureSet, images_per_class: int, random_state: int, cache: FeatureCache | None
    ) -> FeatureSet:
        """Return the features that the models see, embedded if they are not there yet."""
        features = (
            images
            if isinstance(images, FeatureSet)
            else self.embed(images, images_per_class=images_per_class, random_state=random_state, cache=cache)
        )
        self.checkpoint.check(embedder_fingerprint=features.embedder)
        return features

    def _candidates(
        self,
        features: FeatureSet,
        archs: Sequence[Architecture],
        draws: Float[np.ndarray, "D A"],
        costs: Costs,
        latencies: Latencies,
        limits: Limits,
        measured: int,
        timing: dict[str, float],
    ) -> tuple[Candidate, ...]:
        """Return ``archs``, best first, without those that are too slow; the first ones are measured."""
        with _spent(timing, "rank_s"):
            order = best_first(self.space, archs, draws)
        if latencies.model is not None:
            with _spent(timing, "measure_s"):
                order = latencies.within(archs, order, limits.max_latency_ms, measure=measured)
        with _spent(timing, "rank_s"):
            ranked = [archs[i] for i in order]
            std = self.deviations(features, ranked)
            return candidates_of(costs, latencies, ranked, draws[:, order], std)

    def _scorer(self, features: FeatureSet, random_state: int) -> Draws:
        return self._ranker._scorer(features, random_state)

    def deviations(self, features: FeatureSet, archs: Sequence[Architecture]) -> Sequence[float | None]:
        """Return the standard deviation of each predicted accuracy in percent; None where nobody knows."""
        return self._ranker.deviations(features, archs)

    def _rounds(self, refinements: int | None) -> int:
        return (0 if self.surrogate is None else _REFINEMENTS) if refinements is None else refinements

    def check_queries(self) -> None:
        """Refuse to spend true evaluations where nothing can learn from them.

        Raises:
            CheckpointError: the checkpoint has no surrogate, which is what learns from evaluations.
        """
        self._learning()

    def query_searcher(self, result: SearchResult) -> SurrogateSearcher:
        """Return the searcher that spends true evaluations on the candidates of ``result``.

        Raises:
            CheckpointError: see ``check_queries``.
            ConfigError: the result does not know its features.
        """
        ranker = self._learning()
        if result.features is None:
            raise ConfigError("the result does not know the features it was found with. Search again.")
        return ranker.searcher(result.features, [self.space.parse(one.arch) for one in result.candidates])

    def _learning(self) -> SurrogateRanker:
        if self._surrogate_ranker is None:
            raise CheckpointError(
                "to learn from true evaluations a checkpoint needs a surrogate (metad2a train surrogate). "
                "This one has none: train the first candidates instead (--then-train)."
            )
        return self._surrogate_ranker

    def searcher(self, result: SearchResult) -> Ranked:
        """Return the searcher that proposes the candidates of ``result``, best first."""
        return Ranked([self.space.parse(candidate.arch) for candidate in result.candidates])

    def _result(
        self,
        candidates: tuple[Candidate, ...],
        made: Generation,
        features: FeatureSet,
        images_per_class: int | None,
        timing: dict[str, float],
        seed: int,
        latencies: Latencies,
    ) -> SearchResult:
        """Return ``candidates`` with the story of the search."""
        names = [name for name in ("embed_s", "generate_s", "rank_s", "measure_s") if name in timing]
        return SearchResult(
            candidates=candidates,
            space=self.space.name,
            checkpoint=self.name,
            seed=seed,
            dataset={
                "name": features.name,
                "classes": len(features.classes),
                "images_used": len(features),
                "embedder": self.checkpoint.embedder["name"],
            },
            generation={
                "sampled": made.sampled,
                "valid": made.valid,
                "unique": len(candidates),
                "novel": len({candidate.arch for candidate in candidates}.difference(self.checkpoint.train_archs)),
            },
            timing={**{name: timing[name] for name in names}, "total_s": sum(timing.values())},
            latency=latencies.summary(),
            features=features,
            images_per_class=images_per_class,
        )


def _check(n_candidates: int, refinements: int | None) -> None:
    if n_candidates < 1:
        raise ConfigError(f"n_candidates={n_candidates}: at least one candidate is needed.")
    if refinements is not None and refinements < 0:
        raise ConfigError(f"refinements={refinements}: give a number of rounds, 0 for none.")


def _speaking(checkpoint: Checkpoint, recipe: str | None) -> Checkpoint:
    return checkpoint if recipe is None else checkpoint.for_recipe(recipe)


@contextmanager
def _spent(timing: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds of the block to what ``name`` took so far."""
    start = time.perf_counter()
    yield
    timing[name] = timing.get(name, 0.0) + time.perf_counter() - start
