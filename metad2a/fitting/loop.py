"""The training loop: meta-models, found networks and supernets are all fitted by ``fit``."""

import contextlib
import itertools
import math
import pickle
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from metad2a.errors import CheckpointError, MetaD2AError
from metad2a.runtime import Bar, atomic_path

Losses = Mapping[str, Tensor]
LossFn = Callable[[nn.Module, Any], Losses]
Scores = Mapping[str, float | int]
Row = dict[str, float | int]

# What torch.load and load_state_dict raise on files that are damaged or of another program.
_RESTORE_ERRORS = (
    IndexError,
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    pickle.UnpicklingError,
)


class DivergedError(MetaD2AError):
    """The loss was not finite three times in a row."""


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; the state is saved if there was a place to save it."""


@dataclass
class FitState:
    """Where a fit stands: with the weights, all that a resumed run needs.

    Attributes:
        epoch: finished epochs.
        batches: finished batches of the running epoch.
        step: finished optimiser steps.
        bad_in_a_row: steps just before this point whose loss was not finite.
        sums: sum of each loss over the running epoch's batches.
        best: best value of the monitored score so far.
        history: one row an epoch: ``epoch``, ``step``, ``lr``, ``train/*`` and what validation returned.
        seconds: time spent, over all sessions.
    """

    epoch: int = 0
    batches: int = 0
    step: int = 0
    bad_in_a_row: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    history: list[Row] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Monitor:
    """The validation score that chooses the best epoch."""

    name: str
    mode: Literal["max", "min"] = "max"

    def improves(self, scores: Scores, best: float | None) -> bool:
        """Return whether ``scores`` beat ``best``; a score that is not a number never does."""
        value = scores.get(self.name, math.nan)
        if math.isnan(value):
            return False
        return best is None or (value > best if self.mode == "max" else value < best)


@dataclass
class Fit:
    """One fit: what is trained, on what, how long. ``run`` does it.

    Several processes (``fabric.world_size``) run the same fit, each on its own part of every batch. They take the
    steps of one process with the whole batches and stop together; the first one validates and keeps the files.

    Args:
        fabric: device, precision and processes.
        model: set up by ``fabric``.
        optimizer: set up by ``fabric``.
        batches: the batches of an epoch, a function of its number alone, so that a resumed run sees the same.
        loss: ``loss(model, batch)["loss"]`` is minimised; the other entries are recorded. Each of several processes
            returns what its own records add: the sums over the processes are the values of the batch.
        epochs: how many in all.
        batches_per_epoch: for the progress bar.
        scheduler: learning-rate schedule, or None.
        schedule_on: after each ``step``, each ``epoch``, or each epoch with the training loss (``plateau``).
        plateau_on: which entry of the losses is that training loss.
        clip_norm: largest gradient norm, or None.
        validate: scores after an epoch; None for none.
        validate_every: epochs between validations; the last epoch is always validated.
        monitor: which score chooses the best epoch.
        on_epoch: called with each row of the history.
        on_best: called when the monitored score has improved.
        state_file: where the state is kept; None keeps nothing.
        save_every: epochs between saves.
        label: of the progress bar; None shows none.
    """

    fabric: Fabric
    model: nn.Module
    optimizer: Optimizer
    batches: Callable[[int], Iterable[Any]]
    loss: LossFn
    epochs: int
    batches_per_epoch: int
    scheduler: Any = None
    schedule_on: Literal["step", "epoch", "plateau"] = "epoch"
    plateau_on: str = "loss"
    clip_norm: float | None = None
    validate: Callable[[], Scores] | None = None
    validate_every: int = 1
    monitor: Monitor | None = None
    on_epoch: Callable[[Row], None] | None = None
    on_best: Callable[[], None] | None = None
    state_file: Path | None = None
    save_every: int = 1
    label: str | None = None
    state: FitState = field(default_factory=FitState)

    def run(self) -> FitState:
        """Train until ``epochs`` are done.

        Raises:
            DivergedError: the loss was not finite three times in a row.
            Interrupted: the first Ctrl-C; the step was finished and the state saved. A second one stops
                at once.
        """
        started = time.monotonic() - self.state.seconds
        done = self.state.epoch * self.batches_per_epoch + self.state.batches
        with self._asked_to_stop() as asked, self._bar(done) as bar:
            while self.state.epoch < self.epochs:
                self._train_epoch(asked, bar, started)
                self._finish_epoch()
                self.state.seconds = time.monotonic() - started
                stopped = self.fabric.broadcast(asked())  # during validation
                if stopped or self.state.epoch % self.save_every == 0 or self.state.epoch == self.epochs:
                    self.save()
                if stopped:
                    raise Interrupted
        if self.fabric.broadcast(asked()):  # while the end was saved: what comes next is not wanted either
            raise Interrupted
        return self.state

    def _train_epoch(self, asked: Callable[[], bool], bar: Bar | None, started: float) -> None:
        self.model.train()
        for batch in itertools.islice(self.batches(self.state.epoch), self.state.batches, None):
            losses = self.loss(self.model, batch)
            values, stopped = self._of_all_processes(losses, asked())
            finite = math.isfinite(values["loss"])
            self.state.bad_in_a_row = 0 if finite else self.state.bad_in_a_row + 1
            if self.state.bad_in_a_row == 3:
                raise DivergedError(
                    f"the loss was not finite for 3 steps in a row (step {self.state.step}). "
                    "Lower the learning rate or set a gradient clipping norm."
                )
            if finite:
                self._step(losses["loss"])
            for name, value in values.items():
                self.state.sums[name] = self.state.sums.get(name, 0.0) + value
            self.state.batches += 1
            self.state.step += 1
            if bar is not None:
                bar.advance(self._text())
            if stopped:
                self.state.seconds = time.monotonic() - started
                self.save()
                raise Interrupted

    def _of_all_processes(self, losses: Losses, asked: bool) -> tuple[dict[str, float], bool]:
        """Return the losses of the whole batch, and whether the first process was asked to stop."""
        own = torch.stack([*(value.detach() for value in losses.values()), losses["loss"].new_tensor(float(asked))])
        if self.fabric.world_size > 1:
            own = self.fabric.all_reduce(own, reduce_op="sum")  # type: ignore[assignment]
        *values, stopped = own.tolist()
        return dict(zip(losses, values, strict=True)), stopped > 0

    def _step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        # Processes average their gradients, and the gradient of the whole batch is their sum.
        self.fabric.backward(loss * self.fabric.world_size)
        if self.clip_norm is not None:
            # Gradients that are not finite: half precision skips the step, else the next losses tell.
            self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        if self.scheduler is not None and self.schedule_on == "step":
            self.scheduler.step()

    def _finish_epoch(self) -> None:
        state = self.state
        means = {f"train/{name}": total / max(state.batches, 1) for name, total in state.sums.items()}
        row: Row = {
            "epoch": state.epoch + 1,
            "step": state.step,
            "lr": self.optimizer.param_groups[0]["lr"],
            **means,
        }
        if self.scheduler is not None and self.schedule_on != "step":
            self.scheduler.step(*([means[f"train/{self.plateau_on}"]] if self.schedule_on == "plateau" else []))
        state.epoch, state.batches, state.sums = state.epoch + 1, 0, {}
        if self.validate is not None and (state.epoch % self.validate_every == 0 or state.epoch == self.epochs):
            self.model.eval()
            row |= self.fabric.broadcast(self.validate() if self.fabric.is_global_zero else {})
        state.history.append(row)
        if self.monitor is not None and self.monitor.improves(row, state.best):
            state.best = float(row[self.monitor.name])
            if self.on_best is not None:
                self.on_best()
        if self.on_epoch is not None:
            self.on_epoch(row)

    def save(self) -> None:
        """Write the state atomically, if there is a place for it."""
        if self.state_file is None or not self.fabric.is_global_zero:
            return
        content = {
            "state": asdict(self.state),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
        }
        with atomic_path(self.state_file) as path:
            torch.save(content, path)

    def restore(self) -> None:
        """Read back what ``save`` wrote.

        Raises:
            CheckpointError: the file is missing, damaged, or of another model.
        """
        try:
            content = torch.load(self.state_file, map_location=self.fabric.device, weights_only=True)  # type: ignore[arg-type]
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            if self.scheduler is not None:
                self.scheduler.load_state_dict(content["scheduler"])
            self.state = FitState(**content["state"])
        except _RESTORE_ERRORS as error:
            raise CheckpointError(
                f"cannot resume from {self.state_file}: {error}. Was it written by this run's configuration?"
            ) from error

    def _asked_to_stop(self) -> contextlib.AbstractContextManager[Callable[[], bool]]:
        return _asked_to_stop() if self.fabric.is_global_zero else contextlib.nullcontext(lambda: False)

    def _bar(self, done: int) -> contextlib.AbstractContextManager[Bar | None]:
        if self.label is None or not self.fabric.is_global_zero:
            return contextlib.nullcontext()
        return Bar(self.label, self.epochs * self.batches_per_epoch, done=done)

    def _text(self) -> str:
        state = self.state
        text = f"epoch {state.epoch + 1}/{self.epochs}  loss {state.sums['loss'] / state.batches:.4g}"
        name = self.monitor.name if self.monitor else ""
        seen = [row[name] for row in state.history if name in row]
        return f"{text}  {name} {seen[-1]:.3f}" if seen else text


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that the loop asks after each step; the second one interrupts."""
    asked = False

    def handler(_signal: int, _frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        previous = signal.signal(signal.SIGINT, handler)
    except ValueError:  # not the main thread: signals are somebody else's business
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, previous)
