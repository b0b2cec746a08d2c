"""REINFORCE: a policy of independent decisions that learns from what its architectures are worth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.errors import ConfigError
from metad2a.search.remembering import FAILED, Remembering
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.product import ProductSpace

_INITIAL = 1e-3  # standard deviation of the first logits
_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # Adam's usual ones


class Reinforce(Remembering):
    """Draws every decision from a softmax of its own, and climbs the expected value.

    Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", 1992, as
    NAS-Bench-201's baseline has it: the logits move along (value - baseline) * gradient of the log-probability by
    Adam; the baseline is an exponential mean of the values, corrected for its start at zero, which includes the
    newest value. A failed evaluation teaches nothing. What is told of ``first`` is learned as if the policy had
    drawn it.

    Args:
        space: what is searched; a space of independent decisions.
        seed: of all draws.
        first: see ``Remembering``.
        learning_rate: of Adam.
        momentum: of the baseline.

    Raises:
        ArchitectureError: one of ``first`` is none of the space.
        ConfigError: an option or the space cannot be used.
    """

    stream = "reinforce"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        first: Sequence[Architecture] = (),
        learning_rate: float = 0.01,
        momentum: float = 0.9,
    ) -> None:
        if not isinstance(space, ProductSpace):
            raise ConfigError(
                f"reinforce needs a space of independent decisions, and '{space.name}' is none. "
                "Search it with evolution or local_search."
            )
        if learning_rate <= 0 or not 0 <= momentum < 1:
            raise ConfigError(
                f"reinforce: learning_rate={learning_rate}, momentum={momentum}: give a positive learning rate and "
                "a momentum of at least 0 and less than 1."
            )
        super().__init__(space, seed=seed, first=first)
        self._learning_rate, self._momentum = learning_rate, momentum
        options = np.array(space.options)
        absent = np.arange(options.max()) >= options[:, None]
        logits = _INITIAL * self._rng.standard_normal(absent.shape)
        self._logits: Float[np.ndarray, "D O"] = np.where(absent, -np.inf, logits)
        self._moments: Float[np.ndarray, "2 D O"] = np.zeros((2, *absent.shape))
        self._baseline = 0.0
        self._steps = 0

    def _policy(self) -> np.ndarray:
        weights = np.exp(self._logits - self._logits.max(1, keepdims=True))
        chances: np.ndarray = weights / weights.sum(1, keepdims=True)
        return chances

    def _propose(self) -> Architecture:
        cumulative = self._policy().cumsum(1)
        drawn = self._rng.random((len(cumulative), 1)) * cumulative[:, -1:]
        return Architecture(self._space.name, tuple((cumulative <= drawn).sum(1).tolist()))

    def _learn(self, arch: Architecture, value: float) -> None:
        if value == FAILED:
            return
        self._steps += 1
        self._baseline = self._momentum * self._baseline + (1 - self._momentum) * value
        advantage = value - self._baseline / (1 - self._momentum**self._steps)
        loss = self._policy()  # its gradient: d(-log p)/d(logits) = p - [chosen]
        loss[np.arange(len(loss)), arch.choices] -= 1
        loss *= advantage
        for moment, beta, new in zip(self._moments, _BETAS, (loss, loss**2), strict=True):
            moment += (1 - beta) * (new - moment)
        mean, square = (m / (1 - beta**self._steps) for m, beta in zip(self._moments, _BETAS, strict=True))
        self._logits -= self._learning_rate * mean / (np.sqrt(square) + _EPSILON)

    def _own_state(self) -> dict[str, Any]:
        return {
            "logits": [row[np.isfinite(row)].tolist() for row in self._logits],
            "moments": self._moments.tolist(),
            "baseline": self._baseline,
            "steps": self._steps,
        }

    def _load_own_state(self, state: dict[str, Any]) -> None:
        for row, logits in zip(self._logits, state["logits"], strict=True):
            row[: len(logits)] = logits
        self._moments = np.array(state["moments"])
        self._baseline = float(state["baseline"])
        self._steps = int(state["steps"])
