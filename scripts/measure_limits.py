"""What is found under limits of multiply-adds: true accuracies of the networks that a method names first.

    measure_limits.py CHECKPOINT IMAGES ORACLE:COLUMN --database inherited --limits 2e6 3e6 [--seeds 5] [--first 10]
        [--losses]

``metad2a``: a search under the limit. ``random``: uniform networks that meet it. ``flops`` and ``params``: of these
and the largest network of all, if it meets the limit, the largest. ``static``: the best on average in the database.
Prints for each limit the accuracy of the first network and the mean of the first ones, and with ``--losses``, which
only a supernet knows, the same of the cross-entropy: mean and standard deviation over seeds.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from metad2a.data.features import FeatureSet
from metad2a.data.opening import open_data
from metad2a.errors import ConfigError, UserError
from metad2a.evaluation.compare.asked_judge import AskedJudge, open_judge
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.kept import Kept
from metad2a.evaluation.compare.known_cells import best_on_average
from metad2a.evaluation.compare.networks import costs_of
from metad2a.oracles.supernet import SupernetOracle
from metad2a.runtime import numpy_rng
from metad2a.search.constraints import Costs, Limits
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.base import Architecture
from metad2a.spaces.extremes import sample_sizes

_POOL = 5000
Found = Iterator[tuple[str, list[Architecture]]]
Measure = Callable[[list[Architecture]], np.ndarray]


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
        measure = measured_by(judge, losses=given.losses)
    except UserError as error:
        sys.exit(f"error: {error}")
    known = [model.space.parse(text) for text in sorted(worth, key=lambda text: -worth[text])]
    numbers = ["accuracy", "loss"][: 1 + given.losses]
    digits = [2, 2, 4, 4][: 2 * len(numbers)]
    columns = [f"{number}, {what}" for number in numbers for what in ("first", f"mean of {given.first}")]
    print(f"| million multiply-adds | method | {' | '.join(columns)} |\n|---:|---|{'---:|' * len(columns)}")
    for limit in given.limits:
        rows: dict[str, list[np.ndarray]] = {}
        for seed in range(given.seeds):
            for name, archs in found(model, features, costs, known, limit, seed):
                true = measure(archs[: given.first])
                rows.setdefault(name, []).append(np.stack([true[0], true.mean(0)], axis=1).ravel())
        for name, values in rows.items():
            figures = zip(np.mean(values, 0), np.std(values, 0, ddof=1), digits, strict=True)
            cells = " | ".join(f"{mean:.{places}f} ± {sd:.{places}f}" for mean, sd, places in figures)
            print(f"| {limit / 1e6:g} | {name} | {cells} |", flush=True)


def measured_by(judge: AskedJudge, *, losses: bool) -> Measure:
    """Return the function that measures networks: a row each of accuracy in percent and, if asked for, loss.

    Raises:
        ConfigError: losses are asked for, but the oracle does not know them.
    """
    if not losses:
        return lambda archs: judge.accuracies(archs)[:, None]
    oracle = judge.oracle
    if not isinstance(oracle, SupernetOracle):
        raise ConfigError(f"--losses: {judge.name} knows accuracies only. Leave it out, or name a supernet.")
    return lambda archs: np.array(oracle.measure(archs))


def found(
    model: MetaD2A, features: FeatureSet, costs: Costs, known: list[Architecture], limit: float, seed: int
) -> Found:
    """Yield what each method names, first things first."""
    pool = within(model.space.sample(_POOL, numpy_rng("measure limits", seed)), costs, limit)
    yield "random", pool
    ends = sample_sizes(model.space, 2, numpy_rng("measure limits", "ends"))
    sized = [*within(ends, costs, limit), *pool]
    for name in ("flops", "params"):
        order = np.argsort(-costs.of(name, sized), kind="stable")
        yield name, [sized[place] for place in order]
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
    parser.add_argument("--losses", action="store_true", help="of a supernet: its cross-entropies, too; not kept")
    parser.add_argument("--kept", type=Path, default=Path("runs/compare/kept"), help="accuracies known already")
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
