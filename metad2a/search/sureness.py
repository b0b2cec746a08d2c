"""How sure the predictor is of its order, and how far its numbers can be trusted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.models.checkpoint import Checkpoint
from metad2a.search.label_scale import label_scale
from metad2a.search.result import SearchResult

TOSS_UP = 0.6
"""Below this chance of being really better than another, a candidate cannot be told from it."""
_BOLD = 0.8  # chances above this are too bold, see docs/how-to/read-the-report.md, and are not told
_RANKS = (2, 5, 10, 50, 100)
_FIRST = 10


@dataclass(frozen=True)
class Sureness:
    """What is known of the predictor's errors; None where it is not.

    Attributes:
        draws: random draws of images that the predictions are means of.
        agreement: mean Spearman correlation of the candidates' order between two draws.
        first_stays: share of the draws in which the first candidate is among the first ten.
        first_spread: standard deviation of its prediction over the draws, in percent.
        spearman: rank correlation on meta-validation, over all records.
        spearman_advantage: the same without what is known from the task alone: what chooses networks.
        error: mean absolute error on meta-validation, in percent.
        pair_error: root mean square error of a predicted difference of two networks of a task, in percent.
        pair_error_measured: False where it is only deduced from ``error``.
        odds: by rank the chance, 0.5 to 0.8, that the first candidate is really better than that of the rank, on a
            data set like those of meta-training.
        tied: number of the first candidates that cannot be told apart: the first is better than any of these with
            odds below 0.6.
        target_mean: of the accuracies that the predictor was trained on, in percent.
        target_std: their standard deviation.
        recipe: by which they were made: its name, and what it is in words.
    """

    draws: int
    agreement: float | None
    first_stays: float | None
    first_spread: float | None
    spearman: float | None
    spearman_advantage: float | None
    error: float | None
    pair_error: float | None
    pair_error_measured: bool
    odds: Mapping[int, float]
    tied: int | None
    target_mean: float | None
    target_std: float | None
    recipe: str | None = None


def sureness(checkpoint: Checkpoint, result: SearchResult) -> Sureness:
    """Judge the predictions of ``result`` by their spread over draws and by the predictor's record."""
    scores: Mapping[str, Any] = checkpoint.metrics.get(checkpoint.ranking, {})
    error, pair_error = scores.get("val/mae"), scores.get("val/pair_error")
    measured = pair_error is not None
    if pair_error is None and error is not None:
        # Of two independent normal errors.
        pair_error = error * math.sqrt(math.pi)
    predicted = np.array([candidate.predicted for candidate in result.candidates])
    chances = None if not pair_error else chances_of_first(predicted, pair_error)
    ranks = [] if chances is None else [r for r in _RANKS if r <= len(predicted) and chances[r - 1] <= _BOLD]
    scale = label_scale(checkpoint)
    return Sureness(
        **_over_draws([candidate.draws for candidate in result.candidates]),
        spearman=scores.get("val/spearman"),
        spearman_advantage=scores.get("val/spearman_advantage"),
        error=error,
        pair_error=pair_error,
        pair_error_measured=measured,
        odds={} if chances is None else {rank: float(chances[rank - 1]) for rank in ranks},
        tied=None if chances is None else int((chances < TOSS_UP).sum()),
        target_mean=scale.mean,
        target_std=scale.std,
        recipe=scale.recipe,
    )


def chances_of_first(predicted: Float[np.ndarray, " A"], pair_error: float) -> Float[np.ndarray, " A"]:
    """Return the chance that the first is really better than each, where errors of differences are normal."""
    from scipy.special import ndtr

    chances: Float[np.ndarray, " A"] = ndtr((predicted[0] - predicted) / pair_error)
    return chances


def _over_draws(draws: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return what the draws of all candidates say, best candidate first."""
    from scipy.stats import rankdata

    count = len(draws[0])
    if count < 2 or len(draws) < 2:
        return {"draws": count, "agreement": None, "first_stays": None, "first_spread": None}
    values = np.array(draws)
    ranks = rankdata(-values, axis=0)
    constant = bool((np.ptp(ranks, axis=0) == 0).any())
    between = None if constant else np.corrcoef(ranks.T)[np.triu_indices(count, 1)]
    return {
        "draws": count,
        "agreement": None if between is None else float(between.mean()),
        "first_stays": float((ranks[0] <= _FIRST).mean()),
        "first_spread": float(values[0].std(ddof=1)),
    }
