"""The paper's protocol on data sets with a table of true accuracies, and the quality of what is generated.

Lee, Hyung, Hwang, "Rapid Neural Architecture Search by Learning to Generate Graphs from Datasets", ICLR 2021.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from metad2a.data.features import FeatureSet
from metad2a.errors import ConfigError
from metad2a.evaluation.protocol import best_of
from metad2a.oracles.table import TableOracle
from metad2a.proxies.base import get_proxy
from metad2a.runtime import numpy_rng, progress, torch_rng
from metad2a.search.constraints import Limits
from metad2a.search.generation import draw_sets, generate
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.base import Architecture
from metad2a.training.ranking import rank_agreement

FIRST = (1, 2, 5, 10, 30)
"""How many of the first are evaluated. 1 is what a search hands out; 30 and the test accuracy is the paper's."""
_GRAPHS_A_BATCH = 100

Row = dict[str, float | None]


# --- means over runs ------------------------------------------------------------------------------------------


def t_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and half of its 95 % confidence interval by Student's t; None for a single value."""
    from scipy import stats

    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, None
    return mean, float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))


def _summary(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the mean and the interval of every column; a value that is not known in one run is not known."""
    summary: dict[str, Row] = {"mean": {}, "interval95": {}}
    for name in rows[0]:
        values = [value for row in rows if (value := row[name]) is not None]
        known = len(values) == len(rows)
        summary["mean"][name], summary["interval95"][name] = t_interval(values) if known else (None, None)
    return summary


# --- search against a table -----------------------------------------------------------------------------------


def search_table(
    model: MetaD2A, features: FeatureSet, oracle: TableOracle, *, runs: int, n_candidates: int = 500
) -> dict[str, Any]:
    """Run the paper's CIFAR protocol: in each run generate freely, score, sort, and look up the first ones.

    Each run draws ``n_candidates`` distinct valid cells, every graph from another draw of the data set, and scores
    them with ten draws. ``best_of_30`` is the paper's number: of the 30 with the highest scores the one with the
    best *test* accuracy, which no search could know. ``best_of_1`` is what it hands out.

    Returns:
        Plain data: ``mean`` and ``interval95`` over the runs, ``baselines`` of the same kind, ``per_run``.
        Accuracies are in percent; ``kendall`` and ``spearman`` are of predicted and true order of the generated;
        None where that is not defined.

    Raises:
        ConfigError: ``runs`` is no positive number.
        DataError: the oracle lacks a cell that was generated.
        LimitError: the generator makes no valid cell.
    """
    if runs < 1:
        raise ConfigError(f"runs={runs}: at least one run is needed.")
    rows: list[Row] = []
    shuffled: list[Row] = []
    random: list[Row] = []
    truth = oracle.evaluate(oracle.archs)
    for run in progress(range(runs), label=f"search {features.name}"):
        result = model.search(features, n_candidates=n_candidates, random_state=run, constrained=False)
        true = oracle.evaluate([model.space.parse(candidate.arch) for candidate in result.candidates])
        # Ranks, not predictions: the printed ones are clipped to 0..100 and may tie.
        agreement = rank_agreement(-np.arange(len(true), dtype=float), true)
        rows.append(
            _picks(true)
            | {
                "mean_generated": float(true.mean()),
                "kendall": _number(agreement["kendall_tau"]),
                "spearman": _number(agreement["spearman"]),
                "generated": float(len(true)),
                "sampled": float(result.generation["sampled"]),
                "seconds": result.timing["total_s"],
            }
        )
        shuffled.append(_picks(numpy_rng(run, "shuffle generated").permutation(true)))
        random.append(_picks(numpy_rng(run, "random cells").permutation(truth)))
    return {
        "dataset": features.name,
        "runs": runs,
        "candidates": n_candidates,
        **_summary(rows),
        "optimum": oracle.best,
        "baselines": {
            "generated, in random order": _summary(shuffled),
            "random cells": _summary(random),
            "most parameters": {"mean": _picks(truth[_by_size(model, features, oracle)])},
        },
        "per_run": rows,
    }


def _picks(true: Float[np.ndarray, " A"]) -> Row:
    return {f"best_of_{budget}": value for budget, value in best_of(true, FIRST).items()}


def _by_size(model: MetaD2A, features: FeatureSet, oracle: TableOracle) -> Int[np.ndarray, " A"]:
    """Return the order of the oracle's architectures from most to fewest parameters; ties at random."""
    params = get_proxy("params").score(model.space, oracle.archs, len(features.classes))
    shuffled = numpy_rng("ties", "params").permutation(len(params))
    return shuffled[np.argsort(-params[shuffled], kind="stable")]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


# --- what is generated ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quality:
    """What a generator makes.

    Attributes:
        sampled: graphs.
        valid: of these, architectures.
        distinct: different ones among them.
        novel: of these, not seen in meta-training; None when that is not known.
    """

    sampled: int
    valid: int
    distinct: int
    novel: int | None

    def shares(self) -> dict[str, float | None]:
        """Return ``validity`` of the graphs, ``uniqueness`` of the valid, ``novelty`` of the distinct; percent."""
        return {
            "validity": _percent(self.valid, self.sampled),
            "uniqueness": _percent(self.distinct, self.valid),
            "novelty": None if self.novel is None else _percent(self.novel, self.distinct),
        }


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


@torch.inference_mode()
def drawn_quality(
    model: MetaD2A,
    features: FeatureSet,
    n: int,
    *,
    constrained: bool,
    known: Collection[Architecture] | None = None,
    random_state: int = 0,
) -> Quality:
    """Draw ``n`` graphs independently, each from a draw of the data set of its own, and count.

    Args:
        model: its generator is used.
        features: of the data set.
        n: graphs.
        constrained: False lets the decoder run free, as the official one does.
        known: architectures of the meta-training.
        random_state: same state, same result.

    Raises:
        CheckpointError: the generator cannot run free.
    """
    rng = torch_rng(random_state, "quality")
    rules = model.space if constrained else None
    valid: list[Architecture] = []
    for start in progress(range(0, n, _GRAPHS_A_BATCH), label="generate"):
        size = min(_GRAPHS_A_BATCH, n - start)
        draws = draw_sets(features, size, model.checkpoint.images_per_class, rng)
        latents = torch.cat([model.generator.latents(sets.to(model.device)) for sets in draws])
        graphs = model.generator.sample(latents, rules=rules, generator=rng)
        decoded = model.space.decode(graphs if constrained else graphs[graphs.connected()])
        valid += [arch for arch in decoded if arch is not None]
    return _quality(n, valid, known)


def handed_out_quality(
    model: MetaD2A,
    features: FeatureSet,
    n: int,
    *,
    known: Collection[Architecture] | None = None,
    random_state: int = 0,
) -> Quality:
    """Count what a search would hand out: ``n`` architectures by the space's rules, none of them twice."""
    made = generate(
        model.generator,
        model.space,
        features,
        n=n,
        images_per_class=model.checkpoint.images_per_class,
        limits=Limits(),
        generator=torch_rng(random_state, "generate"),
        device=model.device,
    )
    return _quality(len(made.archs), made.archs, known)


def _quality(sampled: int, valid: Sequence[Architecture], known: Collection[Architecture] | None) -> Quality:
    distinct = set(valid)
    novel = None if known is None else len(distinct.difference(known))
    return Quality(sampled, len(valid), len(distinct), novel)
