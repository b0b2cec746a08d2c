"""Latency of a network on this machine."""

import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn

_WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one forward pass.

    Attributes:
        median_ms: the figure to quote.
        low_ms: first quartile.
        high_ms: third quartile.
        threads: torch threads while measuring.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    threads: int


@torch.inference_mode()
def measure_latency(
    net: nn.Module, resolution: int, *, batch_size: int = 1, repeats: int = 9, device: str = "cpu"
) -> Latency:
    """Time forward passes of random RGB images of ``resolution`` pixels a side, after a warm-up."""
    net = net.eval().to(device)
    images = torch.randn(batch_size, 3, resolution, resolution, device=device)
    times = []
    for turn in range(_WARM_UP + repeats):
        start = time.perf_counter()
        net(images)
        _wait(device)
        if turn >= _WARM_UP:
            times.append(1e3 * (time.perf_counter() - start))
    low, median, high = statistics.quantiles(times, n=4)
    return Latency(median, low, high, torch.get_num_threads())


def _wait(device: str) -> None:
    """Wait for the device: its work is asynchronous."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
