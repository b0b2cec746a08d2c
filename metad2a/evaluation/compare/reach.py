"""How soon a method reaches what another one has at its end: evaluations and seconds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a.evaluation.compare.trajectory import Trajectory
from metad2a.evaluation.compare.volumes import Volumes

REACHED = ("evaluations", "low", "high", "seconds", "reached")
"""What ``grouped`` lists of a method."""
_EQUAL = 1e-9  # so much less is as good: the rest is rounding


def reach_rows(
    oracle: str, runs: Mapping[str, Sequence[Trajectory]], volumes: Volumes | None
) -> list[dict[str, Any]]:
    """Return for every method how soon it reaches what each method, itself too, has on average at its end.

    ``of`` is the other method, ``what`` is ``hypervolume`` or ``accuracy`` (the best true one found), ``target`` is
    the mean over the seeds of its value at its end. ``evaluations`` and ``seconds`` (the method's own CPU seconds
    and those of its evaluations, where they are known) are medians over the seeds; ``low`` and ``high`` the
    quartiles of the evaluations; None where so many seeds never get there. ``reached``: how many of ``seeds`` do.
    """
    curves: dict[str, Mapping[str, Sequence[Float[np.ndarray, " E"]]]] = (
        {} if volumes is None else {"hypervolume": volumes.curves}
    )
    curves["accuracy"] = {
        label: [np.maximum.accumulate(np.array(run.true)) for run in mine] for label, mine in runs.items()
    }
    return [
        {
            "oracle": oracle,
            "what": what,
            "method": method,
            "of": other,
            **_reach(mine[method], runs[method], target),
        }
        for what, mine in curves.items()
        for other, target in {label: float(np.mean([c[-1] for c in some])) for label, some in mine.items()}.items()
        for method in mine
    ]


def grouped(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``reach_rows`` without what they repeat: by oracle, ``what`` and ``of``, the target and the methods.

    Of a method there are the evaluations, their quartiles, the seconds and how many seeds get there; methods of
    which none does are left out.
    """
    found: dict[str, Any] = {}
    for row in rows:
        of_oracle = found.setdefault(row["oracle"], {}).setdefault(row["what"], {})
        group = of_oracle.setdefault(row["of"], {"target": row["target"], "methods": {}})
        if row["reached"]:
            group["methods"][row["method"]] = [row[name] for name in REACHED]
    return found


def _reach(
    curves: Sequence[Float[np.ndarray, " E"]], runs: Sequence[Trajectory], target: float
) -> dict[str, float | int | None]:
    evaluations, seconds = np.full(len(runs), np.inf), np.full(len(runs), np.inf)
    for seed, (curve, run) in enumerate(zip(curves, runs, strict=True)):
        place = int(np.searchsorted(curve, target - _EQUAL))  # curves never fall
        if place < len(curve):
            evaluations[seed], seconds[seed] = place + 1, run.clock[place]
    # Not interpolated: between a number and "never" there is nothing.
    low, median, high = np.quantile(evaluations, (0.25, 0.5, 0.75), method="inverted_cdf").tolist()
    return {
        "target": target,
        "evaluations": _known(median),
        "low": _known(low),
        "high": _known(high),
        "seconds": _known(float(np.quantile(seconds, 0.5, method="inverted_cdf"))),
        "reached": int(np.isfinite(evaluations).sum()),
        "seeds": len(runs),
    }


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
