"""The paper's protocol on data sets without a table: the architectures found are trained with three seeds."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric

from metad2a.data.image_set import ImageSet
from metad2a.errors import DataError
from metad2a.fitting.kept import KeptTrainings, Measured
from metad2a.fitting.network import LabelledImages, fit_network, seeded
from metad2a.fitting.recipe import Recipe
from metad2a.spaces.base import Architecture, SearchSpace

SEEDS = (777, 888, 999)
_PARTS = ("train", "test")


def part_names(folder: Path) -> dict[str, Path | None]:
    """Return where the images of ``train`` and of ``test`` are: sub-folders or ``.npz`` files; None if nowhere."""
    return {
        part: next((path for path in (folder / f"{part}.npz", folder / part) if path.exists()), None)
        for part in _PARTS
    }


def open_parts(train: Path, test: Path) -> tuple[ImageSet, ImageSet]:
    """Return the images to learn from and to test on.

    Raises:
        DataError: images cannot be used, or the two have other classes.
    """
    parts = ImageSet.open(str(train)), ImageSet.open(str(test))
    if parts[0].classes != parts[1].classes:
        raise DataError(
            f"{train} has {parts[0].num_classes} classes, {test} {parts[1].num_classes}, or of other names. "
            "Both parts of a data set need the same ones."
        )
    return parts


def x_test(test: ImageSet, split_file: Path | None) -> tuple[ImageSet, str]:
    """Return the half of the test images on which the paper measures, and whose half it is.

    Args:
        test: all test images.
        split_file: the authors' ``NAME-test-split.txt`` with positions in the data set's own order; used if there
            are as many as images, and these come from a file that keeps them in order (``.npz``). Otherwise half
            of every class is drawn.

    Raises:
        DataError: the file holds something else, or a class has fewer than two images.
    """
    if split_file is not None and Path(test.source or "").suffix == ".npz":
        rows, count = _split(split_file)
        if count == len(test):
            return test.take(rows), f"theirs, by the positions in {split_file.name}"
    return test.split(0.5, 0)[1], "ours: half of every class, at random"


def _split(path: Path) -> tuple[list[int], int]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        valid, test = ([int(number) for number in content[part][1]] for part in ("xvalid", "xtest"))
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise DataError(f"{path} is none of the authors' split files ({error!r}).") from error
    if sorted(valid + test) != list(range(len(valid) + len(test))):
        raise DataError(f"{path} is damaged: its two parts are no split of consecutive numbers.")
    return test, len(valid) + len(test)


@dataclass(frozen=True)
class Trained:
    """An architecture trained with several seeds.

    Attributes:
        arch: text.
        accuracies: on the test images after the last epoch, in percent; None where training diverged.
        seconds: of all trainings.
    """

    arch: str
    accuracies: tuple[float | None, ...]
    seconds: float


class FinalTraining:
    """Trains architectures; what is finished is kept, and what was interrupted goes on.

    Args:
        space: of the architectures.
        train: images to learn from.
        test: images to measure on, used for nothing else.
        recipe: how.
        folder: for a small file of each training, and the state of the running one.
        device: ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(
        self,
        space: SearchSpace,
        train: ImageSet,
        test: ImageSet,
        recipe: Recipe,
        *,
        folder: Path,
        device: str = "cpu",
    ) -> None:
        self._space, self._recipe = space, recipe
        self._num_classes = train.num_classes
        self._train = LabelledImages.of(train, recipe.resolution)
        self._test = LabelledImages.of(test, recipe.resolution)
        self._fabric = Fabric(accelerator=device, devices=1)
        self._kept = KeptTrainings(folder, recipe, self._train, self._test)

    def run(
        self,
        arch: Architecture,
        *,
        seeds: Sequence[int] = SEEDS,
        on_seed: Callable[[int, float | None], None] = lambda seed, accuracy: None,
    ) -> Trained:
        """Train ``arch`` once with each seed; ``on_seed`` is told each accuracy.

        Raises:
            DataError: too few images.
            Interrupted: Ctrl-C; the state is saved.
        """
        rows = []
        for seed in seeds:
            rows.append(self._one(arch, seed))
            on_seed(seed, rows[-1].accuracy)
        return Trained(
            arch=self._space.format(arch),
            accuracies=tuple(row.accuracy for row in rows),
            seconds=math.fsum(row.seconds for row in rows),
        )

    def _one(self, arch: Architecture, seed: int) -> Measured:
        text = self._space.format(arch)
        row = self._kept.measured(text, seed, lambda place: self._fit(arch, seed, place.with_suffix(".pt")))
        self._kept.place(text, seed).with_suffix(".pt").unlink(missing_ok=True)
        return row

    def _fit(self, arch: Architecture, seed: int, state: Path) -> Measured:
        with seeded(seed):
            net = self._space.build(arch, self._num_classes, **self._recipe.scale)
        fitted = fit_network(
            net,
            self._train,
            self._test,
            self._recipe,
            seed=seed,
            fabric=self._fabric,
            state_file=state,
            label=f"train, seed {seed}",
        )
        return Measured(fitted.accuracy, fitted.seconds)
