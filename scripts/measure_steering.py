"""What limits cost a search of NAS-Bench-201: graphs drawn and predicted accuracy, steered and merely filtered.

python scripts/measure_steering.py [--seeds 5] [--candidates 300]

For each cost, a limit that so many percent of all cells meet; a checkpoint draws candidates for
embedded:digits until it has enough of them (or gives up). Prints a Markdown table: graphs drawn, seconds, the best
predicted accuracy and the means of the first ten and of all; means over seeds.
"""

import argparse
import time

import numpy as np
from numpy import ndarray

from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.runtime import torch_rng
from metad2a.search.constraints import Costs, Limits
from metad2a.search.generation import generate
from metad2a.search.metad2a import MetaD2A

PERCENT = (50, 10, 2)
COSTS = ("params", "flops", "memory_mb")


def measure(model: MetaD2A, features: FeatureSet, limits: Limits, n: int, seed: int, *, steer: bool) -> list[float]:
    start = time.perf_counter()
    made = generate(
        model.generator,
        model.space,
        features,
        n=n,
        images_per_class=model.checkpoint.images_per_class,
        limits=limits,
        generator=torch_rng(seed, "generate"),
        steer=steer,
    )
    seconds = time.perf_counter() - start
    predicted: ndarray = np.sort(model.predict(features, made.archs))[::-1]
    return [len(made.archs), made.sampled, seconds, predicted[0], predicted[:10].mean(), predicted.mean()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="nasbench201")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=300)
    given = parser.parse_args()
    model = MetaD2A.open(given.checkpoint, device="cpu")
    features = model.embed(ImageSet.open("embedded:digits"), images_per_class=20)
    archs, costs = list(model.space.enumerate()), Costs(model.space, len(features.classes))
    print("| limit | cells within | | found | graphs drawn | s | best | first 10 | all |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in COSTS:
        values = costs.of(name, archs)
        for percent in PERCENT:
            limit = float(np.percentile(values, percent))
            limits = Limits(**{f"max_{name}": limit})
            within = 100 * float((values <= limit).mean())
            for steer in (True, False):
                runs = [
                    measure(model, features, limits, given.candidates, seed, steer=steer)
                    for seed in range(given.seeds)
                ]
                found, drawn, seconds, *quality = np.mean(runs, axis=0).tolist()
                how = "steered" if steer else "filtered"
                accuracy = " | ".join(f"{value:.2f}" for value in quality)
                counts = f"{found:.0f} | {drawn:,.0f} | {seconds:.2f}"
                print(f"| {limits} | {within:.1f} % | {how} | {counts} | {accuracy} |", flush=True)


if __name__ == "__main__":
    main()
