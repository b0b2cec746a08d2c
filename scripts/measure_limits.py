"""What is found under limits of multiply-adds: true accuracies of the networks that a method names first.

    measure_limits.py CHECKPOINT IMAGES ORACLE:COLUMN --database inherited --limits 2e6 3e6 [--seeds 5] [--first 10]

``metad2a``: a search under the limit. ``random``: uniform networks that meet it. ``flops`` and ``params``: of a
uniform pool of those that meet it, the largest. ``static``: the best on average in the database. Prints for each
limit the accuracy of the first network and the mean of the first ones: mean and standard deviation over seeds.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from metad2a.data.features import FeatureSet
from metad2a.data.opening import open_data
from metad2a.errors import UserError
from metad2a.evaluation.compare.asked_judge import open_judge
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.kept import Kept
from metad2a.evaluation.compare.known_cells import best_on_average
from metad2a.evaluation.compare.networks import costs_of
from metad2a.runtime import numpy_rng
from metad2a.search.constraints import Costs, Limits
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.base import Architecture

_POOL = 5000
Found = Iterator[tuple[str, list[Architecture]]]


def main() -> None:
    given = arguments()
    try:
        model = MetaD2A.from_checkpoint(given.checkpoint)
        images = open_data(given.images)
        judge = open_judge(given.oracle, model.space, kept=Kept(given.kept))
        if isinstance(judge, Judge):
            sys.exit(f"error: {given.oracle} is a table: networks of tables have no scale. Give another oracle.")
        features = images if isinstance(images, FeatureSet) else model.embed(images)
        costs = costs_of(judge.oracle, model.space, len(features.classes))
        worth = best_on_average(given.database)
    except UserError as error:
        sys.exit(f"error: {error}")
    known = [model.space.parse(text) for text in sorted(worth, key=lambda text: -worth[text])]
    print("| million multiply-adds | method | first | first of them, mean |\n|---:|---|---:|---:|")
    for limit in given.limits:
        rows: dict[str, list[list[float]]] = {}
        for seed in range(given.seeds):
            for name, archs in found(model, features, costs, known, limit, seed):
                true = judge.accuracies(archs[: given.first])
                rows.setdefault(name, []).append([true[0], true.mean()])
        for name, values in rows.items():
            cells = " | ".join(
                f"{mean:.2f} ± {sd:.2f}"
                for mean, sd in zip(np.mean(values, 0), np.std(values, 0, ddof=1), strict=True)
            )
            print(f"| {limit / 1e6:g} | {name} | {cells} |", flush=True)


def found(
    model: MetaD2A, features: FeatureSet, costs: Costs, known: list[Architecture], limit: float, seed: int
) -> Found:
    """Yield what each method names, first things first."""
    pool = within(model.space.sample(_POOL, numpy_rng("measure limits", seed)), costs, limit)
    yield "random", pool
    for name in ("flops", "params"):
        order = np.argsort(-costs.of(name, pool), kind="stable")
        yield name, [pool[place] for place in order]
    yield "static", within(known, costs, limit)
    scale = costs.counted
    result = model.search(
        features, max_flops=limit, resolution=scale.resolution, scale=scale.options, random_state=seed
    )
    archs = [model.space.parse(candidate.arch) for candidate in result.candidates]
    yield "metad2a", within(archs, costs, limit)  # the search's networks have heads for the classes of the images


def within(archs: list[Architecture], costs: Costs, limit: float) -> list[Architecture]:
    """Return those that meet the limit."""
    met = Limits(max_flops=limit).admits(costs, archs)
    return [arch for arch, ok in zip(archs, met, strict=True) if ok]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="file of `metad2a train` or of scripts/merge_checkpoints.py")
    parser.add_argument("images", help="that the checkpoint looks at")
    parser.add_argument("oracle", metavar="ORACLE:COLUMN", help="a supernet and images, or an accuracy predictor")
    parser.add_argument("--database", required=True, help="of the static baseline: a folder or a shipped one")
    parser.add_argument("--limits", type=float, nargs="+", required=True, help="multiply-adds of one image")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=10, help="networks that each method may name")
    parser.add_argument("--kept", type=Path, default=Path("runs/compare/kept"), help="accuracies known already")
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
