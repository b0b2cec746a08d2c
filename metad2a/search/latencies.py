"""Latencies in a search: measured where they were, predicted elsewhere."""

import logging
import statistics
from collections.abc import Sequence
from typing import Any

from metad2a.costs.latency import Latency, measure_latency
from metad2a.costs.latency_model import LatencyModel, LatencyPredictor, choose_architectures
from metad2a.errors import LimitError
from metad2a.runtime import Bar, progress
from metad2a.search.constraints import Costs, Limits
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.scale import NetworkScale

_TINY = 1e-6
_BUSY = 2.0  # third quartile by first, of most networks, above which latencies are not worth much

_log = logging.getLogger(__name__)


class Latencies:
    """What is known of the latencies of a space's networks.

    Args:
        num_classes: outputs of the networks.
        device: ``cpu``, ``cuda`` or ``mps`` of this machine.
        model: of another device, say; then nothing is measured here.
        scale: of the networks; None: the space's own.
    """

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        device: str,
        model: LatencyPredictor | None = None,
        scale: NetworkScale | None = None,
    ) -> None:
        self._space, self._num_classes, self._device = space, num_classes, device
        self._scale = scale or NetworkScale(space.resolution)
        self._measured: dict[Architecture, Latency] = {}
        self._given = model is not None
        self.model: LatencyPredictor | None = model
        self._times = {} if model is None else dict(zip(model.archs, model.milliseconds, strict=True))

    def learn(self, seed: int) -> LatencyModel:
        """Measure a few networks on this machine and learn the others' latencies from them."""
        chosen = choose_architectures(self._space, seed=seed)
        times = [self.measure(arch) for arch in progress(chosen, label="measure latency")]
        spread = statistics.median(latency.high_ms / latency.low_ms for latency in self._measured.values())
        if spread > _BUSY:
            _log.warning("latencies vary by a factor of %.1f between passes: is the machine busy?", spread)
        self.model = model = LatencyModel.fit(self._space, chosen, times)
        return model

    def measure(self, arch: Architecture) -> float:
        """Return the median milliseconds of a network on this machine; it is measured once."""
        if arch not in self._measured:
            net = self._space.build(arch, self._num_classes, **self._scale.options)
            self._measured[arch] = measure_latency(net, self._scale.resolution, device=self._device)
            self._times[arch] = self._measured[arch].median_ms
        return self._times[arch]

    def check_possible(self, limits: Limits, costs: Costs) -> None:
        """Measure what is predicted to be fastest, too, and fail if ``limits`` cannot be met.

        Raises:
            LimitError: all that was measured is too slow, or nothing meets all limits; the message has the fastest.
        """
        limit = limits.max_latency_ms
        if limit is None:
            return
        self.measure(costs.smallest({"latency_ms": _TINY}))
        self._check_fastest(limit)
        # What is predicted may be a little too slow where something that was measured is fast enough.
        fast = [arch for arch, ms in self._times.items() if ms <= limit]
        if not limits.admits(Costs(self._space, self._num_classes, scale=self._scale), fast).any():
            limits.check_possible(costs)

    def _check_fastest(self, limit: float | int) -> None:
        fastest = min(self._times, key=self._times.__getitem__)
        if self._times[fastest] > limit:
            raise LimitError(
                f"no architecture of '{self._space.name}' meets max_latency_ms={limit:g}: the fastest of "
                f"{len(self._times)} measured ones takes {self._times[fastest]:.2f} ms on this machine "
                f"({self._device}): {self._space.format(fastest)}. Raise the limit."
            )

    def within(
        self, archs: Sequence[Architecture], order: Sequence[int], limit: float | int | None, *, measure: int
    ) -> list[int]:
        """Return ``order`` without those that were measured to be too slow, of which the first are measured now.

        Args:
            archs: within the limit, as far as is known.
            order: positions in ``archs``, best first.
            limit: milliseconds.
            measure: how many of the returned ones are to be measured.

        Raises:
            LimitError: none is left.
        """
        kept: list[int] = []
        with Bar("measure latency", None) as bar:
            for i in order:
                if len(kept) < measure and not self._given:
                    self.measure(archs[i])
                    bar.advance()
                if limit is None or self._times.get(archs[i], 0.0) <= limit:
                    kept.append(i)
        if not kept:
            raise LimitError(
                f"none of {len(order)} candidates meets max_latency_ms={limit:g} as measured; the fastest takes "
                f"{min(self._times[archs[i]] for i in order):.2f} ms. Raise the limit."
            )
        return kept

    def facts(self, arch: Architecture, predicted: float | None) -> dict[str, Any]:
        """Return the fields of a candidate that tell its latency."""
        if predicted is None:
            return {"latency_ms": None}
        exact = self._measured.get(arch)
        return {
            "latency_ms": self._times.get(arch, predicted),
            "latency_measured": arch in self._times,
            "latency_quartiles_ms": None if exact is None else (exact.low_ms, exact.high_ms),
        }

    def summary(self) -> dict[str, Any] | None:
        """Return where latencies come from, as plain data; None where none are known."""
        if self.model is None:
            return None
        threads = next((latency.threads for latency in self._measured.values()), None)
        return {
            "device": None if self._given else self._device,
            "threads": threads,
            "measured": len(self._times),
            "model_archs": len(self.model.archs),
            "model_error_ms": self.model.error_ms,
        }
