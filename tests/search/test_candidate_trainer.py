import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.data.glyphs import glyphs
from metad2a.fitting.found import fit_found
from metad2a.fitting.loop import DivergedError
from metad2a.fitting.parts import LoadedParts, split_parts
from metad2a.fitting.recipe import Recipe
from metad2a.search import candidate_trainer
from metad2a.search.candidate_trainer import CandidateTrainer
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()
ARCH, OTHER = SPACE.sample(2, np.random.default_rng(3))
RECIPE = Recipe(
    name="test", epochs=2, batch_size=16, learning_rate=0.1, resolution=8, scale={"channels": 2, "cells": 1}
)


@pytest.fixture(scope="module")
def parts() -> LoadedParts:
    return split_parts(glyphs(["A", "g", "8"], images_per_class=20)).load(RECIPE.resolution)


def test_accuracies_are_means_over_seeds_and_kept(
    parts: LoadedParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = CandidateTrainer(SPACE, parts, RECIPE, folder=tmp_path)
    [found] = trainer.accuracies([ARCH], seeds=(0, 1))
    alone = [fit_found(SPACE, ARCH, parts, RECIPE, seed=seed).valid.accuracy for seed in (0, 1)]
    assert found == pytest.approx(sum(alone) / 2)
    assert trainer.network(ARCH, 1).card.accuracy == alone[1]

    def wild(space: Any, arch: Any, *arguments: Any, **options: Any) -> Any:
        assert arch == OTHER, "trained again"
        raise DivergedError("wild")

    monkeypatch.setattr(candidate_trainer, "fit_found", wild)
    again = CandidateTrainer(SPACE, parts, RECIPE, folder=tmp_path)
    assert again.accuracies([ARCH], seeds=(1, 0)) == [found]
    assert math.isnan(again.accuracies([OTHER])[0])
    assert again.train(OTHER, (0,), "it")[0].accuracy is None
