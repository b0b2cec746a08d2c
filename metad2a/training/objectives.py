"""What a meta-model learns: losses on batches of records, and scores on meta-validation; those of the generator."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from metad2a.data.features import SetBatch
from metad2a.models.generator import Generator
from metad2a.runtime import torch_rng
from metad2a.spaces.base import ArchBatch, SearchSpace
from metad2a.training.conditions import DROPPED, Conditions
from metad2a.training.meta_data import MetaData

_VALIDATION_BATCH = 128
NEW_TASKS = "val/new_tasks/"
"""Begins the names of scores on those tasks of meta-validation that are not in meta-training too."""


class MetaBatch(NamedTuple):
    """Records, with freshly drawn images of their tasks.

    Attributes:
        sets: the drawn images.
        archs: the architectures.
        accuracy: percent.
        noise: of the latents.
        rows: the records' numbers in the database.
        size: records of the whole batch, of which these are one process's part.
        counts: False where there were fewer records than processes: this one only keeps step with the others.
    """

    sets: SetBatch
    archs: ArchBatch
    accuracy: Float[Tensor, " B"]
    noise: Float[Tensor, "B Z"] | None
    rows: Int[Tensor, " B"]
    size: int
    counts: bool


@dataclass(kw_only=True)
class Objective(ABC):
    """Batches, loss and validation of one kind of meta-model.

    Args:
        data: records and features.
        train_rows: records to learn from.
        valid_rows: records to validate on.
        batch_size: records a step, over all processes.
        images_per_class: ``K``, at most.
        seed: of the run; draws come from streams named by it, the purpose and the epoch.
        reduction: ``mean`` over the batch, or ``sum`` as the official implementation.
        device: where batches go.
        dtype: of features, accuracies and noise; None leaves them as they are.
        rank: number of this process.
        world_size: how many processes there are. Each is given its part of every batch, and the losses it returns
            are what this part adds to those of the batch.
    """

    kind: ClassVar[str]

    data: MetaData
    train_rows: Int[Tensor, " R_train"]
    valid_rows: Int[Tensor, " R_valid"]
    batch_size: int
    images_per_class: int
    seed: int
    reduction: Literal["mean", "sum"] = "mean"
    device: str | torch.device = "cpu"
    dtype: torch.dtype | None = None
    rank: int = 0
    world_size: int = 1

    @property
    def batches_per_epoch(self) -> int:
        """Steps an epoch; the last batch may be smaller."""
        return -(-len(self.train_rows) // self.batch_size)

    def batches(self, epoch: int) -> Iterator[MetaBatch]:
        """Yield this process's part of the shuffled batches of one epoch."""
        generator = torch_rng(self.seed, self.kind, "train", epoch)
        for rows in self.shuffled(generator).split(self.batch_size):
            if self.rank < len(rows):
                yield self._batch(rows, generator, slice(self.rank, None, self.world_size))
            else:
                yield self._batch(rows, generator, slice(1))._replace(counts=False)

    def shuffled(self, generator: torch.Generator) -> Int[Tensor, " R_train"]:
        """Return the training records in the order in which an epoch takes them."""
        return self.train_rows[torch.randperm(len(self.train_rows), generator=generator)]

    def validation_batches(self, rows: Int[Tensor, " R_some"] | None = None) -> Iterator[MetaBatch]:
        """Yield the validation records, or some, in order; the images drawn are the same in every epoch."""
        generator = torch_rng(self.seed, self.kind, "valid")
        for part in (self.valid_rows if rows is None else rows).split(_VALIDATION_BATCH):
            yield self._batch(part, generator, slice(None))

    @cached_property
    def is_new_task(self) -> Bool[Tensor, " R_valid"] | None:
        """For each validation record whether its task is only in meta-validation; None if that says nothing.

        It does where the split has some tasks in both parts, as that of MetaD2A's own database.
        """
        new = torch.isin(self.valid_rows, self.data.new_task_rows)
        return new if new.any() and not new.all() else None

    def _batch(self, rows: Int[Tensor, " B"], generator: torch.Generator, part: slice) -> MetaBatch:
        """Return ``part`` of the batch of ``rows``; the draws are those of the whole batch."""
        data = self.data
        sets = data.features.draw(data.tasks[data.task_of[rows]], self.images_per_class, generator, part=part)
        noise = self.noise(len(rows), generator)
        own = rows[part]
        return MetaBatch(
            SetBatch(sets.features.to(self.device, self.dtype), sets.mask.to(self.device)),
            data.archs[data.arch_of[own]].to(self.device),
            data.accuracy[own].to(self.device, self.dtype),
            None if noise is None else noise[part].to(self.device, self.dtype),
            rows=own,
            size=len(rows),
            counts=True,
        )

    def noise(self, size: int, generator: torch.Generator) -> Float[Tensor, "B Z"] | None:
        """Return the latent noise of a batch; None for models without."""
        return None

    @property
    def measured(self) -> dict[str, Any]:
        """Arguments of the model that only the records tell."""
        return {}

    @abstractmethod
    def loss(self, model: nn.Module, batch: MetaBatch) -> Mapping[str, Tensor]:
        """Return ``loss``, which is minimised, and its parts."""

    @abstractmethod
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the scores on meta-validation."""

    @property
    def plateau_on(self) -> str:
        """Which of the losses tells a scheduler whether training still gets on: the loss of one record."""
        return "loss" if self.reduction == "mean" else "loss_per_record"

    def reduce(self, total: Float[Tensor, ""], batch: MetaBatch) -> dict[str, Tensor]:
        """Return ``loss`` from its sum over the records, and ``loss_per_record`` where that is another value."""
        total = total if batch.counts else 0.0 * total
        if self.reduction == "mean":
            return {"loss": total / batch.size}
        return {"loss": total, "loss_per_record": total / self.records_a_step(batch)}

    def records_a_step(self, batch: MetaBatch) -> float:
        """Return what a sum is divided by to be logged: the batches count the same, as officially."""
        return float(batch.size)


@dataclass(kw_only=True)
class GeneratorObjective(Objective):
    """Likelihood of good architectures given their task, and the divergence of the latent from its prior.

    Args:
        latent: width of the latent.
        space: decides what the sampled graphs mean.
        constrained: decode within the space's rules, or freely as the official implementation.
        beta: weight of the divergence.
        eps_scale: scale of the latent noise while training.
        samples: architectures decoded at each validation.
        conditions: of the records of ``data``, which a generator with ``Wishes`` is told, but for some at random
            (``DROPPED``); in validation it is told all of them, and draws aim at the best. None: nothing is told.
    """

    kind: ClassVar[str] = "generator"
    latent: int
    space: SearchSpace
    constrained: bool = True
    beta: float = 0.005
    eps_scale: float = 0.01
    samples: int = 256
    conditions: Conditions | None = None

    @property
    def measured(self) -> dict[str, Any]:
        """See ``Objective.measured``."""
        return {} if self.conditions is None else {"conditions": self.conditions.kept}

    @cached_property
    def known(self) -> set[str]:
        """The architectures of meta-training."""
        return set(self.data.arch_frequencies())

    def noise(self, size: int, generator: torch.Generator) -> Float[Tensor, "B Z"]:
        """Return standard normal noise; columns after those of the latents decide which conditions are told."""
        more = 0 if self.conditions is None else self.conditions.told.shape[1]
        return torch.randn(size, self.latent + more, generator=generator)

    def loss(self, model: nn.Module, batch: MetaBatch) -> Mapping[str, Tensor]:
        """See ``Objective.loss``."""
        noise = cast("Tensor", batch.noise)
        told = {}
        if self.conditions is not None:
            dropped = torch.special.ndtr(noise[:, self.latent :]) < DROPPED
            told["told"] = self.conditions.told[batch.rows].to(noise).masked_fill(dropped, torch.nan)
        out = model(
            batch.sets,
            batch.archs,
            noise=noise[:, : self.latent],
            beta=self.beta,
            eps_scale=self.eps_scale,
            **told,
        )
        parts = {"recon": out.recon, "kl": out.kld}
        return self.reduce(out.loss, batch) | {
            name: batch.counts * total / batch.size for name, total in parts.items()
        }

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return how likely good architectures of unseen tasks are, and the quality of samples in percent."""
        generator = cast("Generator", getattr(model, "module", model))
        likelihood, mu = self._likelihood("val/", generator, self.valid_rows)
        if self.is_new_task is not None:
            likelihood |= self._likelihood(NEW_TASKS, generator, self.valid_rows[self.is_new_task])[0]
        graphs = generator.sample(
            mu[torch.arange(self.samples) % len(mu)],
            rules=self.space if self.constrained else None,
            generator=torch_rng(self.seed, self.kind, "sample"),
        )
        made = [self.space.format(arch) for arch in self.space.decode(graphs) if arch is not None]
        distinct = set(made)
        return likelihood | {
            "gen/validity": 100.0 * len(made) / self.samples,
            "gen/uniqueness": 100.0 * len(distinct) / max(len(made), 1),
            "gen/novelty": 100.0 * len(distinct - self.known) / max(len(distinct), 1),
        }

    def _likelihood(
        self, prefix: str, generator: Generator, rows: Int[Tensor, " R_some"]
    ) -> tuple[dict[str, float], Float[Tensor, "R_some Z"]]:
        """Return the scores of some records, and the latents of their tasks, led to the best."""
        recon = kl = 0.0
        means = []
        for batch in self.validation_batches(rows):
            told = None if self.conditions is None else self.conditions.told[batch.rows].to(batch.sets.features)
            out = generator(batch.sets, batch.archs, noise=None, beta=self.beta, told=told)
            recon, kl = recon + float(out.recon), kl + float(out.kld)
            means.append(generator.latents(batch.sets))
        return {f"{prefix}recon_nll": recon / len(rows), f"{prefix}kl": kl / len(rows)}, torch.cat(means)
