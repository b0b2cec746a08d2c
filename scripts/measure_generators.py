"""What generators propose, judged by a table and by meta-validation, told to aim at the best or at less.

    METAD2A_IMAGES=FOLDER python scripts/measure_generators.py LABEL=CHECKPOINT ... --oracle TABLE.csv --column NAME
        --dataset IMAGES [--experiment open] [--draws 2000] [--seeds 3] [--override KEY=VALUE ...]

Checkpoints of one LABEL are seeds of one training: prints mean and standard deviation over them, in Markdown. Of
the cells drawn for the data set: mean accuracy, that of the distinct ones, how many percent are distinct, how many
are of the table's best tenth; ``--seeds`` redraws images and cells. Of the labelled cells of meta-validation: mean
over tasks of Spearman's correlation of the decoder's log-likelihood and their accuracy. A generator that can be
told what is wanted (``model.condition``) gets a row for each of: the best (its default), the middle, and nothing.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metad2a.cli.configuration import compose, quote
from metad2a.cli.jobs.material import Material
from metad2a.data.cache import FeatureCache, choose_images, embed
from metad2a.data.features import FeatureSet, SetBatch
from metad2a.data.image_set import ImageSet
from metad2a.data.opening import open_data
from metad2a.evaluation.compare.judge import Judge
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.generator import Generator
from metad2a.runtime import torch_rng
from metad2a.search.generation import draw_sets
from metad2a.search.neighbourhood import log_probability
from metad2a.spaces.base import Architecture
from metad2a.training.task_ranks import spearman_on_tasks

IMAGES_PER_CLASS = 50
SETS = 32
COLUMNS = ("mean", "mean of distinct", "distinct, %", "of the best tenth, %", "Spearman, meta-validation")
Aim = dict[str, float] | None
AIMS: dict[str, Aim] = {"the best": {}, "the middle": {"accuracy": 0.5}, "nothing": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="LABEL=CHECKPOINT")
    parser.add_argument("--oracle", required=True, help="table of all architectures")
    parser.add_argument("--column", required=True, help="of the table: accuracy in percent")
    parser.add_argument("--dataset", required=True, help="images that the table is of")
    parser.add_argument("--experiment", default="open", help="whose meta-validation is meant, see conf/experiment")
    parser.add_argument("--draws", type=int, default=2000, help="cells drawn")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--override", nargs="+", default=[], metavar="KEY=VALUE", help="of `metad2a train`")
    given = parser.parse_args()
    torch.set_num_threads(1)
    experiment = f"experiment={given.experiment}/generator"
    cfg = compose("train", ["model=generator", experiment, *map(quote, given.override)])
    trial = Trial(Material.of(cfg), f"{given.oracle}:{given.column}", given.dataset, given.draws)
    files: dict[str, list[Path]] = defaultdict(list)
    for entry in given.checkpoints:
        label, _, place = entry.partition("=")
        files[label].append(Path(place))
    print(f"| | seeds | told | {' | '.join(COLUMNS)} |\n|---|---:|---|{'---:|' * len(COLUMNS)}")
    for label, paths in files.items():
        models = [Checkpoint.load(path) for path in paths]
        can_be_told = "accuracy" in (models[0].parts["generator"].config.get("conditions") or {})
        for told, aim in AIMS.items() if can_be_told else [("", None)]:
            rows = np.array(
                [np.mean([trial.of(one, aim, s) for s in range(given.seeds)], axis=0) for one in models]
            )
            cells = " | ".join(map(_cell, rows.T, (2, 2, 1, 1, 3)))
            print(f"| {label} | {len(rows)} | {told} | {cells} |", flush=True)


class Trial:
    """A table, the images it is of, and meta-validation."""

    def __init__(self, material: Material, oracle: str, dataset: str, draws: int) -> None:
        self.material, self.draws = material, draws
        self.judge = Judge.from_file(oracle, material.space)
        self.accuracy = dict(zip(self.judge.archs, self.judge.truth.tolist(), strict=True))
        self.good = float(np.quantile(self.judge.truth, 0.9))
        images = open_data(dataset)
        self.features = images if isinstance(images, FeatureSet) else self._embedded(images)

    def _embedded(self, images: ImageSet) -> FeatureSet:
        chosen = choose_images(images, IMAGES_PER_CLASS, 0)
        return embed(images, self.material.embedder, indices=chosen, cache=FeatureCache())

    def mean_of(self, checkpoint: Checkpoint, aim: Aim, seeds: int) -> Float[np.ndarray, " N"]:
        """Return the means of the ``COLUMNS`` over some seeds."""
        return np.mean([self.of(checkpoint, aim, seed) for seed in range(seeds)], axis=0)

    @torch.inference_mode()
    def of(self, checkpoint: Checkpoint, aim: Aim, seed: int) -> list[float]:
        """Return the ``COLUMNS`` of one checkpoint."""
        model: Generator = checkpoint.build("generator")
        space = self.material.space
        latents = self._latents(model, self.features, checkpoint, aim, seed)
        every = latents.repeat(-(-self.draws // SETS), 1)[: self.draws]
        graphs = model.sample(every, rules=space, generator=torch_rng(seed, "graphs"))
        drawn = [arch for arch in space.decode(graphs) if arch is not None]
        true = np.array([self.accuracy[arch] for arch in drawn])
        distinct = np.array([self.accuracy[arch] for arch in dict.fromkeys(drawn)])
        return [
            true.mean(),
            distinct.mean(),
            100 * len(distinct) / len(drawn),
            100 * float((true >= self.good).mean()),
            self._within_tasks(model, checkpoint, aim, seed),
        ]

    def _latents(
        self, model: Generator, features: FeatureSet, checkpoint: Checkpoint, aim: Aim, seed: int
    ) -> Float[Tensor, "B Z"]:
        draws: Iterable[SetBatch] = draw_sets(features, SETS, checkpoint.images_per_class, torch_rng(seed, "sets"))
        return torch.cat([model.encode(one)[0] if aim is None else model.latents(one, aim) for one in draws])

    def _within_tasks(self, model: Generator, checkpoint: Checkpoint, aim: Aim, seed: int) -> float:
        data, space = self.material.data, self.material.space

        def predict(images: FeatureSet, archs: list[Architecture]) -> Float[np.ndarray, " A"]:
            latents = self._latents(model, images, checkpoint, aim, seed)
            return log_probability(model, space, latents, archs).double().numpy()

        return spearman_on_tasks(data, space, data.valid_rows, predict)


def _cell(values: Float[np.ndarray, " S"], digits: int) -> str:
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    main()
