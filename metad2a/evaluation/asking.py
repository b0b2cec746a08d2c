"""Oracles that list no architectures: what stands for the space, and that no network is evaluated twice."""

import hashlib
import logging
import time
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.evaluation.compare.kept import Kept
from metad2a.oracles.base import Oracle
from metad2a.runtime import Bar, duration, numpy_rng
from metad2a.spaces.base import Architecture, SearchSpace

SAMPLE = 500
"""Architectures that stand for a space of which no table exists."""
_FEW = 3  # networks that say how long the others will take
_WORTH_TELLING_S = 5.0
_STEP_S = 0.5  # of evaluations between two steps of the bar

_log = logging.getLogger(__name__)


def uniform_sample(space: SearchSpace, count: int) -> list[Architecture]:
    """Return ``count`` uniform architectures of distinct networks, always the same; fewer where there are fewer.

    A larger sample begins with a smaller one.
    """
    rng = numpy_rng("uniform sample", space.name)
    networks: dict[str, Architecture] = {}
    for _ in range(20 * count):  # of a small space all are drawn, or nearly
        if len(networks) == min(count, space.size):
            break
        arch = space.sample(1, rng)[0]
        networks.setdefault(space.canonical(arch), arch)
    return list(networks.values())


class Remembered:
    """An oracle that evaluates each network once, and how long each took.

    Args:
        oracle: that is asked.
        space: of the architectures.
        kept: where ``evaluate`` keeps what it returns, and finds it in another session; None keeps nothing.
        content: a digest of all that decides what the oracle answers, which names what is kept.
    """

    def __init__(self, oracle: Oracle, space: SearchSpace, *, kept: Kept | None = None, content: str = "") -> None:
        self.name, self.oracle = oracle.name, oracle
        self._space, self._kept, self._content = space, kept, content
        self._known: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> Float[np.ndarray, " A"]:
        """See ``metad2a.oracles.base.Oracle.evaluate``; the seed is 0 for all."""
        return self._evaluate([archs])[0]

    def evaluate_all(self, lists: Sequence[Sequence[Architecture]]) -> list[Float[np.ndarray, " A"]]:
        """Return the accuracies in percent of several lists; what that takes is logged before, and after a few."""
        return self._evaluate(lists, tell=True)

    def timed(self, archs: Sequence[Architecture]) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, " A"]]:
        """Return accuracies in percent, and the CPU seconds that each took when it was evaluated."""
        texts = list(map(self._space.canonical, archs))
        self._ask({text: arch for text, arch in zip(texts, archs, strict=True) if text not in self._seconds})
        found = np.array([(self._known[text], self._seconds[text]) for text in texts], dtype=np.float64)
        return found.reshape(-1, 2)[:, 0], found.reshape(-1, 2)[:, 1]

    def _evaluate(
        self, lists: Sequence[Sequence[Architecture]], *, tell: bool = False
    ) -> list[Float[np.ndarray, " A"]]:
        """Return the accuracies of ``lists``; each is kept as soon as it is complete."""
        there = [self._recall(archs) for archs in lists]
        named: dict[str, Architecture] = {}
        for arch in chain.from_iterable(lists):
            named.setdefault(self._space.canonical(arch), arch)
        new = {text: arch for text, arch in named.items() if text not in self._known}
        if tell:
            _log.info(
                "%s: %s evaluations of %s networks, %s of which are kept from before",
                self.name,
                *(f"{number:,}" for number in (sum(map(len, lists)), len(named), len(named) - len(new))),
            )
        step = self._begin(new, tell=tell)
        found = []
        with Bar("evaluate networks", len(new), done=min(_FEW, len(new))) as bar:
            for archs, is_kept in zip(lists, there, strict=True):
                texts = list(map(self._space.canonical, archs))
                self._ask_by(step, {text: new[text] for text in texts if text not in self._known}, bar)
                values = [self._known[text] for text in texts]
                found.append(np.array(values, dtype=np.float64))
                if self._kept is not None and not is_kept:
                    self._kept.put(self._key(archs), {"accuracies": values})
        return found

    def _begin(self, new: dict[str, Architecture], *, tell: bool) -> int:
        """Evaluate the first few of ``new``, say how long the others will take; return how many to ask at once."""
        few, start = dict(list(new.items())[:_FEW]), time.monotonic()
        with Bar("evaluate networks", len(new)) as bar:
            self._ask_by(1, few, bar)
        each, left = (time.monotonic() - start) / max(len(few), 1), len(new) - len(few)
        if tell and each * left > _WORTH_TELLING_S:
            _log.info(
                "%s: %.2g s a network, about %s for the other %s", self.name, each, duration(each * left), left
            )
        return max(1, int(_STEP_S / max(each, 1e-9)))

    def _ask_by(self, step: int, new: dict[str, Architecture], bar: Bar) -> None:
        """Evaluate ``new`` networks, ``step`` at a time."""
        for place in range(0, len(new), step):
            some = dict(list(new.items())[place : place + step])
            self._ask(some)
            for _ in some:
                bar.advance()

    def _ask(self, new: dict[str, Architecture]) -> None:
        """Evaluate ``new`` networks by their canonical texts."""
        if not new:
            return
        start = time.process_time()
        values = self.oracle.evaluate(list(new.values())).tolist()
        each = (time.process_time() - start) / len(new)
        self._known |= dict(zip(new, values, strict=True))
        self._seconds |= dict.fromkeys(new, each)

    def _key(self, archs: Sequence[Architecture]) -> dict[str, Any]:
        texts = "\n".join(map(self._space.format, archs))
        digest = hashlib.blake2b(texts.encode(), digest_size=8).hexdigest()
        return {"what": "accuracies", "space": self._space.name, "oracle": self._content, "archs": digest}

    def _recall(self, archs: Sequence[Architecture]) -> bool:
        """Return whether the accuracies of ``archs`` are kept; then they are known."""
        found = None if self._kept is None else self._kept.get(self._key(archs))
        if found is not None:
            self._known |= dict(zip(map(self._space.canonical, archs), found["accuracies"], strict=True))
        return found is not None
