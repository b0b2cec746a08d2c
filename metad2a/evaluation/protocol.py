"""The meta-test protocol: how good is what a search proposes, against an oracle of true accuracies?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.data.features import FeatureSet
from metad2a.errors import ConfigError, DataError
from metad2a.evaluation.asking import SAMPLE, Remembered, uniform_sample
from metad2a.evaluation.compare.networks import COSTS, costs_of
from metad2a.oracles.base import Oracle
from metad2a.oracles.table import TableOracle
from metad2a.runtime import numpy_rng, progress
from metad2a.search.constraints import Costs
from metad2a.search.extremes import Descending
from metad2a.search.metad2a import MetaD2A
from metad2a.search.random_search import RandomSearch
from metad2a.spaces.base import Architecture
from metad2a.training.ranking import rank_agreement

BUDGETS = (1, 2, 5, 10, 30, 100, 500)
SEARCH = "MetaD2A"
"""How the list of the search is called beside the baselines'."""

Row = dict[str, float | dict[str, float]]


@dataclass(frozen=True)
class Evaluation:
    """Metrics over several seeds.

    Attributes:
        dataset: name.
        oracle: name of the oracle.
        runs: number of seeds.
        metrics: means; accuracies in percent.
        spread: standard deviations (n - 1), same keys; 0 for one run.
        baselines: for each baseline the same kind of numbers as ``metrics``.
        per_run: the numbers of each seed.
        archs: how many architectures the correlations "all" and "top10pct" are over: all that a table lists, else
            so many drawn uniformly.
        lists: how many architectures are in the list of the search, and in that of each baseline; of several runs
            in the shortest. ``best_of`` more than these is the best of these.
    """

    dataset: str
    oracle: str
    runs: int
    metrics: Row
    spread: Row
    baselines: dict[str, dict[str, Any]]
    per_run: list[Row]
    archs: int = 0
    lists: Mapping[str, int] = field(default_factory=dict)

    def budgets(self, name: str) -> list[int]:
        """Return those of ``BUDGETS`` that the list of a baseline, or of ``SEARCH``, is long enough for."""
        return [budget for budget in BUDGETS if budget <= self.lists.get(name, budget)]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metad2a evaluate json=FILE``; numbers that do not exist are null."""
        return {name: _without_nan(value) for name, value in vars(self).items()}


def best_of(true: Float[np.ndarray, " A"], budgets: Sequence[int] = BUDGETS) -> dict[str, float]:
    """Return the best true accuracy among the first 1, 2, 5 ... of a ranked list.

    A budget longer than the list counts the whole list.
    """
    running = np.maximum.accumulate(true)
    return {str(budget): float(running[min(budget, len(true)) - 1]) for budget in budgets}


@dataclass(frozen=True)
class _Known:
    """What is known without a search.

    Attributes:
        oracle: the truth.
        costs: of the networks that it is about.
        archs: all that a table lists, else uniform ones.
        most: how many architectures of a baseline are evaluated.
        listed: whether ``archs`` are all.
    """

    oracle: TableOracle | Remembered
    costs: Costs
    archs: list[Architecture]
    most: int
    listed: bool

    def truths(self, lists: Sequence[Sequence[Architecture]]) -> list[Float[np.ndarray, " A"]]:
        """Return the true accuracies of each of ``lists``."""
        if isinstance(self.oracle, Remembered):
            return self.oracle.evaluate_all(lists)
        return [self.oracle.evaluate(archs) for archs in lists]


def evaluate(
    model: MetaD2A,
    features: FeatureSet,
    oracle: Oracle,
    *,
    seeds: int,
    n_candidates: int = 500,
    constrained: bool = True,
    sample: int = SAMPLE,
    want: Mapping[str, float] | None = None,
) -> Evaluation:
    """Search ``features`` once for each seed and compare with the truth and with baselines.

    The oracle is read only to score: nothing is chosen by it. ``best_of`` beyond 1 says what true evaluations
    of the first few would find; it is not what the search alone hands out. ``constrained`` and ``want`` as in
    ``MetaD2A.search``.

    Of an oracle that is no table, correlations over all architectures are those over ``sample`` uniform ones,
    regret is against the best that is known at the end, and baselines evaluate no more than ``n_candidates``.
    How much it is asked is logged before it is. Given as ``Remembered``, it may keep what it answers.

    Raises:
        ConfigError: ``seeds`` is no positive number, or the generator cannot be told what is wanted.
        DataError: a table does not list the whole space.
    """
    if seeds < 1:
        raise ConfigError(f"seeds={seeds}: at least one run is needed.")
    model.generator.aim(want)
    asked = oracle.oracle if isinstance(oracle, Remembered) else oracle
    known = _known(oracle, costs_of(asked, model.space, len(features.classes)), n_candidates, sample)
    found, random, predicted = [], [], []
    for seed in progress(range(seeds), label="search"):
        result = model.search(
            features, n_candidates=n_candidates, random_state=seed, constrained=constrained, want=want
        )
        found.append([model.space.parse(candidate.arch) for candidate in result.candidates])
        predicted.append(model.predict(features, known.archs, random_state=seed))
        random.append(RandomSearch(model.space, seed=seed).ask(known.most))
    baselines, scores = _baselines(model, known)
    truth, *true = known.truths([known.archs, *found, *random, *baselines.values()])
    optimum = float(max(map(np.max, (truth, *true))))
    runs = [
        _score(values, optimum) | _score_whole_space(everywhere, truth)
        for values, everywhere in zip(true[:seeds], predicted, strict=True)
    ]
    mean, spread = _mean_and_spread(runs)
    mean_random, spread_random = _mean_and_spread([_picks(values, optimum) for values in true[seeds : 2 * seeds]])
    correlations: dict[str, Row] = {
        name: {"kendall_all": rank_agreement(of, truth)["kendall_tau"]} for name, of in scores.items()
    }
    rows = {
        name: _picks(values, optimum) | correlations.get(name, {})
        for name, values in zip(baselines, true[2 * seeds :], strict=True)
    }
    return Evaluation(
        dataset=features.name,
        oracle=oracle.name,
        runs=seeds,
        metrics=mean,
        spread=spread,
        baselines={"random": mean_random | {"spread": spread_random}, **rows},
        per_run=runs,
        archs=len(known.archs),
        lists={SEARCH: min(map(len, found)), "random": min(map(len, random))}
        | {name: len(archs) for name, archs in baselines.items()},
    )


def _known(oracle: Oracle, costs: Costs, n_candidates: int, sample: int) -> _Known:
    space = costs.space
    if not isinstance(oracle, TableOracle):
        asked = oracle if isinstance(oracle, Remembered) else Remembered(oracle, space)
        archs = uniform_sample(space, sample)
        most = min(max(BUDGETS), n_candidates)
        return _Known(asked, costs, archs, most, listed=False)
    archs = oracle.archs
    if space.listable and len(archs) < space.size:
        raise DataError(
            f"the oracle {oracle.name} lists {len(archs)} of {space.size} architectures of "
            f"'{space.name}'. Use a table of the whole space."
        )
    return _Known(oracle, costs, archs, max(BUDGETS), listed=True)


def _picks(true: Float[np.ndarray, " A"], optimum: float) -> Row:
    return {"top1": float(true[0]), "best_of": best_of(true), "regret": float(optimum - true[0])}


def _score(true: Float[np.ndarray, " A"], optimum: float) -> Row:
    # Ranks, not predictions: the printed ones are clipped to 0..100 and may tie.
    agreement = rank_agreement(-np.arange(len(true), dtype=float), true)
    return _picks(true, optimum) | {
        "kendall_generated": agreement["kendall_tau"],
        "spearman_generated": agreement["spearman"],
        "mean_generated": float(true.mean()),
    }


def _score_whole_space(predicted: Float[np.ndarray, " A"], truth: Float[np.ndarray, " A"]) -> Row:
    top = truth >= np.quantile(truth, 0.9)
    return {
        "kendall_all": rank_agreement(predicted, truth)["kendall_tau"],
        "spearman_all": rank_agreement(predicted, truth)["spearman"],
        "kendall_top10pct": rank_agreement(predicted[top], truth[top])["kendall_tau"],
    }


def _baselines(
    model: MetaD2A, known: _Known
) -> tuple[dict[str, list[Architecture]], dict[str, Float[np.ndarray, " A"]]]:
    """Return the architectures of each baseline in its order, and the scores that some give all ``known.archs``."""
    found: dict[str, list[Architecture]] = {}
    scores: dict[str, Float[np.ndarray, " A"]] = {}
    for name in COSTS:
        score = partial(known.costs.of, name)
        scores[name] = score(known.archs)
        if known.listed:
            # Ties are broken at random, not by the table's order, which may know more than the proxy does.
            shuffled = numpy_rng("ties", name).permutation(len(known.archs))
            order = shuffled[np.argsort(-scores[name][shuffled], kind="stable")]
            found[name] = [known.archs[place] for place in order]
        else:
            found[name] = Descending(model.space, score).ask(known.most)
    static = [model.space.parse(text) for text in model.checkpoint.train_archs]
    if static:
        found["static"] = static if known.listed else static[: known.most]
    return found, scores


def _mean_and_spread(rows: Sequence[Row]) -> tuple[Row, Row]:
    """Return means and standard deviations of equal-shaped rows, nested ones included."""
    mean: Row = {}
    spread: Row = {}
    for name, first in rows[0].items():
        if isinstance(first, Mapping):
            inner_mean, inner_spread = _mean_and_spread([row[name] for row in rows])  # type: ignore[misc]
            mean[name], spread[name] = inner_mean, inner_spread  # type: ignore[assignment]
        else:
            values = np.array([row[name] for row in rows], dtype=float)
            mean[name] = float(values.mean())
            spread[name] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return mean, spread


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and np.isnan(value) else value
