import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from metad2a.errors import CheckpointError
from metad2a.fitting.loop import DivergedError, Fit, Interrupted, Monitor
from metad2a.fitting.network import seeded
from metad2a.runtime import torch_rng

BATCHES = 5
EPOCHS = 4


def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    rng = torch_rng("test", epoch)
    for _ in range(BATCHES):
        x = torch.randn(8, 6, generator=rng)
        yield x, x.sum(1, keepdim=True)


def squared_error(net: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    error = net(batch[0]) - batch[1]
    return {"loss": (error**2).mean(), "largest": error.detach().abs().max()}


def make_fit(**options: Any) -> Fit:
    with seeded(0):
        net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    fabric = Fabric(accelerator="cpu", devices=1)
    plain = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    # One epoch more than is trained, so that the rate is still moving at the end.
    scheduler = OneCycleLR(plain, max_lr=0.05, total_steps=(EPOCHS + 1) * BATCHES)
    model, optimizer = fabric.setup(net, plain)
    settings: dict[str, Any] = {
        "loss": squared_error,
        "batches": batches,
        "scheduler": scheduler,
        "schedule_on": "step",
        "epochs": EPOCHS,
    }
    return Fit(fabric=fabric, model=model, optimizer=optimizer, batches_per_epoch=BATCHES, **settings | options)


def everything(fit: Fit) -> dict[str, Any]:
    return {
        "model": fit.model.state_dict(),
        "optimizer": fit.optimizer.state_dict(),
        "scheduler": fit.scheduler.state_dict(),
        "history": fit.state.history,
    }


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize("stop_at", [1, 3, 5, 7, 10, 19, 20])
def test_resumed_equals_uninterrupted_bit_for_bit(stop_at: int, tmp_path: Path) -> None:
    whole = make_fit()
    whole.run()

    calls = 0

    def loss_with_ctrl_c(net: nn.Module, batch: Any) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return squared_error(net, batch)

    state_file = tmp_path / "state.pt"
    killed = make_fit(loss=loss_with_ctrl_c, state_file=state_file, save_every=100)
    with pytest.raises(Interrupted):
        killed.run()
    assert killed.state.step == stop_at

    resumed = make_fit(state_file=state_file, save_every=100)
    resumed.restore()
    assert resumed.state.step == stop_at
    resumed.run()
    assert equal(everything(resumed), everything(whole))
    assert resumed.state.seconds >= killed.state.seconds


def test_a_crash_resumes_from_the_last_saved_epoch(tmp_path: Path) -> None:
    whole = make_fit()
    whole.run()

    calls = 0

    def crash(net: nn.Module, batch: Any) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls == 2 * BATCHES + 3:
            raise KeyboardInterrupt
        return squared_error(net, batch)

    killed = make_fit(loss=crash, state_file=tmp_path / "state.pt")
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    resumed = make_fit(state_file=tmp_path / "state.pt")
    resumed.restore()
    assert (resumed.state.epoch, resumed.state.batches) == (2, 0)
    resumed.run()
    assert equal(everything(resumed), everything(whole))


def test_ctrl_c_during_the_last_validation_is_not_lost(tmp_path: Path) -> None:
    def validate() -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        return {"val/loss": 1.0}

    fit = make_fit(validate=validate, epochs=1, state_file=tmp_path / "state.pt")
    with pytest.raises(Interrupted):
        fit.run()
    again = make_fit(epochs=1, state_file=tmp_path / "state.pt")
    again.restore()
    assert again.run().history == fit.state.history
    assert len(fit.state.history) == 1


def test_ctrl_c_while_the_end_is_saved_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    fit = make_fit(epochs=1, state_file=tmp_path / "state.pt")
    save = fit.save

    def saving() -> None:
        save()
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(fit, "save", saving)
    with pytest.raises(Interrupted):
        fit.run()
    assert signal.getsignal(signal.SIGINT) is before
    again = make_fit(epochs=1, state_file=tmp_path / "state.pt")
    again.restore()
    assert again.run().history == fit.state.history


def test_the_users_signal_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    make_fit(epochs=1).run()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("per_epoch", [1, 2, BATCHES])
def test_divergence_is_noticed_across_epochs(per_epoch: int) -> None:
    def bad(net: nn.Module, batch: Any) -> dict[str, Tensor]:
        return {"loss": squared_error(net, batch)["loss"] * math.nan}

    fit = make_fit(loss=bad, batches=lambda epoch: list(batches(epoch))[:per_epoch])
    before = [p.detach().clone() for p in fit.model.parameters()]
    with pytest.raises(DivergedError, match="3 steps in a row"):
        fit.run()
    assert all(torch.equal(a, b) for a, b in zip(before, fit.model.parameters(), strict=True))


def test_two_bad_steps_are_survived() -> None:
    calls = 0

    def twice_bad(net: nn.Module, batch: Any) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        loss = squared_error(net, batch)["loss"]
        return {"loss": loss * math.inf if calls in (2, 3, 7, 8) else loss}

    state = make_fit(loss=twice_bad).run()
    assert state.step == EPOCHS * BATCHES
    assert math.isfinite(state.history[-1]["train/loss"])


def test_best_is_monitored_and_nan_is_never_best() -> None:
    scores = iter([math.nan, 3.0, math.nan, 5.0, 4.0, 5.0])
    seen: list[int] = []
    fit = make_fit(
        epochs=6,
        scheduler=None,
        validate=lambda: {"val/score": next(scores)},
        monitor=Monitor("val/score"),
        on_best=lambda: seen.append(fit.state.epoch),
    )
    state = fit.run()
    assert state.best == 5.0
    assert seen == [2, 4]


def test_the_smallest_can_be_the_best() -> None:
    scores = iter([3.0, 2.0, math.nan, 4.0])
    state = make_fit(validate=lambda: {"v": next(scores)}, monitor=Monitor("v", "min")).run()
    assert state.best == 2.0


def test_validation_is_as_rare_as_asked_but_always_last() -> None:
    state = make_fit(validate=lambda: {"v": 1.0}, validate_every=3).run()
    assert [row["epoch"] for row in state.history if "v" in row] == [3, 4]


def test_plateau_schedule_sees_the_training_loss() -> None:
    def constant(net: nn.Module, batch: Any) -> dict[str, Tensor]:
        return {"loss": squared_error(net, batch)["loss"] * 0 + 1}

    fit = make_fit(loss=constant, scheduler=None, epochs=5)
    fit.scheduler = ReduceLROnPlateau(fit.optimizer.optimizer, factor=0.1, patience=1)
    fit.schedule_on = "plateau"
    assert [row["lr"] for row in fit.run().history] == pytest.approx([0.002] * 3 + [0.0002] * 2)


def test_gradients_are_clipped() -> None:
    def steps(clip: float | None) -> float:
        fit = make_fit(clip_norm=clip, scheduler=None, epochs=1, batches=lambda e: list(batches(e))[:1])
        before = nn.utils.parameters_to_vector(fit.model.parameters()).detach().clone()
        fit.run()
        after = nn.utils.parameters_to_vector(fit.model.parameters()).detach()
        return float((after - before).norm())

    assert steps(1e-3) == pytest.approx(0.002 * 1e-3, rel=1e-2)
    assert steps(None) > 10 * steps(1e-3)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 broken"])
def test_a_damaged_state_file_is_named(content: bytes, tmp_path: Path) -> None:
    state_file = tmp_path / "state.pt"
    state_file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state\.pt"):
        make_fit(state_file=state_file).restore()


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    state_file = tmp_path / "state.pt"
    make_fit(epochs=1, state_file=state_file).run()
    other = make_fit(state_file=state_file)
    other.model = other.fabric.setup_module(nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match="configuration"):
        other.restore()
