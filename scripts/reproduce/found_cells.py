"""Is the first-ranked cell better than random ones? Search data sets, then really train.

For each data set: its images are divided into parts to learn from, to choose the epoch by and to measure on; the
shipped checkpoint searches the first part; the first-ranked cell and random cells of like size (parameters within a
fifth of its, no two of them the same function) are trained with several seeds and measured on the test images. All
cells are tested, since nothing is chosen here but epochs.

DATASET: images in any form of `metad2a search`, or NAME=DATASET. Of more classes than --classes so many are drawn.

Every training is kept when it ends, and its state after every epoch: whatever is interrupted goes on with the same
command. OUT.jsonl has a line a training, OUT.md the table.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _script import at_least, cell, markdown, run
from scipy import stats

from metad2a.data.cache import FeatureCache
from metad2a.data.image_set import ImageSet
from metad2a.errors import DataError
from metad2a.fitting.found import fit_found, scores
from metad2a.fitting.kept import KeptTrainings
from metad2a.fitting.parts import LoadedParts, split_parts
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.recipes import get_recipe, recipe_names
from metad2a.runtime import keep_freed_memory, numpy_rng, write_text
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.base import Architecture, SearchSpace

LIKE_SIZE = 0.2  # of the first-ranked cell's parameters
DRAWS = 10_000
FIRST = "first-ranked"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("datasets", metavar="DATASET", nargs="+", help="images, or NAME=images")
    options.add_argument(
        "--out", type=Path, default=Path("runs/reproduce/found_cells"), help="(default: %(default)s)"
    )
    options.add_argument("--checkpoint", default="nasbench201", help="(default: %(default)s)")
    options.add_argument("--recipe", choices=recipe_names(), default="short", help="(default: %(default)s)")
    options.add_argument("--epochs", type=at_least(1), help="for a trial: other than the recipe's")
    options.add_argument("--candidates", type=at_least(1), default=500)
    options.add_argument("--images-per-class", type=at_least(1), default=50, help="that the search embeds")
    options.add_argument(
        "--random", type=at_least(1), default=5, help="how many random cells (default: %(default)s)"
    )
    options.add_argument(
        "--seeds", type=at_least(1), default=3, help="trainings of each cell (default: %(default)s)"
    )
    options.add_argument("--classes", type=at_least(2), default=20, help="at most (default: %(default)s)")
    options.add_argument("--seed", type=int, default=0, help="of the classes, the division, the search, the cells")
    given = options.parse_args()
    keep_freed_memory()
    recipe = get_recipe(given.recipe)
    if given.epochs:
        recipe = replace(recipe, epochs=given.epochs)
    model = MetaD2A.open(given.checkpoint)
    studies = [_study(spec, model, recipe, given) for spec in given.datasets]
    rows: list[dict[str, Any]] = []
    for turn in range(given.seeds):  # each data set has something to show early
        for study in studies:
            for row in study.train(turn):
                rows.append(row)
                lines = "".join(f"{json.dumps(one)}\n" for one in rows)
                write_text(given.out.with_suffix(".jsonl"), lines)
                print(f"{row['dataset']}, {row['cell']}, seed {turn}: {cell(row['test'])}", flush=True)
    table = table_of(rows)
    write_text(given.out.with_suffix(".md"), table)
    print(f"\n{table}\nwrote {given.out}.jsonl and .md")


@dataclass(frozen=True)
class _Study:
    """One data set: its parts, the cells, and what the predictor says of them; the first one is the search's."""

    name: str
    parts: LoadedParts
    archs: list[Architecture]
    predicted: list[float]
    space: SearchSpace
    recipe: Recipe
    folder: Path

    def train(self, seed: int) -> Iterator[dict[str, Any]]:
        kept = KeptTrainings(self.folder, self.recipe, self.parts.train, self.parts.valid, self.parts.test)
        params = self.space.params(self.archs, len(self.parts.classes))
        for number, arch in enumerate(self.archs):
            row = kept.once(self.space.format(arch), seed, partial(self._one, arch, seed))
            shutil.rmtree(kept.place(row["arch"], seed), ignore_errors=True)
            yield {
                "dataset": self.name,
                "cell": f"random {number}" if number else FIRST,
                **{key: row[key] for key in ("arch", "seed", "valid", "test", "epoch", "seconds")},
                "images": [len(self.parts.train), len(self.parts.valid), len(self.parts.test)],
                "classes": len(self.parts.classes),
                "params": int(params[number]),
                "predicted": round(self.predicted[number], 3),
                "recipe": self.recipe.fingerprint,
            }

    def _one(self, arch: Architecture, seed: int, place: Path) -> dict[str, Any]:
        label = f"{self.name}, seed {seed}"
        fit = fit_found(self.space, arch, self.parts, self.recipe, seed=seed, folder=place, label=label)
        test = scores(fit.fitted, self.parts.test)
        return {
            "valid": round(fit.valid.accuracy, 4),
            "test": round(test.accuracy, 4),
            "epoch": fit.fitted.card.epoch,
            "seconds": round(fit.seconds, 1),
        }


def _study(spec: str, model: MetaD2A, recipe: Recipe, given: argparse.Namespace) -> _Study:
    name, equals, place = spec.partition("=")
    images = ImageSet.open(place if equals else spec)
    if images.num_classes > given.classes:
        drawn = numpy_rng("found cells", given.seed).permutation(images.num_classes)[: given.classes]
        images = images.keep_classes(np.sort(drawn))
    parts = split_parts(images, seed=given.seed)
    features = model.embed(
        parts.train, images_per_class=given.images_per_class, random_state=given.seed, cache=FeatureCache()
    )
    result = model.search(features, n_candidates=given.candidates, random_state=given.seed)
    first = model.space.parse(result.best.arch)
    archs = [first, *like(model.space, first, given.random, images.num_classes, given.seed)]
    return _Study(
        name=name if equals else images.name,
        parts=parts.load(recipe.resolution),
        archs=archs,
        predicted=model.predict(features, archs, random_state=given.seed).tolist(),
        space=model.space,
        recipe=recipe,
        folder=given.out.with_name(f"{given.out.name}-trainings"),
    )


def like(space: SearchSpace, first: Architecture, count: int, num_classes: int, seed: int) -> list[Architecture]:
    """Return random cells with about as many parameters as ``first``, no two the same function.

    Raises:
        DataError: there are too few.
    """
    drawn = space.sample(DRAWS, numpy_rng("cells of like size", seed))
    params = space.params(drawn, num_classes)
    size = space.params([first], num_classes)[0]
    near = np.flatnonzero(abs(params - size) <= LIKE_SIZE * size)
    found = {space.canonical(first): first}
    for place in near:
        found.setdefault(space.canonical(drawn[place]), drawn[place])
        if len(found) > count:
            return list(found.values())[1:]
    raise DataError(f"there are only {len(found) - 1} other cells of about {size:,} parameters, not {count}.")


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table: test accuracies, means over seeds."""
    lines = []
    for name in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == name]
        cells = {key: [row for row in own if row["cell"] == key] for key in dict.fromkeys(r["cell"] for r in own)}
        tests = {key: np.array([row["test"] for row in group]) for key, group in cells.items()}
        means = {key: float(values.mean()) for key, values in tests.items()}
        others = np.array([mean for key, mean in means.items() if key != FIRST])
        size = [group[0]["params"] for group in cells.values()]
        predicted = [group[0]["predicted"] for group in cells.values()]
        better = int((others > means[FIRST]).sum())
        lines.append(
            [
                name,
                " / ".join(map(str, own[0]["images"])),
                cell(means[FIRST], _std(tests[FIRST])),
                cell(float(others.mean()), _std(others)),
                f"{others.min():.2f} to {others.max():.2f}",
                f"{better + 1} of {len(means)}",
                _spearman(predicted, list(means.values())),
                f"{size[0] / 1e3:,.0f}k ({min(size[1:]) / 1e3:,.0f}k to {max(size[1:]) / 1e3:,.0f}k)",
            ]
        )
    columns = ["data set", "images: train / valid / test", "first-ranked", "random cells", "worst to best of them"]
    return markdown([*columns, "place of the first-ranked", "Spearman", "parameters"], lines)


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _spearman(predicted: Sequence[float], means: Sequence[float]) -> str:
    if len(set(predicted)) < 2 or len(set(means)) < 2:
        return "-"
    return f"{stats.spearmanr(predicted, means).statistic:.2f}"


if __name__ == "__main__":
    run(main)
