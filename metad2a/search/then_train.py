"""Which of the first candidates is really best: they are trained, and chosen on validation images."""

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from metad2a.errors import ConfigError
from metad2a.fitting.accuracy import Scores
from metad2a.fitting.fitted import FittedNetwork
from metad2a.fitting.found import scores
from metad2a.fitting.loop import DivergedError
from metad2a.fitting.parts import LoadedParts, Parts
from metad2a.fitting.recipe import Recipe
from metad2a.search.candidate_trainer import CandidateTrainer, mean_of, recipe_for
from metad2a.search.result import Candidate, SearchResult


@dataclass(frozen=True)
class TrainedCandidate:
    """A candidate that was trained with several seeds.

    Attributes:
        candidate: as the search ranked it.
        accuracies: on the validation images after the best epoch, in percent, by seed; None where it diverged.
        seconds: of all its trainings.
    """

    candidate: Candidate
    accuracies: tuple[float | None, ...]
    seconds: float

    @property
    def mean(self) -> float:
        """Their mean over the seeds; NaN if a training diverged."""
        return mean_of(self.accuracies)

    @property
    def std(self) -> float | None:
        """Their standard deviation (n - 1); None for one seed, or if a training diverged."""
        known = [value for value in self.accuracies if value is not None]
        return float(np.std(known, ddof=1)) if 1 < len(known) == len(self.accuracies) else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; numbers that do not exist are null."""
        one = self.candidate
        return {
            "rank": one.rank,
            "arch": one.arch,
            "predicted": one.predicted,
            "params": one.params,
            "valid_accuracies": list(self.accuracies),
            "valid_mean": None if math.isnan(self.mean) else self.mean,
            "valid_std": self.std,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class ThenTrained:
    """The first candidates of a search after training.

    Attributes:
        trained: in the order of the search.
        chosen: the one with the highest mean accuracy on the validation images; of equal ones the first-ranked.
        network: the chosen one's, with the weights of the seed that was best in validation.
        test: its scores on the test images, which decided nothing.
        test_accuracies: the chosen one's by seed, in percent.
        spearman: rank correlation of predicted accuracy and mean accuracy in validation; None where there is
            none, for fewer than three candidates.
        seeds: of the trainings.
        images: how many are in each part.
        recipe: of the trainings.
    """

    trained: tuple[TrainedCandidate, ...]
    chosen: TrainedCandidate
    network: FittedNetwork
    test: Scores
    test_accuracies: tuple[float, ...]
    spearman: float | None
    seeds: tuple[int, ...]
    images: dict[str, int]
    recipe: Recipe

    def to_dict(self) -> dict[str, Any]:
        """Return all but the weights as plain data."""
        return {
            "recipe": self.recipe.to_dict(),
            "seeds": list(self.seeds),
            "images": self.images,
            "candidates": [one.to_dict() for one in self.trained],
            "spearman": self.spearman,
            "chosen": {
                "rank": self.chosen.candidate.rank,
                "arch": self.chosen.candidate.arch,
                "card": self.network.card.to_dict(),
                "test": self.test.to_dict(),
                "test_accuracies": list(self.test_accuracies),
            },
        }


def then_train(
    result: SearchResult,
    parts: Parts,
    recipe: Recipe,
    *,
    k: int = 5,
    seeds: Sequence[int] = (0,),
    folder: str | Path | None = None,
    fabric: Fabric | None = None,
    on_training: Callable[[TrainedCandidate], None] = lambda trained: None,
) -> ThenTrained:
    """Train the first ``k`` candidates and choose among them on the validation images.

    The test images are looked at once, when the choice is made, and for the chosen one alone. For an honest test
    the search must have seen ``parts.train`` only: ``parts = split_parts(images)`` comes before the search.

    Args:
        result: of a search on ``parts.train``.
        parts: see ``split_parts``.
        recipe: of the trainings; the scale that the search was told of takes the place of its own.
        k: how many candidates; all of them if there are fewer.
        seeds: each candidate is trained once with each.
        folder: where weights and finished trainings are kept, so that the same call goes on where it was
            interrupted; None keeps nothing.
        fabric: device and precision; the CPU when None.
        on_training: told each candidate when its trainings are done.

    Raises:
        ConfigError: no candidate or no seed is asked for, or the images have other classes than the result.
        DataError: an image cannot be read.
        DivergedError: no candidate could be trained.
        Interrupted: Ctrl-C; the state is saved if there is a folder.
    """
    if k < 1 or not seeds:
        raise ConfigError(f"k={k} candidates and seeds={list(seeds)}: at least one of each is needed.")
    if result.best.num_classes != parts.train.num_classes:
        raise ConfigError(
            f"the search was for {result.best.num_classes} classes, the images '{parts.train.name}' have "
            f"{parts.train.num_classes}."
        )
    recipe = recipe_for(result, recipe)
    loaded = parts.load(recipe.resolution)
    loaded.tell_leaks()
    place: AbstractContextManager[Any] = tempfile.TemporaryDirectory() if folder is None else nullcontext(folder)
    with place as where:
        space = result.best.space
        trainer = CandidateTrainer(space, loaded, recipe, folder=Path(where), fabric=fabric)
        trained: list[TrainedCandidate] = []
        for number, candidate in enumerate(result.candidates[:k], start=1):
            label = f"candidate {number}/{min(k, len(result.candidates))}"
            rows = trainer.train(space.parse(candidate.arch), seeds, label)
            accuracies = tuple(row.accuracy for row in rows)
            trained.append(TrainedCandidate(candidate, accuracies, math.fsum(row.seconds for row in rows)))
            on_training(trained[-1])
        chosen = _best(trained)
        networks = {seed: trainer.network(space.parse(chosen.candidate.arch), seed) for seed in seeds}
    return _tested(tuple(trained), chosen, networks, loaded, tuple(seeds), recipe)


def _best(trained: Sequence[TrainedCandidate]) -> TrainedCandidate:
    able = [one for one in trained if not math.isnan(one.mean)]
    if not able:
        raise DivergedError("every training diverged. Lower the recipe's learning rate.")
    return max(able, key=lambda one: one.mean)


def _tested(
    trained: tuple[TrainedCandidate, ...],
    chosen: TrainedCandidate,
    networks: dict[int, FittedNetwork],
    parts: LoadedParts,
    seeds: tuple[int, ...],
    recipe: Recipe,
) -> ThenTrained:
    """Look at the test images, now that everything is decided."""
    tests = {seed: scores(network, parts.test) for seed, network in networks.items()}
    by_seed = dict(zip(seeds, chosen.accuracies, strict=True))
    best = max(networks, key=lambda seed: by_seed[seed] or 0.0)
    return ThenTrained(
        trained=trained,
        chosen=chosen,
        network=networks[best],
        test=tests[best],
        test_accuracies=tuple(tests[seed].accuracy for seed in seeds),
        spearman=_spearman(trained),
        seeds=seeds,
        images={"train": len(parts.train), "valid": len(parts.valid), "test": len(parts.test)},
        recipe=recipe,
    )


def _spearman(trained: Sequence[TrainedCandidate]) -> float | None:
    from scipy import stats

    pairs = [(one.candidate.predicted, one.mean) for one in trained if not math.isnan(one.mean)]
    if len(pairs) < 3 or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        return None
    return float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
