import threading
import time

import torch
from torch import Tensor, nn

from metad2a.costs.latency import measure_latency


class Sleeper(nn.Module):
    """Takes a known time, except for the first calls, which are slow as first calls are."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[torch.Size, bool, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.calls.append((images.shape, self.training, torch.is_grad_enabled()))
        threading.Event().wait(0.2 if len(self.calls) <= 3 else 0.01)
        return images


def test_measures_calls_after_the_warm_up() -> None:
    net = Sleeper()
    start = time.perf_counter()
    latency = measure_latency(net, 24, batch_size=2, repeats=5)
    total = 1000 * (time.perf_counter() - start)
    assert 10 <= latency.median_ms < 200, "the warm-up is counted"
    assert latency.low_ms <= latency.median_ms <= latency.high_ms < total
    assert latency.threads == torch.get_num_threads()
    assert set(net.calls) == {(torch.Size([2, 3, 24, 24]), False, False)}
    assert len(net.calls) == 3 + 5


def test_a_far_larger_network_takes_longer() -> None:
    small, large = nn.Conv2d(3, 1, 1), nn.Sequential(nn.Conv2d(3, 256, 3), nn.Conv2d(256, 256, 3))
    assert measure_latency(small, 24, repeats=3).median_ms < measure_latency(large, 24, repeats=3).median_ms
