"""How well training-free scores rank networks: Kendall and Spearman against the accuracies of a table.

    measure_proxies.py IMAGES FILE:COLUMN KEPT.parquet PROXY [PROXY ...] [--networks 100] [--batch-size 16]

A uniform sample of the table's architectures is scored on the images; what KEPT has of them is not scored again.
Dead networks (their output does not depend on the image) are left out of the ranks, and counted.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from metad2a import ImageSet, plugins
from metad2a.errors import UserError
from metad2a.oracles.opening import open_oracle
from metad2a.proxies.network import DEAD, NetworkProxy
from metad2a.runtime import atomic_path, numpy_rng, progress
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.registry import get_space

_AT_ONCE = 10


def main() -> None:
    given = arguments()
    try:
        space, images = get_space(given.space), ImageSet.open(given.images)
        file, _, column = given.table.rpartition(":")
        oracle = open_oracle(file, column, space)
        kinds = {name: plugins.load("proxies", name) for name in given.proxies}
    except UserError as error:
        sys.exit(f"error: {error}")
    archs = space.sample(given.networks, numpy_rng("measure proxies", given.seed))
    options = {"batch_size": given.batch_size, "resolution": given.resolution, "seed": given.seed}
    table = pd.DataFrame({"arch": [space.format(arch) for arch in archs], "accuracy": oracle.evaluate(archs)})
    known = pd.read_parquet(given.kept) if given.kept.is_file() else table
    if not known[["arch", "accuracy"]].equals(table):
        sys.exit(f"error: {given.kept} is of other networks. Give another file, or remove it.")
    for name, kind in kinds.items():
        if name not in known:
            proxy = kind(kind().inputs.for_data(images, **options)) if issubclass(kind, NetworkProxy) else kind()
            known[name] = scores(proxy, space, archs, images.num_classes)
            with atomic_path(given.kept) as path:
                known.to_parquet(path, index=False)
    print(report(known, list(kinds)))


def scores(proxy: NetworkProxy, space: SearchSpace, archs: list[Architecture], num_classes: int) -> np.ndarray:
    """Return the score of each architecture, with a progress bar."""
    starts = progress(range(0, len(archs), _AT_ONCE), label=proxy.name)
    return np.concatenate([proxy.score(space, archs[start : start + _AT_ONCE], num_classes) for start in starts])


def report(known: pd.DataFrame, names: list[str]) -> str:
    """Return a table in Markdown: how well each score ranks the sample."""
    lines = [
        "| score | dead | Kendall | Spearman | its first has | of the sample's |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in names:
        alive = known[known[name] > DEAD]
        tau, rho = (
            measure(alive[name], alive["accuracy"]).statistic for measure in (stats.kendalltau, stats.spearmanr)
        )
        first = alive["accuracy"][alive[name].idxmax()]
        best = known["accuracy"].max()
        lines.append(f"| {name} | {len(known) - len(alive)} | {tau:.2f} | {rho:.2f} | {first:.2f} | {best:.2f} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("table", help="FILE:COLUMN")
    parser.add_argument("kept", type=Path)
    parser.add_argument("proxies", nargs="+", help="see `metad2a ls proxies`")
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--resolution", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
