"""What searchers with a model of the values have in common: they choose among random and mutated candidates."""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import islice
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float

from metad2a.errors import ConfigError
from metad2a.runtime import stream_seed
from metad2a.search.remembering import FAILED, Remembering
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.product import ProductSpace

_PARENTS = 10  # the best known ones, which are mutated
_GROWTH = 1.1  # a model is fitted anew when there are so many times as many values


class ModelOptions(TypedDict, total=False):
    """The options that all searchers with a model take; see ``ModelBased``, which has their defaults."""

    seed: int
    first: Sequence[Architecture]
    initial: int
    candidates: int
    every: int


class ModelBased(Remembering):
    """Asks for what a model of the known values holds for best, or for worth knowing.

    The first ``initial`` architectures are those of ``first``, filled up with uniform ones. Then the candidates are
    uniform architectures and, as many, the ten best known ones with one or two decisions changed. The model is
    fitted anew after ``every`` values, later after each tenth more. It is a function of the values alone: a state
    does not hold it, and it is fitted again after loading.

    Args:
        space: what is searched.
        seed: of all draws.
        first: see ``Remembering``.
        initial: values before there is a model.
        candidates: of each choice.
        every: values between two fits.

    Raises:
        ArchitectureError: one of ``first`` is none of the space.
        ConfigError: an option cannot be used.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        first: Sequence[Architecture] = (),
        initial: int = 10,
        candidates: int = 400,
        every: int = 10,
    ) -> None:
        for name, value, least in (("initial", initial, 2), ("candidates", candidates, 2), ("every", every, 1)):
            if value < least:
                raise ConfigError(f"{self.stream}: {name}={value}. Give a number of at least {least}.")
        super().__init__(space, seed=seed, first=first)
        self._seed, self._initial, self._candidates, self._every = seed, initial, candidates, every
        self._model: tuple[list[tuple[Architecture, float]], Any] = ([], None)  # the last fit, and to what it was

    @abstractmethod
    def _fit(self, x: Float[np.ndarray, "V F"], values: Float[np.ndarray, " V"]) -> Any:
        """Return a model of ``values``, that depends on nothing else but ``_fit_seed``."""

    @abstractmethod
    def _scores(self, model: Any, candidates: Float[np.ndarray, "A F"]) -> Float[np.ndarray, " A"]:
        """Return how much each candidate is worth asking for."""

    def _propose(self) -> Architecture:
        known = len(self._values)
        if known + len(self._pending) < self._initial or known < 2 or self._told(known)[1].std() == 0:
            return self._unseen()
        candidates = self._new_candidates()
        scores = self._scores(self._fitted(), one_hot(self._space, candidates))
        return candidates[int(scores.argmax())]

    def _learn(self, arch: Architecture, value: float) -> None:
        """Nothing is learned before the next choice."""

    def _told(self, count: int) -> tuple[list[Architecture], Float[np.ndarray, " V"]]:
        """Return what was told first; failures are worth as much as the worst that did not fail."""
        values = np.array(list(islice(self._values.values(), count)), dtype=np.float64)
        failed = values == FAILED
        values[failed] = 0.0 if failed.all() else values[~failed].min()
        return list(islice(self._values, count)), values

    def _fitted(self) -> Any:
        """Return the model of the values that were known at the last time to fit."""
        count = following = min(len(self._values), self._initial)
        while following <= len(self._values):
            count, following = following, max(following + self._every, int(_GROWTH * following))
        known = list(islice(self._values.items(), count))
        if self._model[0] != known:
            archs, values = self._told(count)
            self._model = known, self._fit(one_hot(self._space, archs), values)
        return self._model[1]

    def _fit_seed(self, *key: int | str) -> int:
        return stream_seed(self._seed, self.stream, "fit", *key)

    def _own_state(self) -> dict[str, Any]:
        return {"seed": self._seed}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self._seed = int(state["seed"])
        self._model = ([], None)

    def _new_candidates(self) -> list[Architecture]:
        archs, values = self._told(len(self._values))
        best = [archs[place] for place in np.argsort(-values, kind="stable")[:_PARENTS]]
        half = self._candidates // 2
        drawn = self._space.sample(self._candidates - half, self._rng)
        parents = self._rng.integers(len(best), size=half).tolist()
        twice = self._rng.integers(2, size=half).tolist()
        for parent, again in zip(parents, twice, strict=True):
            child = self._space.mutate(best[parent], self._rng)
            drawn.append(self._space.mutate(child, self._rng) if again else child)
        return [arch for arch in dict.fromkeys(drawn) if not self._known(arch)] or [self._unseen()]


def one_hot(space: SearchSpace, archs: Sequence[Architecture]) -> Float[np.ndarray, "A F"]:
    """Return the decisions of ``archs`` as zeros and ones; of a space without independent ones, their graphs."""
    if isinstance(space, ProductSpace):
        table = space.choices(archs)
        columns = [np.eye(count)[table[:, place]] for place, count in enumerate(space.options)]
        return np.concatenate(columns, axis=1)
    graphs = space.encode(archs)
    types: Any = np.eye(space.num_types)[graphs.types.numpy()] * graphs.mask.numpy()[..., None]
    upper = np.triu_indices(graphs.types.shape[1], 1)
    return np.concatenate([types.reshape(len(archs), -1), graphs.edges.numpy()[:, *upper]], axis=1)
