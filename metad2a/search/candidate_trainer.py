"""Several networks, each really trained on the same images: what is finished is kept."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from metad2a.fitting.fitted import FittedNetwork, load_fitted
from metad2a.fitting.found import fit_found
from metad2a.fitting.kept import KeptTrainings, Measured
from metad2a.fitting.parts import LoadedParts
from metad2a.fitting.precision import one_device
from metad2a.fitting.recipe import Recipe
from metad2a.search.result import SearchResult
from metad2a.spaces.base import Architecture, SearchSpace


class CandidateTrainer:
    """Trains architectures and measures them on the validation images; the test images are none of its business.

    Args:
        space: of the architectures.
        parts: of the images; training and validation are looked at.
        recipe: of all trainings.
        folder: where weights and finished trainings are kept, so that whoever asks again goes on where it was
            interrupted.
        fabric: device and precision; the CPU when None.
    """

    def __init__(
        self, space: SearchSpace, parts: LoadedParts, recipe: Recipe, *, folder: Path, fabric: Fabric | None = None
    ) -> None:
        self._space, self._parts, self._recipe = space, parts, recipe
        self._fabric = fabric or one_device()
        self._kept = KeptTrainings(folder, recipe, parts.train, parts.valid)
        self.name = f"training:{recipe.name}"

    def train(self, arch: Architecture, seeds: Sequence[int], label: str) -> list[Measured]:
        """Return the accuracy on the validation images after the best epoch, and the seconds, for each seed.

        Args:
            arch: to train.
            seeds: of its trainings.
            label: of the progress bars.

        Raises:
            DataError: too few images.
            Interrupted: Ctrl-C; the state is saved.
        """
        text = self._space.format(arch)
        return [self._kept.measured(text, seed, partial(self._fit, arch, seed, label)) for seed in seeds]

    def accuracies(self, archs: Sequence[Architecture], seeds: Sequence[int] = (0,)) -> list[float]:
        """Return the mean over the seeds of what ``train`` measures; NaN where a training diverged."""
        found = [self.train(arch, seeds, self._space.format(arch)) for arch in archs]
        return [mean_of([one.accuracy for one in rows]) for rows in found]

    def network(self, arch: Architecture, seed: int) -> FittedNetwork:
        """Return an architecture that was trained, with the weights of its best epoch."""
        place = self._kept.place(self._space.format(arch), seed)
        return load_fitted(place, device=str(self._fabric.device))

    def _fit(self, arch: Architecture, seed: int, label: str, place: Path) -> Measured:
        fit = fit_found(
            self._space,
            arch,
            self._parts,
            self._recipe,
            seed=seed,
            fabric=self._fabric,
            folder=place,
            label=f"train {label}, seed {seed}",
        )
        return Measured(fit.valid.accuracy, fit.seconds)


def recipe_for(result: SearchResult, recipe: Recipe) -> Recipe:
    """Return ``recipe`` for networks of the scale that ``result`` was told: what was counted is what is trained.

    Where the search was told nothing, the recipe decides, as it does on the pixels where these were the space's.
    """
    networks, space = result.networks, result.best.space
    if networks.options:
        recipe = replace(recipe, scale=networks.options)
    return recipe if networks.resolution == space.resolution else replace(recipe, resolution=networks.resolution)


def mean_of(accuracies: Sequence[float | None]) -> float:
    """Return the mean; NaN if a training diverged."""
    return float(np.mean([math.nan if value is None else value for value in accuracies]))
