"""The meta-test protocol: how good is what a search proposes, against a table of true accuracies?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.data.features import FeatureSet
from metad2a.errors import ConfigError, DataError
from metad2a.oracles.table import TableOracle
from metad2a.proxies.base import get_proxy
from metad2a.runtime import numpy_rng, progress
from metad2a.search.metad2a import MetaD2A
from metad2a.search.random_search import RandomSearch
from metad2a.search.result import SearchResult
from metad2a.training.ranking import rank_agreement

BUDGETS = (1, 2, 5, 10, 30, 100, 500)
_PROXIES = ("params", "flops")

Row = dict[str, float | dict[str, float]]


@dataclass(frozen=True)
class Evaluation:
    """Metrics over several seeds.

    Attributes:
        dataset: name.
        oracle: name of the table.
        runs: number of seeds.
        metrics: means; accuracies in percent.
        spread: standard deviations (n - 1), same keys; 0 for one run.
        baselines: for each baseline the same kind of numbers as ``metrics``.
        per_run: the numbers of each seed.
    """

    dataset: str
    oracle: str
    runs: int
    metrics: Row
    spread: Row
    baselines: dict[str, dict[str, Any]]
    per_run: list[Row]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metad2a evaluate json=FILE``; numbers that do not exist are null."""
        return {name: _without_nan(value) for name, value in vars(self).items()}


def best_of(true: Float[np.ndarray, " A"], budgets: Sequence[int] = BUDGETS) -> dict[str, float]:
    """Return the best true accuracy among the first 1, 2, 5 ... of a ranked list.

    A budget longer than the list counts the whole list.
    """
    running = np.maximum.accumulate(true)
    return {str(budget): float(running[min(budget, len(true)) - 1]) for budget in budgets}


def evaluate(
    model: MetaD2A,
    features: FeatureSet,
    oracle: TableOracle,
    *,
    seeds: int,
    n_candidates: int = 500,
    constrained: bool = True,
) -> Evaluation:
    """Search ``features`` once for each seed and compare with the truth and with baselines.

    The oracle is read only to score: nothing is chosen by it. ``best_of`` beyond 1 says what true evaluations
    of the first few would find; it is not what the search alone hands out. ``constrained`` as in
    ``MetaD2A.search``.

    Raises:
        ConfigError: ``seeds`` is no positive number.
        DataError: the oracle does not list the whole space.
    """
    if seeds < 1:
        raise ConfigError(f"seeds={seeds}: at least one run is needed.")
    archs = oracle.archs
    if model.space.listable and len(archs) < model.space.size:
        raise DataError(
            f"the oracle {oracle.name} lists {len(archs)} of {model.space.size} architectures of "
            f"'{model.space.name}'. Use a table of the whole space."
        )
    truth = oracle.evaluate(archs)
    runs, random_runs = [], []
    for seed in progress(range(seeds), label="evaluate"):
        result = model.search(features, n_candidates=n_candidates, random_state=seed, constrained=constrained)
        everywhere = model.predict(features, archs, random_state=seed)
        runs.append(_score(model, result, oracle) | _score_whole_space(everywhere, truth))
        asked = RandomSearch(model.space, seed=seed).ask(max(BUDGETS))
        random_runs.append(_picks(oracle.evaluate(asked), oracle.best))
    mean, spread = _mean_and_spread(runs)
    return Evaluation(
        dataset=features.name,
        oracle=oracle.name,
        runs=seeds,
        metrics=mean,
        spread=spread,
        baselines=_baselines(model, len(features.classes), oracle, random_runs),
        per_run=runs,
    )


def _picks(true: Float[np.ndarray, " A"], optimum: float) -> Row:
    return {"top1": float(true[0]), "best_of": best_of(true), "regret": float(optimum - true[0])}


def _score(model: MetaD2A, result: SearchResult, oracle: TableOracle) -> Row:
    true = oracle.evaluate([model.space.parse(candidate.arch) for candidate in result.candidates])
    # Ranks, not predictions: the printed ones are clipped to 0..100 and may tie.
    agreement = rank_agreement(-np.arange(len(true), dtype=float), true)
    return _picks(true, oracle.best) | {
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
    model: MetaD2A, num_classes: int, oracle: TableOracle, random_runs: list[Row]
) -> dict[str, dict[str, Any]]:
    mean, spread = _mean_and_spread(random_runs)
    baselines: dict[str, dict[str, Any]] = {"random": mean | {"spread": spread}}
    archs = oracle.archs
    truth = oracle.evaluate(archs)
    for name in _PROXIES:
        scores = get_proxy(name).score(model.space, archs, num_classes)
        # Ties are broken at random, not by the table's order, which may know more than the proxy does.
        shuffled = numpy_rng("ties", name).permutation(len(archs))
        order = shuffled[np.argsort(-scores[shuffled], kind="stable")]
        baselines[name] = _picks(truth[order], oracle.best) | {
            "kendall_all": rank_agreement(scores, truth)["kendall_tau"]
        }
    known = [model.space.parse(text) for text in model.checkpoint.train_archs]
    if known:
        baselines["static"] = _picks(oracle.evaluate(known), oracle.best)
    return baselines


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
