"""NSGANetV2: a surrogate of the error and NSGA-II look for the best trade-offs of error and cost."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.errors import ConfigError, unknown_name
from metad2a.runtime import numpy_rng, stream_seed
from metad2a.search.hypervolume import check_pymoo
from metad2a.search.nsganetv2_surrogates import CODINGS, KINDS, SWITCHED, choose
from metad2a.search.pareto import pareto_front
from metad2a.search.remembering import FAILED, Remembering
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.extremes import best_by
from metad2a.spaces.product import ProductSpace

Cost = Callable[[Sequence[Architecture]], Float[np.ndarray, " A"]]
ADAPTIVE = "adaptive"
COSTS = ("flops", "params")
_CLASSES = 10  # of the networks whose cost is counted, where nobody says


class NSGANetV2(Remembering):
    """Asks for what a surrogate and NSGA-II hold for the best trade-offs of error and cost.

    Lu et al., "NSGANetV2: Evolutionary Multi-Objective Surrogate-Assisted Neural Architecture Search", ECCV 2020.
    First come ``first``, the architectures of least and of most cost, and uniform ones, ``doe`` in all (the design
    of experiments). Then, in each iteration, a surrogate learns the errors from the decisions. NSGA-II minimises
    what it predicts and the true cost, which is counted and not predicted, from the best trade-offs known. Of its
    last population those ``k`` are asked for whose costs fill the gaps between the known trade-offs. Networks that
    are the same (``SearchSpace.canonical``) are asked for once, as long as there are others.

    Differences from the paper's code: the surrogate may read the decisions as ones and zeros instead of numbers
    (``coding``), decisions that a network does not depend on are zero, there are 100 trees instead of 5,000, and
    the first population of NSGA-II is filled up with other known architectures.

    Args:
        space: what is searched; its decisions must be independent.
        seed: of all draws.
        first: see ``Remembering``; to start from MetaD2A, its candidates.
        doe: architectures before there is a surrogate.
        k: asked for in an iteration.
        surrogate: ``rbf``, ``gp``, ``carts``, ``mlp``, or ``adaptive``: in each iteration that of the first three
            which ranks best in a ten-fold validation.
        coding: ``ordinal``, ``one_hot``, or ``adaptive``: which ranks best, too.
        population: of NSGA-II.
        generations: of NSGA-II.
        cost: ``flops`` or ``params``; in Python also a function from architectures to their costs.
        num_classes: of the networks whose cost is counted.

    Raises:
        ArchitectureError: one of ``first`` is none of the space.
        ConfigError: an option cannot be used, the space's decisions are not independent, or pymoo is not installed.
        UnknownNameError: there is no such surrogate, coding or cost.
    """

    stream = "nsganetv2"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        first: Sequence[Architecture] = (),
        doe: int = 100,
        k: int = 8,
        surrogate: str = ADAPTIVE,
        coding: str = ADAPTIVE,
        population: int = 40,
        generations: int = 20,
        cost: str | Cost = "flops",
        num_classes: int = _CLASSES,
    ) -> None:
        check_pymoo()
        if not isinstance(space, ProductSpace):
            raise ConfigError(
                f"nsganetv2 searches spaces of independent decisions; '{space.name}' is none. Use another searcher."
            )
        numbers = {"doe": (doe, 2), "k": (k, 1), "population": (population, 4), "generations": (generations, 1)}
        for name, (value, least) in numbers.items():
            if value < least:
                raise ConfigError(f"nsganetv2: {name}={value}. Give a number of at least {least}.")
        self._kinds = _named("surrogate", surrogate, KINDS, SWITCHED)
        self._codings = _named("coding", coding, CODINGS, tuple(CODINGS))
        super().__init__(space, seed=seed, first=_distinct_networks(space, first))
        self._decisions: ProductSpace = space
        self._seed, self._doe, self._k = seed, doe, k
        self._population, self._generations = population, generations
        self._cost = _cost(space, cost, num_classes)
        self._waiting = deque(self._design())  # to be asked for next
        self._history: list[str] = []  # the surrogate of each iteration

    # --- what is known ------------------------------------------------------------------------------------

    @property
    def surrogates(self) -> list[str]:
        """Kind and coding of the surrogate of each iteration so far."""
        return list(self._history)

    def cost(self, archs: Sequence[Architecture]) -> Float[np.ndarray, " A"]:
        """Return the second objective of each architecture."""
        return np.asarray(self._cost(archs), dtype=np.float64)

    def front(self) -> list[tuple[Architecture, float, float]]:
        """Return the best trade-offs of all that was told: architecture, value and cost, cheapest first."""
        known = [(arch, value) for arch, value in self._values.items() if value != FAILED]
        values = np.array([value for _, value in known])
        costs = self.cost([arch for arch, _ in known])
        return [(known[i][0], float(values[i]), float(costs[i])) for i in pareto_front(values, costs)]

    # --- a method -----------------------------------------------------------------------------------------

    def _propose(self) -> Architecture:
        while self._waiting:
            arch = self._waiting.popleft()
            if not self._known(arch):
                return arch
        told = np.array(list(self._values.values()))
        if len(set(told[told != FAILED].tolist())) < 2:
            return self._unseen()
        self._waiting.extend(self._iterate())
        return self._waiting.popleft() if self._waiting else self._unseen()

    def _learn(self, arch: Architecture, value: float) -> None:
        """Nothing is learned before the next iteration."""

    def _own_state(self) -> dict[str, Any]:
        waiting = [self._space.format(arch) for arch in self._waiting]
        return {"seed": self._seed, "waiting": waiting, "surrogates": list(self._history)}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self._seed = int(state["seed"])
        self._waiting = deque(self._space.parse(text) for text in state["waiting"])
        self._history = list(state["surrogates"])

    # --- its steps ----------------------------------------------------------------------------------------

    def _design(self) -> list[Architecture]:
        """Return what is evaluated first, but for ``first``: smallest, largest and uniform architectures."""
        wanted = max(0, min(self._doe, self._space.size) - len(self._first))
        if not wanted:
            return []
        drawn = self._space.sample(4 * wanted, self._rng)
        extremes = [best_by(self._space, lambda archs: -self.cost(archs)), best_by(self._space, self.cost)]
        return _distinct_networks(self._space, [*self._first, *extremes, *drawn])[len(self._first) :][:wanted]

    def _iterate(self) -> list[Architecture]:
        """Return what one iteration asks for: up to ``k`` networks that are not known."""
        from metad2a.search.nsganetv2_pymoo import evolve, spread_out

        archs, errors = list(self._values), -np.array(list(self._values.values()))
        failed = ~np.isfinite(errors)
        errors[failed] = errors[~failed].max()
        seed = stream_seed(self._seed, self.stream, len(self._history), len(archs)) % 2**31
        name, predict = choose(self._decisions, archs, errors, kinds=self._kinds, codings=self._codings, seed=seed)
        self._history.append(name)
        costs = self.cost(archs)

        def objectives(table: np.ndarray) -> np.ndarray:
            queried = self._archs(table)
            return np.column_stack([predict(queried), self.cost(queried)])

        front = [i for i in pareto_front(-errors, costs) if not failed[i]]
        start = self._start(archs, front, seed)
        found = evolve(
            self._decisions.options,
            objectives,
            self._decisions.choices(start),
            generations=self._generations,
            seed=seed,
        )
        new = self._new_networks(self._archs(found))
        chosen = spread_out(costs[front], self.cost(new), k=self._k, seed=seed)
        return [new[i] for i in chosen]

    def _start(self, archs: Sequence[Architecture], front: Sequence[int], seed: int) -> list[Architecture]:
        """Return the first population of NSGA-II: the known front, other known ones, and uniform ones."""
        rng = numpy_rng(seed, "first population")
        order = [*front, *rng.permutation(len(archs)).tolist()]
        known = [archs[i] for i in order]
        drawn = self._space.sample(self._population, rng)
        return list(dict.fromkeys([*known, *drawn]))[: self._population]

    def _archs(self, table: np.ndarray) -> list[Architecture]:
        return [Architecture(self._space.name, tuple(row)) for row in table.tolist()]

    def _new_networks(self, archs: Sequence[Architecture]) -> list[Architecture]:
        """Return those of ``archs`` whose networks were never asked for, each network once."""
        known = [*self._values, *self._pending]
        return _distinct_networks(self._space, [*known, *archs], without={*map(self._space.canonical, known)})


def _distinct_networks(
    space: SearchSpace, archs: Sequence[Architecture], *, without: set[str] | None = None
) -> list[Architecture]:
    """Return the first architecture of each network, but for those whose canonical text is in ``without``."""
    networks: dict[str, Architecture] = {}
    for arch in archs:
        networks.setdefault(space.canonical(arch), arch)
    return [arch for text, arch in networks.items() if text not in (without or ())]


def _named(option: str, name: str, known: dict[str, Any], switched: tuple[str, ...]) -> tuple[str, ...]:
    if name == ADAPTIVE:
        return switched
    if name not in known:
        raise unknown_name(f"{option} of nsganetv2", name, [ADAPTIVE, *known])
    return (name,)


def _cost(space: SearchSpace, cost: str | Cost, num_classes: int) -> Cost:
    if not isinstance(cost, str):
        return cost
    if cost == "flops":
        return lambda archs: space.flops(archs, num_classes, space.resolution)
    if cost == "params":
        return lambda archs: space.params(archs, num_classes)
    raise unknown_name("cost of nsganetv2", cost, COSTS)
