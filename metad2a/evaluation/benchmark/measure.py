"""Time, memory and FLOPs of a piece of work, in a process of its own."""

import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

import metad2a
from metad2a.errors import MetaD2AError
from metad2a.runtime import keep_freed_memory

T = TypeVar("T")
Work = Callable[[], object]

AT_LEAST_REPEATS = 5
AT_LEAST_S = 2.0
PRODUCT_SIZE = 2048
_PRODUCTS = 5
_STATUS = Path("/proc/self/status")


# --- processes ----------------------------------------------------------------------------------------------


def in_fresh_process(task: Callable[..., T], *arguments: object, threads: int) -> T:
    """Return what ``task`` (a function of a module) returns in a new process with so many compute threads.

    Its peak memory is then its own, and nothing that ran before has warmed or filled anything.

    Raises:
        MetaD2AError: the process was killed.
    """
    # The libraries read these when they are loaded, before any code of ours runs.
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    before = dict(os.environ)
    os.environ.update(limits)
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=context, initializer=_start, initargs=(threads,)) as pool:
            return pool.submit(task, *arguments).result()
    except BrokenProcessPool as error:
        what = f"{task.__name__}({', '.join(map(repr, arguments))})"
        raise MetaD2AError(
            f"the process that measured {what} was killed, most likely because the memory was used up."
        ) from error
    finally:
        for name in limits.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: before[name] for name in limits.keys() & before.keys()})


def _start(threads: int) -> None:
    """Begin as the command line does."""
    keep_freed_memory()
    torch.set_num_threads(threads)


# --- time ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Seconds of each repetition.

    Attributes:
        cpu: of all threads together.
        wall: as a clock on the wall shows them; other programs on the machine make them longer.
        result: what the work returned in the end.
    """

    cpu: Sequence[float]
    wall: Sequence[float]
    result: object

    @property
    def cpu_s(self) -> float:
        """Median CPU seconds."""
        return statistics.median(self.cpu)

    @property
    def wall_s(self) -> float:
        """Median wall seconds."""
        return statistics.median(self.wall)


def time_work(
    work: Work, *, repeats: int | None = None, at_least: int = AT_LEAST_REPEATS, at_least_s: float = AT_LEAST_S
) -> Timing:
    """Time ``work``, which has to be warm: ``repeats`` times, or ``at_least`` times and ``at_least_s`` seconds."""
    cpu: list[float] = []
    wall: list[float] = []
    result: object = None
    while len(cpu) < (repeats or at_least) or (repeats is None and sum(wall) < at_least_s):
        start_wall, start_cpu = time.perf_counter(), time.process_time()
        result = work()
        cpu.append(time.process_time() - start_cpu)
        wall.append(time.perf_counter() - start_wall)
    return Timing(cpu, wall, result)


def product_gflops(threads: int) -> float:
    """Return what a 2048 x 2048 x 2048 float32 matrix product reaches: GFLOP per CPU second.

    A multiply-add counts as two, here and in ``count_flops`` (elsewhere in this project it is one).
    """
    a, b = torch.randn(2, PRODUCT_SIZE, PRODUCT_SIZE, generator=torch.Generator().manual_seed(0))
    out = torch.empty(PRODUCT_SIZE, PRODUCT_SIZE)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.mm(a, b, out=out)
        timing = time_work(lambda: torch.mm(a, b, out=out), repeats=_PRODUCTS)
    finally:
        torch.set_num_threads(before)
    return 2e-9 * PRODUCT_SIZE**3 / timing.cpu_s


def count_flops(work: Work) -> int:
    """Return the floating-point operations of the matrix products and convolutions in one execution."""
    own = {torch.ops.aten.convolution_backward: _convolution_backward_flops}
    # The fused attention of CPUs is no operation the counter knows; the plain one is matrix products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=own) as counter:
        work()
    return counter.get_total_flops()


def _convolution_backward_flops(
    gradient: Sequence[int], x: Sequence[int], weight: Sequence[int], *told: Any, **unused: Any
) -> int:
    """Return what each wanted gradient of a convolution takes: as much as the convolution.

    The counter's own formula takes the channels of all groups for connected.
    """
    transposed, wanted = told[-4], told[-1]
    return sum(wanted[:2]) * conv_flop_count(list(x), list(weight), list(gradient), transposed)


# --- memory -------------------------------------------------------------------------------------------------


def peak_mb() -> float:
    """Return the most memory (resident, 10^6 bytes) that this process ever held, or since ``watch_memory``."""
    # ru_maxrss would do, but on Linux a child inherits its parent's.
    return _status_mb("VmHWM") or _rusage_mb()


def _rusage_mb() -> float:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _status_mb(name: str) -> float | None:
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / 1e6
    return None


@contextmanager
def watch_memory() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the memory in MB needed since, above what was held before."""
    with suppress(OSError):  # Linux: let the peak begin anew
        Path("/proc/self/clear_refs").write_text("5")
    before = _status_mb("VmRSS") or peak_mb()
    yield lambda: max(0.0, peak_mb() - before)


# --- the machine --------------------------------------------------------------------------------------------


def machine(threads: int) -> dict[str, Any]:
    """Return what a number of seconds depends on."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "metad2a": metad2a.__version__,
        "threads": threads,
    }


def _cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
