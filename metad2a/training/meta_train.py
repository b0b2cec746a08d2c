"""Meta-training of a generator or a predictor: from records and features to a checkpoint."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from metad2a.data.embedders.base import Embedder
from metad2a.errors import ConfigError
from metad2a.fitting.loop import Fit, FitState, Monitor
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.models.reference import Reference
from metad2a.runtime import stream_seed
from metad2a.spaces.base import SearchSpace
from metad2a.tracking.base import Tracker
from metad2a.training.objectives import Objective
from metad2a.training.reference import reference_of

Kind = Literal["generator", "predictor"]
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeScheduler = Callable[..., Any]


@dataclass(frozen=True)
class Schedule:
    """How long a meta-model is trained and how.

    Args:
        epochs: passes over the records.
        schedule_on: when the learning-rate scheduler steps (see ``metad2a.fitting.loop.Fit``).
        clip_norm: largest gradient norm, or None.
        validate_every: epochs between validations.
        save_every: epochs between saved states.
        monitor: validation score that chooses the shipped weights.
        mode: whether more or less of it is better.
    """

    epochs: int
    schedule_on: Literal["step", "epoch", "plateau"] = "epoch"
    clip_norm: float | None = None
    validate_every: int = 1
    save_every: int = 1
    monitor: str = "val/spearman"
    mode: Literal["max", "min"] = "max"


@dataclass(kw_only=True)
class MetaTraining:
    """One run of meta-training; ``run`` does it and leaves ``best.safetensors`` in ``folder``.

    Args:
        objective: what is learned from what.
        make_model: returns the model to train; called once, under the run's seed.
        prepare: what else is done to it before training; not called where a state is resumed from, nor repeated.
        make_optimizer: from the model's parameters.
        make_scheduler: from the optimizer and the number of steps it will be asked for, or None.
        schedule: how long.
        fabric: device, precision, processes.
        space: of the architectures.
        embedder: of the features; the checkpoint remembers which it was.
        folder: for ``last.pt`` (to resume) and ``best.safetensors``.
        tracker: gets a row an epoch; in processes other than the first one without members.
        provenance: what the checkpoint says of its origin.
        seen_before: architectures that the weights of ``make_model`` were trained on, if they were.
        resume: continue from ``last.pt``, where there is one.
    """

    objective: Objective
    make_model: Callable[[], Generator | Predictor]
    make_optimizer: MakeOptimizer
    make_scheduler: MakeScheduler | None
    schedule: Schedule
    fabric: Fabric
    space: SearchSpace
    embedder: Embedder
    folder: Path
    tracker: Tracker
    provenance: dict[str, Any] = field(default_factory=dict)
    seen_before: Sequence[str] = ()
    resume: bool = False
    prepare: Callable[[Generator | Predictor], None] | None = None

    @property
    def best_file(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.folder / "best.safetensors"

    @property
    def state_file(self) -> Path:
        """The state from which a killed run continues; a run killed before the first one starts again."""
        return self.folder / "last.pt"

    def run(self) -> FitState:
        """Train, validate, keep the best; see ``metad2a.fitting.loop.Fit.run`` for the errors."""
        objective, schedule = self.objective, self.schedule
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(objective.seed, objective.kind, "init"))
            bare = self.make_model()
        self.bare = bare
        if self.prepare is not None and not (self.resume and self.state_file.is_file()):
            self.prepare(bare)
        model, optimizer = self.fabric.setup(bare, self.make_optimizer(bare.parameters()))
        fit = Fit(
            fabric=self.fabric,
            model=model,
            optimizer=optimizer,
            batches=objective.batches,
            loss=objective.loss,
            epochs=schedule.epochs,
            batches_per_epoch=objective.batches_per_epoch,
            scheduler=self._scheduler(optimizer),
            schedule_on=schedule.schedule_on,
            plateau_on=objective.plateau_on,
            clip_norm=schedule.clip_norm,
            validate=lambda: objective.validate(model),
            validate_every=schedule.validate_every,
            monitor=Monitor(schedule.monitor, schedule.mode),
            on_epoch=lambda row: self.tracker.metrics(row, step=int(row["step"])),
            on_best=lambda: self._save_best(fit.state),
            state_file=self.state_file,
            save_every=schedule.save_every,
            label=f"meta-train {objective.kind}",
        )
        if self.resume:
            if self.state_file.is_file():
                fit.restore()
            self.tracker.rewind(fit.state.step)
        state = fit.run()
        if state.best is None:
            seen = sorted({name for row in state.history for name in row})
            raise ConfigError(
                f"the monitored score '{schedule.monitor}' was never a number, so no epoch is the best. "
                f"Set model.monitor to one of: {', '.join(seen)}."
            )
        self.tracker.artifact(self.best_file, "model")
        return state

    def _scheduler(self, optimizer: Optimizer) -> Any:
        if self.make_scheduler is None:
            return None
        per_epoch = self.objective.batches_per_epoch if self.schedule.schedule_on == "step" else 1
        return self.make_scheduler(optimizer, total_steps=self.schedule.epochs * per_epoch)

    @cached_property
    def _reference(self) -> Reference:
        return reference_of(self.objective.data, self.objective.images_per_class)

    def _save_best(self, state: FitState) -> None:
        if not self.fabric.is_global_zero:
            return
        objective, row = self.objective, state.history[-1]
        target = getattr(objective, "target", None)
        Checkpoint(
            parts={objective.kind: Part.of(self.bare)},
            space=self.space.name,
            topology=_edge_list(self.space),
            embedder={
                "name": self.embedder.name,
                "fingerprint": self.embedder.fingerprint,
                "dim": self.embedder.dim,
            },
            images_per_class=objective.images_per_class,
            target=None if target is None else {"mean": target[0], "std": target[1]},
            train_archs=tuple(dict.fromkeys([*objective.data.arch_frequencies(), *self.seen_before])),
            metrics={objective.kind: {name: value for name, value in row.items() if math.isfinite(value)}},
            provenance={objective.kind: self.provenance | {"epoch": row["epoch"]}},
            reference=self._reference,
        ).save(self.best_file)


def _edge_list(space: SearchSpace) -> list[list[int]] | None:
    """Return the space's edges as [source, target] pairs."""
    return None if space.topology is None else space.topology.nonzero().tolist()
