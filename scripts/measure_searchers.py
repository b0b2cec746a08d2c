"""How searchers do on a table of true accuracies: the best one found so far after so many evaluations.

python scripts/measure_searchers.py TABLE.csv COLUMN [--methods evolution bayesian] [--seeds 200] [--json]

Means and standard deviations over seeds. The axis of a method that proposes architectures again (evolution,
REINFORCE) counts these repeats, as its published curves do. Beside them stand curves that were measured before,
with other code, on CIFAR-10 of NAS-Bench-201 (200 seeds; the table holds the mean test accuracy of three trainings
of 200 epochs).
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from metad2a.oracles.table import TableOracle
from metad2a.search.base import get_searcher
from metad2a.spaces.nasbench201 import NASBench201

AT = (50, 100, 200, 300)
Method = tuple[str, dict[str, Any]]
METHODS: dict[str, Method] = {
    "random": ("random", {}),
    "evolution": ("evolution", {}),
    "reinforce": ("reinforce", {}),
    "local_search": ("local_search", {}),
    "local_search_full": ("local_search", {"full_neighbourhood": True}),
    "bayesian": ("bayesian", {}),
    "bayesian_ucb": ("bayesian", {"acquisition": "ucb"}),
    "bananas": ("bananas", {}),
    "bananas_ridge": ("bananas", {"member": "ridge"}),
}
REPEATING = ("evolution", "reinforce")
REFERENCE = {
    "random": ((93.70, 93.85, 93.95, 94.02), (0.26, 0.20, 0.18, 0.17)),
    "evolution": ((93.88, 94.15, 94.30, 94.34), (0.35, 0.23, 0.13, 0.07)),
    "reinforce": ((93.73, 93.91, 94.05, 94.15), (0.26, 0.22, 0.19, 0.16)),
    "local_search": ((94.15, 94.31, 94.36, 94.37), (0.30, 0.15, 0.05, 0.0)),
    "local_search_full": ((93.76, 94.21, 94.34, 94.36), (0.45, 0.22, 0.12, 0.06)),
}


def curve(method: Method, evaluate: Callable[..., np.ndarray], seed: int) -> list[float]:
    """Return the best value at ``AT``."""
    name, options = method
    searcher: Any = get_searcher(name, NASBench201(), seed=seed, **options)
    best, found, queries = 0.0, [0.0] * len(AT), 0
    while True:
        asked, queries = searcher.ask(1), queries + 1
        step = searcher.proposals if name in REPEATING else queries
        if step > AT[-1]:
            return found
        [value] = evaluate(asked).tolist()
        searcher.tell(asked, [value])
        best = max(best, value)
        found = [best if step <= at else before for at, before in zip(AT, found, strict=True)]


def measure(method: Method, oracle: TableOracle, seeds: int) -> dict[str, Any]:
    start = time.process_time()
    curves = np.array([curve(method, oracle.evaluate, seed) for seed in range(seeds)])
    return {
        "at": AT,
        "mean": curves.mean(0).tolist(),
        "std": curves.std(0, ddof=1).tolist() if seeds > 1 else [0.0] * len(AT),
        "best_found": float((curves[:, -1] == oracle.best).mean()),
        "seeds": seeds,
        "cpu_seconds": (time.process_time() - start) / seeds,
    }


def row(name: str, found: dict[str, Any]) -> str:
    cells = [f"{mean:.2f} ± {std:.2f}" for mean, std in zip(found["mean"], found["std"], strict=True)]
    before = [f"{mean:.2f} ± {std:.2f}" for mean, std in zip(*REFERENCE.get(name, ((), ())), strict=True)]
    cells += [f"{found['best_found']:.2f}", f"{found['cpu_seconds']:.2g}", ", ".join(before)]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", metavar="TABLE")
    parser.add_argument("column", metavar="COLUMN")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(REFERENCE))
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="one object with all numbers instead of a table")
    given = parser.parse_args()
    oracle = TableOracle.from_file(given.table, given.column, NASBench201())
    if given.json:
        print(json.dumps({name: measure(METHODS[name], oracle, given.seeds) for name in given.methods}))
        return
    head = " | ".join(f"{at}" for at in AT)
    print(f"| searcher | {head} | best cell found | CPU s | measured before |")
    print("|---|" + "---|" * (len(AT) + 3))
    for name in given.methods:
        print(row(name, measure(METHODS[name], oracle, given.seeds)), flush=True)


if __name__ == "__main__":
    main()
