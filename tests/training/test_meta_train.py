import itertools
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from metad2a.data.embedders.pixels import Pixels
from metad2a.errors import ConfigError
from metad2a.fitting.loop import FitState, Interrupted
from metad2a.fitting.schedules import cosine, plateau
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.tracking.local import LocalTracker
from metad2a.tracking.read import read_rows
from metad2a.tracking.run import track
from metad2a.training.meta_data import MetaData
from metad2a.training.meta_train import MetaTraining, Schedule
from metad2a.training.objectives import GeneratorObjective, MetaBatch, Objective
from metad2a.training.predictor_objective import PredictorObjective

MakeData = Callable[..., MetaData]
SIZE: dict[str, int] = {"feature_dim": 6, "num_types": 7, "num_nodes": 8, "hidden": 8, "latent": 8}
SPACE = NASBench201()
EPOCHS, STEPS = 4, 3
KINDS = ("predictor", "generator")


@pytest.fixture
def data(make_data: MakeData) -> MetaData:
    return make_data(tasks=8, per_task=6, difficulty=1.0)


def make_objective(kind: str, data: MetaData, *, seed: int = 0) -> Objective:
    common: dict[str, Any] = {
        "data": data,
        "train_rows": data.train_rows,
        "valid_rows": data.valid_rows,
        "batch_size": 12,
        "images_per_class": 4,
        "seed": seed,
    }
    if kind == "predictor":
        return PredictorObjective(**common)
    return GeneratorObjective(**common, latent=8, space=SPACE, samples=16)


def make_model(kind: str) -> Generator | Predictor:
    if kind == "predictor":
        return Predictor(**SIZE)
    return Generator(**SIZE, topology=SPACE.topology.nonzero().tolist())


def train(
    kind: str,
    data: MetaData,
    folder: Path,
    *,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda step: None,
    resume: bool = False,
    monitor: str = "",
    make_scheduler: Any = cosine,
    **schedule: Any,
) -> tuple[MetaTraining, FitState]:
    """Meta-train in ``folder``; ``on_step`` is called in each step with its number in this session, from 1."""
    objective = make_objective(kind, data, seed=seed)
    plain_loss, steps = objective.loss, itertools.count(1)

    def loss(model: nn.Module, batch: MetaBatch) -> Mapping[str, Tensor]:
        on_step(next(steps))
        return plain_loss(model, batch)

    objective.loss = loss
    settings = {"schedule_on": "step", "mode": "max" if kind == "predictor" else "min"} | schedule
    monitor = monitor or ("val/spearman" if kind == "predictor" else "val/recon_nll")
    with track(
        folder, {}, run_id="test", job="train", seed=seed, trackers=LocalTracker(), resumed=resume
    ) as tracker:
        training = MetaTraining(
            objective=objective,
            make_model=lambda: make_model(kind),
            make_optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
            make_scheduler=make_scheduler,
            schedule=Schedule(epochs=EPOCHS, monitor=monitor, clip_norm=1.0, **settings),
            fabric=Fabric(accelerator="cpu", devices=1),
            space=SPACE,
            embedder=Pixels(),
            folder=folder / "checkpoints",
            tracker=tracker,
            provenance={"database": "hand-made"},
            resume=resume,
        )
        return training, training.run()


class KilledError(Exception):
    """Stands for a sudden end of the process."""


def at(step: int, action: Callable[[], None]) -> Callable[[int], None]:
    return lambda number: action() if number == step else None


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def die() -> None:
    raise KilledError


def equal(a: Any, b: Any) -> bool:
    """Compare nested states exactly, except for the seconds they took."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a.keys() - {"seconds"})
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b or (a != a and b != b)


def last_state(folder: Path) -> Any:
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "time"} for row in read_rows(folder)]


@pytest.mark.parametrize("kind", KINDS)
def test_leaves_the_best_epoch_in_a_checkpoint(kind: str, data: MetaData, tmp_path: Path) -> None:
    training, state = train(kind, data, tmp_path)
    assert training.best_file == tmp_path / "checkpoints" / "best.safetensors"
    checkpoint = Checkpoint.load(training.best_file)
    monitor = training.schedule.monitor
    values = [row[monitor] for row in state.history]
    best = (max if kind == "predictor" else min)(values)
    assert state.best == best
    assert checkpoint.metrics[kind][monitor] == best
    assert checkpoint.provenance[kind] == {"database": "hand-made", "epoch": values.index(best) + 1}
    assert set(checkpoint.parts) == {kind}
    assert checkpoint.reference is not None
    assert set(checkpoint.reference.classes) <= set(data.features.classes)
    assert len(checkpoint.reference.tasks) == len(data.task_of[data.train_rows].unique())
    assert checkpoint.space == "nasbench201"
    assert checkpoint.topology == SPACE.topology.nonzero().tolist()
    assert checkpoint.embedder == {"name": "pixels", "fingerprint": Pixels.fingerprint, "dim": Pixels.dim}
    assert checkpoint.images_per_class == 4
    assert list(checkpoint.train_archs) == data.arch_frequencies()
    mean, std = data.target()
    assert checkpoint.target == ({"mean": mean, "std": std} if kind == "predictor" else None)
    # The weights are those that had the score.
    scores = make_objective(kind, data).validate(checkpoint.build(kind))
    assert scores[monitor] == pytest.approx(best)


def test_the_two_checkpoints_search_together(data: MetaData, tmp_path: Path) -> None:
    files = [train(kind, data, tmp_path / kind)[0].best_file for kind in KINDS]
    result = MetaD2A.from_checkpoint(*files, device="cpu").search(data.features, n_candidates=20)
    assert len(result.candidates) == 20
    assert result.generation["novel"] == sum(c.arch not in data.arch_frequencies() for c in result.candidates)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tracker_gets_a_row_an_epoch_and_the_file(kind: str, data: MetaData, tmp_path: Path) -> None:
    training, state = train(kind, data, tmp_path)
    written = rows(tmp_path)
    assert [row["step"] for row in written] == [STEPS * epoch for epoch in range(1, EPOCHS + 1)]
    assert [row["epoch"] for row in written] == list(range(1, EPOCHS + 1))
    for row, own in zip(written, state.history, strict=True):
        assert row[training.schedule.monitor] == own[training.schedule.monitor]
        assert row["train/loss"] == own["train/loss"]
    assert "checkpoints/best.safetensors" in (tmp_path / "run.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "stop_at"),
    [
        *(("predictor", step) for step in (1, 2 * STEPS, EPOCHS * STEPS)),
        *(("generator", step) for step in (2 * STEPS, 2 * STEPS + 1)),
    ],
)
def test_resumed_equals_uninterrupted_bit_for_bit(kind: str, stop_at: int, data: MetaData, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected, _ = train(kind, data, whole)
    with pytest.raises(Interrupted):
        train(kind, data, parts, on_step=at(stop_at, press_ctrl_c))
    assert last_state(parts)["state"]["step"] == stop_at
    torch.rand(3)
    resumed, _ = train(kind, data, parts, resume=True)
    assert equal(last_state(parts), last_state(whole))
    assert resumed.best_file.read_bytes() == expected.best_file.read_bytes()
    assert rows(parts) == rows(whole)


def test_killed_between_two_saved_states(data: MetaData, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train("predictor", data, whole, save_every=2)

    for step in (STEPS + 1, 3 * STEPS + 1):
        with pytest.raises(KilledError):
            train("predictor", data, parts, save_every=2, on_step=at(step, die), resume=parts.exists())
    train("predictor", data, parts, save_every=2, resume=True)
    assert equal(last_state(parts), last_state(whole))
    assert rows(parts) == rows(whole), "rows of epochs that were trained twice are there twice"


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str, data: MetaData, tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train(kind, data, tmp_path / "one")
    assert torch.equal(torch.get_rng_state(), before), "it draws from the global random stream"
    torch.manual_seed(2)
    train(kind, data, tmp_path / "same")
    train(kind, data, tmp_path / "other", seed=1)
    one, same, other = (last_state(tmp_path / name)["model"] for name in ("one", "same", "other"))
    assert equal(one, same)
    assert not equal(one, other)


@pytest.mark.parametrize(
    ("make_scheduler", "schedule_on", "last"),
    [
        (None, "epoch", 0.01),
        (cosine, "epoch", None),
        (plateau, "plateau", 0.01),
    ],
)
def test_schedulers(
    make_scheduler: Any, schedule_on: str, last: float | None, data: MetaData, tmp_path: Path
) -> None:
    _, state = train("predictor", data, tmp_path, make_scheduler=make_scheduler, schedule_on=schedule_on)
    rates = [row["lr"] for row in state.history]
    if last is None:
        assert 0 < rates[-1] < rates[1]
    else:
        assert set(rates) == {last}


def test_the_rate_falls_to_nothing_over_the_steps(data: MetaData, tmp_path: Path) -> None:
    _, state = train("predictor", data, tmp_path)
    assert state.history[-1]["lr"] == pytest.approx(0, abs=1e-9)


def test_validation_now_and_then(data: MetaData, tmp_path: Path) -> None:
    _, state = train("predictor", data, tmp_path, validate_every=3)
    assert ["val/spearman" in row for row in state.history] == [False, False, True, True]


@pytest.mark.parametrize("monitor", ["val/no_such_score", "val/spearman_within_tasks"])
def test_a_score_that_is_never_a_number(monitor: str, make_data: MakeData, tmp_path: Path) -> None:
    single = make_data(tasks=24, per_task=1)
    with pytest.raises(ConfigError, match=rf"'{monitor}' was never a number.* one of: .*val/mae"):
        train("predictor", single, tmp_path, monitor=monitor)
    assert not (tmp_path / "checkpoints" / "best.safetensors").exists()
