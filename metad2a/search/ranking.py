"""Candidates in the order of what is predicted of them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from metad2a.search.constraints import Costs
from metad2a.search.latencies import Latencies
from metad2a.search.result import Candidate
from metad2a.spaces.base import Architecture, SearchSpace


def best_first(space: SearchSpace, archs: Sequence[Architecture], draws: Float[np.ndarray, "D A"]) -> list[int]:
    """Return the positions of ``archs`` by mean prediction; of equals, by their texts."""
    predicted = draws.mean(0)
    texts = [space.format(arch) for arch in archs]
    return sorted(range(len(archs)), key=lambda i: (-predicted[i], texts[i]))


def candidates_of(
    costs: Costs,
    latencies: Latencies,
    archs: Sequence[Architecture],
    draws: Float[np.ndarray, "D A"],
    std: Sequence[float | None],
) -> tuple[Candidate, ...]:
    """Return a candidate for each of ``archs``, which are in their order, with all that it costs.

    Memory is known where the space has a rule for it or it was limited: watching hundreds of networks takes time.
    """
    percent = np.clip(draws.mean(0), 0.0, 100.0).tolist()
    params, flops = costs.of("params", archs), costs.of("flops", archs)
    memory = costs.of("memory_mb", archs).tolist() if costs.memory_is_cheap else [None] * len(archs)
    milliseconds = [None] * len(archs) if costs.latency is None else costs.of("latency_ms", archs).tolist()
    return tuple(
        Candidate(
            rank=i + 1,
            arch=costs.space.format(arch),
            predicted=percent[i],
            std=std[i],
            params=int(params[i]),
            flops=int(flops[i]),
            **latencies.facts(arch, milliseconds[i]),
            memory_mb=memory[i],
            space=costs.space,
            num_classes=costs.num_classes,
            resolution=costs.counted.resolution,
            scale=costs.counted.options,
            draws=tuple(draws[:, i].tolist()),
        )
        for i, arch in enumerate(archs)
    )
