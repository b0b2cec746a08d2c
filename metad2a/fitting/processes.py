"""Several processes that train one model together: started, joined in a group, ended."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.plugins.precision.double import DoublePrecision
from lightning_fabric.plugins.precision.precision import Precision
from lightning_fabric.strategies.ddp import DDPStrategy

from metad2a.errors import MetaD2AError

Work = Callable[[Fabric], Any]
Prepare = Callable[..., Work]

_fabric_log = logging.getLogger("lightning_fabric")
_GRACE_S = 10.0  # for a process that has nothing left to do
_CHANGED = ("MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")  # environment variables that Fabric sets


class ProcessError(MetaD2AError):
    """A process of a group failed, and with it the run."""


@dataclass(frozen=True)
class Group:
    """The processes that train together, all on this machine.

    Args:
        accelerator: ``cpu``, ``cuda`` or ``mps``.
        devices: how many processes; on a GPU each has one of its own.
        precision: ``32-true``, ``64-true``, ``16-mixed`` or ``bf16-mixed``, as in Lightning Fabric.
    """

    accelerator: str
    devices: int = 1
    precision: Literal["32-true", "64-true", "16-mixed", "bf16-mixed"] = "32-true"

    @contextmanager
    def launch(self, prepare: Prepare, *args: Any) -> Iterator[Fabric]:
        """Yield the Fabric of this process, the first of the group; the others end with the block.

        Processes are spawned, not forked (threads and GPUs do not survive a fork), and this process stays what it
        is: it alone talks to the user, and Ctrl-C is its business.

        Args:
            prepare: what each other process calls first; returns the work that it does with its own Fabric while
                the block runs. A function of a module, since it goes to another process by name.
            args: its arguments; they are pickled.

        Raises:
            ProcessError: another process failed. The message is that of its error.
        """
        if self.devices == 1:
            fabric = Fabric(accelerator=self.accelerator, devices=1, plugins=[self._precision()])
            fabric.launch()
            yield fabric
            return
        port = find_free_network_port()
        with _as_it_was(), _Others(self, port, prepare, args) as others:
            others.wait_until_ready()
            fabric = self.fabric(0, port)
            with others.to_blame():
                fabric.launch()
                yield fabric

    def fabric(self, rank: int, port: int) -> Fabric:
        """Return the Fabric of one process."""
        return Fabric(
            accelerator=self.accelerator,
            devices=self.devices,
            # A static graph may leave parameters unused, whose gradients the processes would else wait for.
            strategy=DDPStrategy(static_graph=True),
            plugins=[_Place(rank, port), self._precision()],
        )

    def _precision(self) -> Precision:
        if self.precision == "32-true":
            return Precision()
        if self.precision == "64-true":
            return _Double()
        return _Mixed(self.precision, self.accelerator)


class _Mixed(MixedPrecision):
    """Leaves inputs alone: Fabric cannot look into frozen batches, and autocast converts what it should."""

    def convert_input(self, data: Any) -> Any:
        return data


class _Double(DoublePrecision):
    """Leaves inputs alone, for the same reason: the batches come in double precision."""

    def convert_input(self, data: Any) -> Any:
        return data


class _Place(LightningEnvironment):
    """Tells Fabric that the processes exist already and which one this is."""

    def __init__(self, rank: int, port: int) -> None:
        super().__init__()
        self._local_rank = rank
        self._main_port = port

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    def local_rank(self) -> int:
        return self._local_rank

    def node_rank(self) -> int:
        return 0


class _Others:
    """The processes of a group but the first.

    Each sends an empty message when it is ready, and a text when it fails.
    """

    def __init__(self, group: Group, port: int, prepare: Prepare, args: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._of: dict[SpawnProcess, Connection] = {}
        for rank in range(1, group.devices):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(
                target=_take_part,
                args=(group, rank, port, theirs, prepare, args),
                daemon=True,
                name=f"process {rank}",
            )
            process.start()
            theirs.close()  # so that reading ends when the process does
            self._of[process] = ours

    def __enter__(self) -> "_Others":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for process, messages in self._of.items():
            if kind is None:
                process.join(_GRACE_S)
            process.kill()
            process.join()
            messages.close()

    def wait_until_ready(self) -> None:
        for process in self._of:
            _, fault = self._next_message(process)
            if fault:
                raise ProcessError(fault)

    @contextmanager
    def to_blame(self) -> Iterator[None]:
        """Turn what this process notices of another one's end into the reason of that end."""
        try:
            yield
        except MetaD2AError:
            raise
        except Exception as error:
            fault = self._fault()
            if fault:
                raise ProcessError(fault) from error
            raise

    def _fault(self) -> str:
        """Return why another process failed, or nothing; one that is well waits for this one and is silent."""
        silence_s = _GRACE_S / len(self._of)
        faults = [self._next_message(process) for process, end in self._of.items() if end.poll(silence_s)]
        # Those that ended without a word first: that is what the others complain of.
        return min(faults, default=(True, ""))[1]

    def _next_message(self, process: SpawnProcess) -> tuple[bool, str]:
        """Return whether the process said it itself, and what."""
        try:
            return True, str(self._of[process].recv())
        except (EOFError, ConnectionError):
            process.join(_GRACE_S)
            return False, (
                f"{process.name} of the training ended unexpectedly (exit code {process.exitcode}; -9: killed, "
                "often for want of memory). Resume the run, if need be with fewer processes."
            )


def _take_part(
    group: Group, rank: int, port: int, messages: Connection, prepare: Prepare, args: tuple[Any, ...]
) -> None:
    """Be one of the other processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides what Ctrl-C means
    _fabric_log.setLevel(logging.WARNING)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = prepare(*args)
        messages.send("")
        fabric = group.fabric(rank, port)
        fabric.launch()
        work(fabric)
        torch.distributed.destroy_process_group()
    except KeyboardInterrupt:  # the processes have agreed to stop
        return
    except Exception as error:
        text = str(error) if isinstance(error, MetaD2AError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            messages.send(text)


def _end_with_parent() -> None:
    """Leave no process behind when the first one was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Leave the process as it was before it joined a group."""
    threads, before = torch.get_num_threads(), {name: os.environ.get(name) for name in _CHANGED}
    level = _fabric_log.level
    _fabric_log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        _fabric_log.setLevel(level)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        torch.set_num_threads(threads)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
