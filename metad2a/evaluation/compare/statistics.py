"""Means with intervals, and whether two methods differ."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from metad2a.runtime import numpy_rng

ROUNDS = 2000
"""Draws of a bootstrap."""
FLIPS = 49_999
"""Random sign flips of a test; all of them where there are not more. Holm of hundreds of tests needs so many."""
_95_PERCENT = (0.025, 0.975)

Table = Float[np.ndarray, "S N"]
Row = Float[np.ndarray, " N"]


@dataclass(frozen=True)
class Means:
    """Of each column of a table with a row a seed.

    Attributes:
        mean: over the seeds.
        sd: standard deviation (n - 1); 0 for one seed.
        low: lower end of the 95 % bootstrap interval of the mean.
        high: its upper end.
    """

    mean: Row
    sd: Row
    low: Row
    high: Row


def means(values: Table) -> Means:
    """Return means over the seeds, with percentile intervals from redrawing seeds, all columns alike."""
    count = len(values)
    drawn = numpy_rng("bootstrap", count).multinomial(count, np.full(count, 1 / count), size=ROUNDS) / count
    low, high = np.quantile(drawn @ values, _95_PERCENT, axis=0)
    sd = values.std(0, ddof=1) if count > 1 else np.zeros(values.shape[1])
    return Means(values.mean(0), sd, low, high)


def paired_p(differences: Table) -> Row:
    """Return for each column how probable a mean so far from 0 is if signs are arbitrary (two-sided).

    A sign-flip permutation test, exact up to 15 seeds; NaN for a single seed. The smallest value that ``n`` seeds
    can give is ``2 ** (1 - n)``: fewer than six can show nothing at the level of 5 %.
    """
    from scipy import stats

    if len(differences) < 2:
        return np.full(differences.shape[1], np.nan)
    found = stats.permutation_test(
        (differences,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=FLIPS,
        batch=1000,
        axis=0,
        rng=numpy_rng("sign flips"),
    )
    # Equal up to rounding is equal.
    return np.where(np.abs(differences).max(0) < 1e-9, 1.0, found.pvalue)


def holm(p: Row) -> Row:
    """Return the values of ``p`` corrected for being so many (Holm); NaN stays and does not count."""
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return corrected
