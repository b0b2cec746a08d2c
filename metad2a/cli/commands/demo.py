"""metad2a demo: the main job from end to end, on data that needs no download."""

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from metad2a.cli import output
from metad2a.cli.configuration import compose
from metad2a.cli.jobs import train as train_job
from metad2a.data.cache import FeatureCache
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.database.published import MetaDatabase
from metad2a.errors import OutputError
from metad2a.fitting.recipe import Recipe
from metad2a.oracles.training import TrainingOracle
from metad2a.reporting.reports import TrainedCell, demo_report
from metad2a.runtime import new_run_id, write_json
from metad2a.search.metad2a import MetaD2A
from metad2a.search.random_search import RandomSearch
from metad2a.spaces.base import Architecture

OPTIONS_FILE = "demo.json"
_UNSEEN = "embedded:digits"
_TRAIN_SHARE = 0.25  # digits are easy: with many images to learn from, every cell is perfect
_RANDOM_CELLS = 5
_TRAININGS = 2  # of each cell: one alone would be a matter of luck


@dataclass
class _Clock:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        output.console.print(f"[bold]{name}[/bold]")
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def run(out: Path, *, seed: int, quick: bool) -> None:
    """Meta-train, search unseen images, train the first-ranked and some random cells, report."""
    folder = out / new_run_id()
    if folder.exists():
        raise OutputError(f"{folder} exists already. Choose another --out.")
    write_json(folder / OPTIONS_FILE, {"seed": seed, "quick": quick})
    _run(folder, seed=seed, quick=quick)


def resume(folder: Path) -> None:
    """Continue an interrupted demo in its ``folder``; finished meta-training is not done again."""
    options = json.loads((folder / OPTIONS_FILE).read_text(encoding="utf-8"))
    _run(folder, **options)


def _run(folder: Path, *, seed: int, quick: bool) -> None:
    try:
        _stages(folder, seed=seed, quick=quick)
    except KeyboardInterrupt:
        print(f"interrupted. To continue:  metad2a resume {folder}", file=sys.stderr)
        sys.exit(130)


def _stages(folder: Path, *, seed: int, quick: bool) -> None:
    clock = _Clock()
    runs = {}
    for kind in ("predictor", "generator"):
        with clock.stage(f"meta-train the {kind}"):
            runs[kind] = _meta_train(kind, folder / kind, seed=seed, quick=quick)
    # The search sees the training images only: the others will judge what it found.
    train, valid = ImageSet.open(_UNSEEN).split(_TRAIN_SHARE, seed)
    with clock.stage(f"search {_UNSEEN}"):
        model = MetaD2A.from_checkpoint(*(path / "checkpoints" / "best.safetensors" for path in runs.values()))
        images_per_class = 4 if quick else 50
        features = model.embed(train, images_per_class=images_per_class, random_state=seed, cache=FeatureCache())
        result = model.search(features, n_candidates=20 if quick else 500, random_state=seed)
        output.print_search(result, 5)
    with clock.stage("really train the first-ranked and some random cells"):
        archs = [model.space.parse(result.best.arch)]
        archs += RandomSearch(model.space, seed=seed).ask(1 if quick else _RANDOM_CELLS)
        oracle = TrainingOracle(model.space, train, valid, _recipe(quick))
        trained = _train_cells(model, features, archs, oracle, seed=seed, trainings=1 if quick else _TRAININGS)
        verdict = _verdict(trained)
        output.console.print(verdict)
    write_json(folder / "search.json", result.to_dict())
    demo_report(
        folder / "report.html",
        runs=runs,
        result=result,
        trained=trained,
        verdict=verdict,
        seconds=clock.seconds,
        command=f"metad2a demo --seed {seed}" + (" --quick" if quick else ""),
    )
    output.wrote(folder / "search.json")
    output.wrote(folder / "report.html")
    checkpoints = " ".join(f"--checkpoint {path / 'checkpoints' / 'best.safetensors'}" for path in runs.values())
    output.console.print(f"next:  metad2a search YOUR_IMAGES {checkpoints}")


def _meta_train(kind: str, folder: Path, *, seed: int, quick: bool) -> Path:
    overrides = [f"model={kind}", f"experiment=demo/{kind}", f"seed={seed}", *(["debug=limit"] if quick else [])]
    run_id = f"demo-{folder.parent.name}-{kind}"
    # In a new folder there is nothing to continue, and so it begins.
    train_job.run(compose("train", overrides), folder, run_id=run_id, resume=True)
    return folder


def _recipe(quick: bool) -> Recipe:
    """Return the recipe of the demo database's labels."""
    recipe = Recipe.from_dict(next(iter(MetaDatabase.load("demo").manifest["recipes"].values())))
    return replace(recipe, epochs=1) if quick else recipe


def _train_cells(
    model: MetaD2A,
    features: FeatureSet,
    archs: Sequence[Architecture],
    oracle: TrainingOracle,
    *,
    seed: int,
    trainings: int,
) -> list[TrainedCell]:
    """Train each architecture ``trainings`` times; the first one is the search's."""
    predicted = model.predict(features, archs, random_state=seed)
    turns = [oracle.evaluate(archs, seed=turn) for turn in range(trainings)]
    return [
        TrainedCell(
            picked="random" if place else "first-ranked",
            arch=model.space.format(arch),
            predicted=float(predicted[place]),
            accuracies=tuple(float(turn[place]) for turn in turns),
        )
        for place, arch in enumerate(archs)
    ]


def _verdict(trained: Sequence[TrainedCell]) -> str:
    first, *others = [cell.mean for cell in trained]
    beaten = sum(first > other or math.isnan(other) for other in others)
    return (
        f"The first-ranked cell reached {first:.2f} % on held-out images of {_UNSEEN}; "
        f"the random cells {min(others):.2f} to {max(others):.2f} % (mean {np.mean(others):.2f} %). "
        f"It beat {beaten} of {len(others)}."
    )
