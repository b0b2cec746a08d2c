"""How well inherited accuracies rank networks that were trained alone, and whether counting does as well.

    python scripts/measure_supernet.py SUPERNET IMAGES --networks 15 --kept supernet_ranks

IMAGES are those of the supernet's training: its own held-out part is found again by the file's provenance, networks
are trained alone on the other part. Finished trainings are kept, so that an interrupted measurement goes on.
Networks are ranked by inherited accuracy, by inherited loss (the lowest first), and by their sizes.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from scipy import stats

from metad2a.data.image_set import ImageSet
from metad2a.fitting.kept import KeptTrainings
from metad2a.fitting.network import LabelledImages, fit_network, seeded
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.supernet_file import TrainedSupernet
from metad2a.oracles.supernet import SupernetOracle
from metad2a.runtime import numpy_rng, write_json
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.mobilenetv3 import start_as_identity


def main() -> None:
    given = arguments()
    supernet = TrainedSupernet.load(given.supernet)
    told = supernet.provenance
    valid, train = ImageSet.open(given.images).split(told["valid_fraction"], told["seed"])
    space = MobileNetV3()
    archs = space.sample(given.networks, numpy_rng("measure supernet", given.seed))
    recipe = replace(
        Recipe.from_dict(told["recipe"]),
        name="alone",
        epochs=given.epochs,
        images_per_epoch=given.images_per_epoch,
        learning_rate=given.learning_rate,
    )
    size = recipe.scale
    inherited = SupernetOracle.of(supernet, train, valid, space=space).measure(archs)
    table = {
        "inherited": [one.accuracy for one in inherited],
        "loss": [-one.loss for one in inherited],
        "params": space.params(archs, valid.num_classes, **size).tolist(),
        "flops": space.flops(archs, valid.num_classes, recipe.resolution, **size).tolist(),
    }
    parts = [LabelledImages.of(part, recipe.resolution) for part in (train, valid)]
    kept = KeptTrainings(given.kept, recipe, *parts)
    alone = []
    for number, arch in enumerate(archs):
        text = space.format(arch)

        def fit(place: Path, arch=arch) -> dict[str, float]:
            with seeded(given.seed):
                net = space.build(arch, valid.num_classes, **size)
            start_as_identity(net)  # as the supernet did
            result = fit_network(net, *parts, recipe, seed=given.seed, state_file=place.with_suffix(".pt"))
            return {"accuracy": result.accuracy, "seconds": result.seconds}

        row = kept.once(text, given.seed, fit)
        alone.append(row["accuracy"])
        told_now = f"{table['inherited'][number]:6.2f} inherited  {row['accuracy']:6.2f} alone"
        print(f"{number + 1:3}/{len(archs)}  {told_now}  {row['seconds']:.0f} s  {text}", flush=True)
    agree = agreement(archs, supernet, train, valid.split(0.5, given.seed))
    print("\nTwo halves of the held-out images order the networks alike (Kendall): ", end="")
    print(", ".join(f"by {name} {value}" for name, value in agree.items()))
    print(f"\n{'ranked by':12} {'Kendall':>8} {'Spearman':>9}   against accuracy when trained alone")
    ranks = {}
    for name, values in table.items():
        found = (kendall(values, alone), float(stats.spearmanr(values, alone).statistic))
        ranks[name] = [round(value, 6) if value == value else None for value in found]  # None: all are equal
        print(f"{name:12} {found[0]:8.3f} {found[1]:9.3f}")
    rows = {
        "archs": [space.format(arch) for arch in archs],
        "alone": alone,
        **table,
        "ranks": ranks,
        "halves": agree,
    }
    write_json(given.kept / "ranks.json", {"supernet": supernet.fingerprint, "recipe": recipe.to_dict(), **rows})


def agreement(
    archs: list[Architecture], supernet: TrainedSupernet, train: ImageSet, halves: tuple[ImageSet, ImageSet]
) -> dict[str, float | None]:
    """Return Kendall's tau of the rankings by two halves of the images: what so few of them leave to chance."""
    measured = [SupernetOracle.of(supernet, train, half, space=MobileNetV3()).measure(archs) for half in halves]
    found = {
        "inherited": kendall(*([one.accuracy for one in half] for half in measured)),
        "loss": kendall(*([one.loss for one in half] for half in measured)),
    }
    return {name: round(value, 6) if value == value else None for name, value in found.items()}


def kendall(a: list[float], b: list[float]) -> float:
    """Return Kendall's tau; NaN where all values of one are equal."""
    return float(stats.kendalltau(a, b).statistic)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("supernet", type=Path)
    parser.add_argument("images")
    parser.add_argument("--networks", type=int, default=15)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--images-per-epoch", type=int, default=30_000)
    parser.add_argument("--learning-rate", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path, default=Path("supernet_ranks"))
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
