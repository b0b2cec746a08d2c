"""Several processes that train one model, on a CPU."""

import importlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from metad2a.errors import UserError
from metad2a.fitting.processes import Group, ProcessError
from metad2a.runtime import resolve_device

# The other processes import it: tests are no modules to them.
CREW = '''
import os
import signal

import torch
from torch import nn

from metad2a.fitting.loop import Fit


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(4, 1), nn.Linear(300, 300)

    def forward(self, x):
        return self.used(x)


def train(fabric, bad_steps=(), killed_at=None):
    """Three epochs of two batches; the last process has no number for a loss in the bad steps, or is killed."""
    torch.manual_seed(0)
    net = Net()
    model, optimizer = fabric.setup(net, torch.optim.Adam(net.parameters(), lr=0.1))
    last, step = fabric.global_rank == fabric.world_size - 1, 0

    def loss(net, batch):
        nonlocal step
        step += 1
        if step == killed_at and last:
            os.kill(os.getpid(), signal.SIGKILL)
        own = batch[fabric.global_rank :: fabric.world_size]
        error = (net(own) - own.sum(1, keepdim=True)).square().sum() / len(batch)
        return {"loss": error * float("nan") if step in bad_steps and last else error}

    def batches(epoch):
        return torch.randn(10, 4, generator=torch.Generator().manual_seed(epoch)).split(5)

    fit = Fit(
        fabric=fabric,
        model=model,
        optimizer=optimizer,
        batches=batches,
        loss=loss,
        epochs=3,
        batches_per_epoch=2,
        validate=lambda: {"val/rank": fabric.global_rank},
        clip_norm=1.0,
    )
    history = fit.run().history
    return [(row["train/loss"], row["val/rank"]) for row in history], net.used.weight.detach().clone()


def prepare(*args):
    return lambda fabric: train(fabric, *args)
'''


@pytest.fixture
def crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "metad2a_test_crew.py").write_text(CREW)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("metad2a_test_crew")


def test_several_processes_take_the_steps_of_one(crew: Any) -> None:
    bad_steps = (1, 2)
    before, threads = dict(os.environ), torch.get_num_threads()
    outcomes = []
    for devices in (1, 2):
        with Group("cpu", devices).launch(crew.prepare, bad_steps) as fabric:
            assert fabric.world_size == devices
            outcomes.append(crew.train(fabric, bad_steps))
        assert (dict(os.environ), torch.get_num_threads()) == (before, threads)
        assert not torch.distributed.is_initialized()
    (one, weight), (two, weight_of_two) = outcomes
    torch.testing.assert_close(one, two, equal_nan=True)
    torch.testing.assert_close(weight, weight_of_two)


def test_a_killed_process_ends_the_run_at_once(crew: Any) -> None:
    started = time.monotonic()
    with (
        pytest.raises(ProcessError, match=r"process 1 .*ended unexpectedly \(exit code -9"),
        Group("cpu", 2).launch(crew.prepare, (), 3) as fabric,
    ):
        crew.train(fabric, (), 3)
    assert time.monotonic() - started < 60
    assert not torch.distributed.is_initialized()


def test_what_another_process_cannot_do_is_told() -> None:
    with (
        pytest.raises(ProcessError, match="unknown device 'tpu'"),
        Group("cpu", 2).launch(resolve_device, "tpu"),
    ):
        pytest.fail("there is no group")


def test_an_error_of_the_first_process_is_its_own(crew: Any) -> None:
    with pytest.raises(UserError, match="mine"), Group("cpu", 2).launch(crew.prepare):
        raise UserError("mine")
    assert not torch.distributed.is_initialized()
