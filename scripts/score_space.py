"""Score every architecture of a space without training and without data, once and for all.

    score_space.py SPACE OUT.parquet PROXY [PROXY ...] [--seed 0]

Isomorphic architectures get the score of one of them. Networks are of the space's own size, inputs two images of
noise (of which the scores that need no data see the resolution alone), unless a score says what it needs, as
linear_regions does. docs/how-to/add-a-score.md says what it costs and who reads the table.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from metad2a import plugins
from metad2a.errors import ConfigError, UserError
from metad2a.proxies.network import NetworkProxy
from metad2a.runtime import atomic_path, progress
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.registry import get_space

_AT_ONCE = 50
_CLASSES = 10
_IMAGES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space")
    parser.add_argument("out", type=Path)
    parser.add_argument("proxies", nargs="+", help="see `metad2a ls proxies`")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights")
    arguments = parser.parse_args()
    try:
        table = score_space(get_space(arguments.space), arguments.proxies, seed=arguments.seed)
    except UserError as error:
        sys.exit(f"error: {error}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(arguments.out) as path:
        table.to_parquet(path, index=False)
    print(f"wrote {arguments.out}: {len(table):,} architectures, {', '.join(arguments.proxies)}")


def score_space(space: SearchSpace, proxies: list[str], *, seed: int) -> pd.DataFrame:
    """Return for each architecture ``arch``, the number of its ``isomorphic`` class, and the proxies' scores."""
    kinds = {name: plugins.load("proxies", name) for name in proxies}
    for name, kind in kinds.items():
        if not issubclass(kind, NetworkProxy):
            raise ConfigError(f"'{name}' is no score of a network: the space itself tells it of all architectures.")
    archs = list(space.enumerate())
    classes, first, number = np.unique(
        [space.canonical(arch) for arch in archs], return_index=True, return_inverse=True
    )
    representatives = [archs[place] for place in first]
    table = {"arch": [space.format(arch) for arch in archs], "isomorphic": number.astype(np.int32)}
    for name, kind in kinds.items():
        proxy = kind(kind().inputs.for_data(None, batch_size=_IMAGES, resolution=space.resolution, seed=seed))
        starts = progress(range(0, len(classes), _AT_ONCE), label=f"score {len(classes):,} networks by {name}")
        parts = [proxy.score(space, representatives[start : start + _AT_ONCE], _CLASSES) for start in starts]
        table[name] = np.concatenate(parts)[number]
    return pd.DataFrame(table)


if __name__ == "__main__":
    main()
