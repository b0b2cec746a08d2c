"""MetaD2A (Lee, Hyung, Hwang, ICLR 2021): embed a data set, generate architectures for it, rank them."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from metad2a.costs.latency import measure_latency
from metad2a.data.cache import FeatureCache, choose_images, embed
from metad2a.data.embedders.base import Embedder, get_embedder
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.errors import CheckpointError, ConfigError, LimitError, unknown_name
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.runtime import numpy_rng, progress, resolve_device, shipped, torch_rng
from metad2a.search.base import Ranked
from metad2a.search.constraints import Limits
from metad2a.search.generation import Generation, draw_sets, generate
from metad2a.search.result import Candidate, SearchResult
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.registry import get_space

_PREDICTOR_DRAWS = 10
_GRAPHS_A_BATCH = 1024


def pretrained_names() -> list[str]:
    """Return the names of the shipped checkpoints."""
    return sorted(path.stem for path in shipped("data", "pretrained").glob("*.safetensors"))


class MetaD2A:
    """A meta-trained generator and predictor for one search space.

    Make one with ``from_pretrained`` or ``from_checkpoint``.
    """

    def __init__(self, checkpoint: Checkpoint, *, name: str, device: str = "auto") -> None:
        self.checkpoint = checkpoint
        self.name = name
        self.device = resolve_device(device)
        self.space: SearchSpace = get_space(checkpoint.space)
        self.generator: Generator = checkpoint.build("generator").to(self.device)
        self.predictor: Predictor = checkpoint.build("predictor").to(self.device)

    @classmethod
    def from_pretrained(cls, name: str = "nasbench201", *, device: str = "auto") -> "MetaD2A":
        """Load a checkpoint shipped with the package.

        Raises:
            UnknownNameError: there is none of that name.
        """
        if name not in pretrained_names():
            raise unknown_name("checkpoint", name, pretrained_names())
        checkpoint = Checkpoint.load(shipped("data", "pretrained", f"{name}.safetensors"))
        return cls(checkpoint, name=name, device=device)

    @classmethod
    def from_checkpoint(cls, *paths: str | Path, device: str = "auto") -> "MetaD2A":
        """Load one file that holds both models, or a generator's and a predictor's file.

        Raises:
            CheckpointError: a file is unusable, they do not belong together, or one model is missing.
        """
        if not paths:
            raise CheckpointError("no checkpoint file was given. Give one with both models, or two.")
        checkpoint = Checkpoint.load(Path(paths[0]))
        for path in paths[1:]:
            checkpoint = Checkpoint.merge(checkpoint, Checkpoint.load(Path(path)))
        return cls(checkpoint, name=" + ".join(str(path) for path in paths), device=device)

    @classmethod
    def open(cls, *references: str | Path, device: str = "auto") -> "MetaD2A":
        """Load a shipped checkpoint by name, or files: whatever the references are.

        Raises:
            UnknownNameError: neither a shipped name nor a file.
            CheckpointError: see ``from_checkpoint``.
        """
        if len(references) == 1 and not Path(references[0]).is_file() and not Path(references[0]).suffix:
            return cls.from_pretrained(str(references[0]), device=device)
        return cls.from_checkpoint(*references, device=device)

    def embedder(self) -> Embedder:
        """Return the embedder this checkpoint was meta-trained with.

        Raises:
            CheckpointError: the installed one gives other features.
        """
        embedder = get_embedder(str(self.checkpoint.embedder["name"]))
        self.checkpoint.check(embedder=embedder)
        return embedder

    def embed(
        self,
        images: ImageSet,
        *,
        images_per_class: int = 50,
        random_state: int = 0,
        cache: FeatureCache | None = None,
    ) -> FeatureSet:
        """Embed up to ``images_per_class`` images of each class; do it once, search as often as you like."""
        if images_per_class < 1:
            raise ConfigError(f"images_per_class={images_per_class}: at least one image a class is needed.")
        chosen = choose_images(images, images_per_class, random_state)
        return embed(images, self.embedder(), indices=chosen, cache=cache)

    def search(
        self,
        images: ImageSet | FeatureSet,
        *,
        n_candidates: int = 500,
        max_params: float | int | None = None,
        max_flops: float | int | None = None,
        max_latency_ms: float | int | None = None,
        images_per_class: int = 50,
        random_state: int = 0,
        cache: FeatureCache | None = None,
        constrained: bool = True,
    ) -> SearchResult:
        """Propose and rank ``n_candidates`` distinct architectures for a data set, training nothing.

        Args:
            images: labelled images, or the features ``embed`` made of them.
            n_candidates: distinct valid architectures; fewer when the limits leave fewer.
            max_params: largest number of parameters.
            max_flops: most multiply-adds of one image.
            max_latency_ms: longest median time of one image on this machine; measures every candidate.
            images_per_class: images embedded of each class.
            random_state: same state, same result.
            cache: where features of images seen before are kept.
            constrained: whether the decoder may make only architectures of the space. False is the official way:
                it decides types and edges freely, and what it made wrong is thrown away.

        Raises:
            ConfigError: a number is out of range.
            LimitError: nothing meets the limits.
            CheckpointError: the features are of another embedder than the checkpoint's, or its generator cannot
                decide edges and is to run unconstrained.
            DataError: an image cannot be read.
        """
        if n_candidates < 1:
            raise ConfigError(f"n_candidates={n_candidates}: at least one candidate is needed.")
        limits = Limits(max_params, max_flops, max_latency_ms)
        num_classes = images.num_classes if isinstance(images, ImageSet) else len(images.classes)
        limits.check_possible(self.space, num_classes)

        clock = [time.perf_counter()]
        features = (
            images
            if isinstance(images, FeatureSet)
            else self.embed(images, images_per_class=images_per_class, random_state=random_state, cache=cache)
        )
        self.checkpoint.check(embedder_fingerprint=features.embedder)
        clock.append(time.perf_counter())
        made = generate(
            self.generator,
            self.space,
            features,
            n=n_candidates,
            images_per_class=self.checkpoint.images_per_class,
            limits=limits,
            generator=torch_rng(random_state, "generate"),
            device=self.device,
            constrained=constrained,
        )
        clock.append(time.perf_counter())
        archs, latency = self._affordable(made, limits, num_classes)
        draws = self.predict_draws(features, archs, random_state=random_state)
        candidates = self._rank(archs, draws, latency, num_classes)
        clock.append(time.perf_counter())
        return self._result(candidates, made, features, clock, random_state)

    def predict(
        self, features: FeatureSet, archs: Sequence[Architecture], *, random_state: int = 0
    ) -> Float[np.ndarray, " A"]:
        """Return the predicted accuracy of each architecture in percent, averaged over random draws of images.

        See ``predict_draws`` for the rest.
        """
        return self.predict_draws(features, archs, random_state=random_state).mean(0)

    @torch.inference_mode()
    def predict_draws(
        self, features: FeatureSet, archs: Sequence[Architecture], *, random_state: int = 0
    ) -> Float[np.ndarray, "D A"]:
        """Return the predicted accuracy of each architecture in percent on each of some random draws of images.

        The model is linear in its last layer: far from what it has seen, a value may lie outside 0..100.
        All architectures see the same draws: a difference between two is never one of luck with the images.

        Raises:
            CheckpointError: the features are of another embedder than the checkpoint's.
        """
        self.checkpoint.check(embedder_fingerprint=features.embedder)
        target = self.checkpoint.target
        if target is None:
            raise CheckpointError("the predictor's checkpoint does not say how its scores relate to accuracy.")
        rng = torch_rng(random_state, "predict")
        draws = draw_sets(features, _PREDICTOR_DRAWS, self.checkpoint.images_per_class, rng)
        sets = torch.cat([self.predictor.encode_sets(batch.to(self.device)) for batch in draws])
        scores = [sets.new_empty(len(sets), 0)]
        for start in range(0, len(archs), _GRAPHS_A_BATCH):
            graphs = self.space.encode(archs[start : start + _GRAPHS_A_BATCH]).to(self.device)
            scores.append(self.predictor.score(sets, self.predictor.encode_archs(graphs)))
        return target["mean"] + target["std"] * torch.cat(scores, dim=1).double().cpu().numpy()

    def searcher(self, result: SearchResult) -> Ranked:
        """Return the searcher that proposes the candidates of ``result``, best first."""
        return Ranked([self.space.parse(candidate.arch) for candidate in result.candidates])

    def _affordable(
        self, made: Generation, limits: Limits, num_classes: int
    ) -> tuple[list[Architecture], list[float] | None]:
        """Return what was generated within the limits, and its latencies where they are limited."""
        if not made.archs:
            raise LimitError(
                f"none of the generated architectures meets {limits}. Raise the limits."
                if made.valid
                else f"none of {made.sampled} freely decoded graphs is an architecture. Search constrained."
            )
        if limits.max_latency_ms is None:
            return made.archs, None
        return self._within_latency(made.archs, num_classes, limits.max_latency_ms)

    def _within_latency(
        self, archs: list[Architecture], num_classes: int, limit: float | int
    ) -> tuple[list[Architecture], list[float]]:
        measured = []
        rng = numpy_rng("latency order")
        # A random order keeps a slow spell of the machine from hitting neighbours in the list alike.
        for i in progress(rng.permutation(len(archs)).tolist(), label="measure latency"):
            net = self.space.build(archs[i], num_classes)
            measured.append((i, measure_latency(net, self.space.resolution, device=self.device).median_ms))
        kept = sorted((i, ms) for i, ms in measured if ms <= limit)
        if not kept:
            fastest = min(ms for _, ms in measured)
            raise LimitError(
                f"no candidate meets max_latency_ms={limit:g}: the fastest of {len(archs)} takes "
                f"{fastest:.2f} ms on this machine ({self.device}). Raise the limit."
            )
        return [archs[i] for i, _ in kept], [ms for _, ms in kept]

    def _result(
        self,
        candidates: tuple[Candidate, ...],
        made: Generation,
        features: FeatureSet,
        clock: Sequence[float],
        seed: int,
    ) -> SearchResult:
        """Return ``candidates`` with the story of the search; ``clock`` was read before and after each part."""
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
            timing={
                "embed_s": clock[1] - clock[0],
                "generate_s": clock[2] - clock[1],
                "rank_s": clock[3] - clock[2],
                "total_s": clock[3] - clock[0],
            },
        )

    def _rank(
        self,
        archs: list[Architecture],
        draws: Float[np.ndarray, "D A"],
        latency: list[float] | None,
        num_classes: int,
    ) -> tuple[Candidate, ...]:
        predicted = draws.mean(0)
        params = self.space.params(archs, num_classes)
        flops = self.space.flops(archs, num_classes, self.space.resolution)
        texts = [self.space.format(arch) for arch in archs]
        order = sorted(range(len(archs)), key=lambda i: (-predicted[i], texts[i]))
        percent = np.clip(predicted, 0.0, 100.0).tolist()
        return tuple(
            Candidate(
                rank=rank,
                arch=texts[i],
                predicted=percent[i],
                std=None,
                params=int(params[i]),
                flops=int(flops[i]),
                latency_ms=None if latency is None else latency[i],
                space=self.space,
                num_classes=num_classes,
                draws=tuple(draws[:, i].tolist()),
            )
            for rank, i in enumerate(order, start=1)
        )
