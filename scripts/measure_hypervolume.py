"""Hypervolume of error and multiply-adds against evaluations: random search, NSGANetV2, NSGANetV2 from given cells.

python scripts/measure_hypervolume.py nasbench201 TABLE.csv:COLUMN OUT.json [--seeds 3] [--evaluations 260]
python scripts/measure_hypervolume.py mobilenetv3 accuracy.safetensors:224 OUT.json [--first RESULT.json]

The reference point is 1.01 times the worst of NSGANetV2's first 100 architectures with seed 0, the same for all. On
a table of a whole space the hypervolume of its true front is known, and what is told is the part of that. The file
of ``--first`` is one that ``metad2a search --json`` wrote: its first candidates, half as many as the design of
experiments, are evaluated first. CPU seconds are of the searcher alone.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metad2a.oracles.base import Oracle
from metad2a.oracles.opening import open_oracle
from metad2a.oracles.table import TableOracle
from metad2a.runtime import write_json
from metad2a.search.base import get_searcher
from metad2a.search.hypervolume import hypervolume, hypervolume_curve, reference_point
from metad2a.search.nsganetv2 import NSGANetV2
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.registry import get_space

WIDTHS = {"mobilenetv3": {"width": 120}}  # the networks whose accuracies Once-for-All's predictor knows
CLASSES = {"mobilenetv3": 1000}
PORTION = 8


class Problem:
    """Errors in percent and multiply-adds of architectures."""

    def __init__(self, space: SearchSpace, oracle: Oracle) -> None:
        self.space, self.oracle = space, oracle

    def costs(self, archs: Sequence[Architecture]) -> np.ndarray:
        """Return multiply-adds."""
        scale = WIDTHS.get(self.space.name, {})
        found = self.space.flops(archs, CLASSES.get(self.space.name, 10), self.space.resolution, **scale)
        return found.astype(float)

    def objectives(self, archs: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray]:
        """Return errors and multiply-adds."""
        return 100 - self.oracle.evaluate(archs), self.costs(archs)


def run(problem: Problem, name: str, options: dict[str, Any], seed: int, evaluations: int) -> dict[str, Any]:
    """Return what a searcher evaluated."""
    start, searcher = time.process_time(), get_searcher(name, problem.space, seed=seed, **options)
    spent, asked = time.process_time() - start, []
    while len(asked) < evaluations:
        start = time.process_time()
        archs = searcher.ask(min(PORTION, evaluations - len(asked)))
        spent += time.process_time() - start
        values = problem.oracle.evaluate(archs)
        start = time.process_time()
        searcher.tell(archs, values.tolist())
        spent += time.process_time() - start
        asked += archs
    errors, costs = problem.objectives(asked)
    return {
        "errors": errors,
        "costs": costs,
        "cpu_seconds": spent,
        "surrogates": getattr(searcher, "surrogates", []),
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    space = get_space(given.space)
    path, _, column = given.oracle.rpartition(":")
    problem = Problem(space, open_oracle(path, column, space))
    nsga = {"surrogate": given.surrogate, "cost": problem.costs}
    methods: dict[str, tuple[str, dict[str, Any]]] = {"random": ("random", {}), "nsganetv2": ("nsganetv2", nsga)}
    if given.first:
        found = json.loads(Path(given.first).read_text("utf-8"))["candidates"][: given.doe // 2]
        first = [space.parse(candidate["arch"]) for candidate in found]
        methods["nsganetv2 from metad2a"] = "nsganetv2", nsga | {"first": first}
    if given.methods:
        methods = {name: methods[name] for name in given.methods}
    reference = reference_point(*problem.objectives(NSGANetV2(space, cost=problem.costs).ask(100)))
    whole = 1.0
    if isinstance(problem.oracle, TableOracle):
        whole = hypervolume(*problem.objectives(problem.oracle.archs), reference)
    at = [count for count in (10, 30, 60, 100, 150, 200, 260, 340) if count <= given.evaluations]
    result: dict[str, Any] = {"at": at, "reference": reference, "whole": whole, "methods": {}}
    for name, (searcher, options) in methods.items():
        if searcher == "nsganetv2":
            options = options | {"doe": given.doe}
        runs = [run(problem, searcher, options, seed, given.evaluations) for seed in range(given.seeds)]
        curves = np.stack([hypervolume_curve(one["errors"], one["costs"], reference, at) for one in runs]) / whole
        result["methods"][name] = {
            "mean": curves.mean(0).tolist(),
            "std": curves.std(0, ddof=1).tolist() if given.seeds > 1 else [0.0] * len(at),
            "cpu_seconds": float(np.mean([one["cpu_seconds"] for one in runs])),
            "surrogates": [one["surrogates"] for one in runs],
        }
        print(row(name, result["methods"][name]), flush=True)
    return result | {"arguments": {name: value for name, value in vars(given).items() if name != "out"}}


def row(name: str, found: dict[str, Any]) -> str:
    cells = [f"{mean:.4f} ± {std:.4f}" for mean, std in zip(found["mean"], found["std"], strict=True)]
    return f"| {name} | {' | '.join(cells)} | {found['cpu_seconds']:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space")
    parser.add_argument("oracle", metavar="FILE:COLUMN")
    parser.add_argument("out", metavar="OUT.json")
    parser.add_argument("--first", metavar="RESULT.json")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=340)
    parser.add_argument("--doe", type=int, default=100)
    parser.add_argument("--surrogate", default="adaptive")
    parser.add_argument("--methods", nargs="+", help="some of: random, nsganetv2, 'nsganetv2 from metad2a'")
    given = parser.parse_args()
    write_json(given.out, measure(given))


if __name__ == "__main__":
    main()
