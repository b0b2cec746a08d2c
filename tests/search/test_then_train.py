import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from metad2a.data.glyphs import glyphs
from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError
from metad2a.fitting.fitted import load_fitted
from metad2a.fitting.found import fit_found, scores
from metad2a.fitting.loop import DivergedError
from metad2a.fitting.parts import Parts, split_parts
from metad2a.fitting.recipe import Recipe
from metad2a.search.result import Candidate, SearchResult
from metad2a.search.then_train import then_train
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()
DEAD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"  # always the same answer
ABLE = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
THIRD = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|none~2|"
RECIPE = Recipe(
    name="test", epochs=4, batch_size=16, learning_rate=0.1, resolution=8, scale={"channels": 4, "cells": 1}
)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return glyphs(["A", "g", "8"], images_per_class=40)


@pytest.fixture(scope="module")
def parts(images: ImageSet) -> Parts:
    return split_parts(images)


def found(*archs: str, num_classes: int = 3) -> SearchResult:
    """Return a search that ranked ``archs`` in this order."""
    candidates = tuple(
        Candidate(
            rank=rank,
            arch=arch,
            predicted=90.0 - rank,
            std=None,
            params=1,
            flops=1,
            latency_ms=None,
            space=SPACE,
            num_classes=num_classes,
        )
        for rank, arch in enumerate(archs, start=1)
    )
    return SearchResult(candidates, "nasbench201", "test", 0, {}, {}, {})


def test_the_best_in_validation_is_chosen(parts: Parts, tmp_path: Path) -> None:
    told: list[Any] = []
    done = then_train(
        found(DEAD, ABLE, THIRD, DEAD), parts, RECIPE, k=3, seeds=(0, 1), folder=tmp_path, on_training=told.append
    )
    loaded = parts.load(8)
    fits = [
        [fit_found(SPACE, SPACE.parse(arch), loaded, RECIPE, seed=seed) for seed in (0, 1)]
        for arch in (DEAD, ABLE, THIRD)
    ]
    valid = np.array([[fit.valid.accuracy for fit in row] for row in fits])
    assert [one.accuracies for one in done.trained] == [tuple(row) for row in valid.tolist()]
    assert told == list(done.trained)
    best = int(valid.mean(1).argmax())
    assert best > 0
    assert done.chosen is done.trained[best]
    assert done.chosen.mean == pytest.approx(valid[best].mean())
    assert done.chosen.std == pytest.approx(valid[best].std(ddof=1))
    assert done.test_accuracies == tuple(scores(fit.fitted, loaded.test).accuracy for fit in fits[best])
    seed = int(valid[best].argmax())
    assert done.network.card.seed == seed
    assert done.test.accuracy == done.test_accuracies[seed]
    assert done.spearman == pytest.approx(stats.spearmanr([3, 2, 1], valid.mean(1)).statistic)
    content = done.to_dict()
    assert [row["rank"] for row in content["candidates"]] == [1, 2, 3]
    assert content["chosen"]["rank"] == best + 1
    assert content["images"] == {"train": len(parts.train), "valid": len(parts.valid), "test": len(parts.test)}
    [kept] = [
        path.parent for path in tmp_path.rglob("best.safetensors") if load_fitted(path).card == done.network.card
    ]
    assert load_fitted(kept).card.arch == done.chosen.candidate.arch


def test_the_choice_never_looks_at_the_test_images(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they are, the same is trained and chosen; only the chosen cell's networks classify them."""
    result = found(DEAD, ABLE, THIRD)
    one = then_train(result, parts, RECIPE, k=3)
    wrong = Parts(
        parts.train,
        parts.valid,
        ImageSet(
            parts.test._images, (parts.test.labels + 1) % 3, parts.test.classes, name="wrong", rows=parts.test._rows
        ),
    )
    looked: list[str] = []
    real = scores

    def watched(fitted: Any, images: Any) -> Any:
        looked.append(fitted.card.arch)
        return real(fitted, images)

    monkeypatch.setattr("metad2a.search.then_train.scores", watched)
    other = then_train(result, wrong, RECIPE, k=3)
    assert [t.accuracies for t in one.trained] == [t.accuracies for t in other.trained]
    assert one.chosen.candidate == other.chosen.candidate
    assert one.network.card == other.network.card
    assert looked == [other.chosen.candidate.arch]
    assert one.test.accuracy != other.test.accuracy


def test_finished_trainings_are_not_done_again(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = found(ABLE, THIRD)
    calls: list[int] = []
    real = fit_found

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr("metad2a.search.candidate_trainer.fit_found", interrupted)
    with pytest.raises(KeyboardInterrupt):
        then_train(result, parts, RECIPE, k=2, folder=tmp_path)
    done = then_train(result, parts, RECIPE, k=2, folder=tmp_path)
    assert len(calls) == 3
    again = then_train(result, parts, RECIPE, k=2, folder=tmp_path)
    assert len(calls) == 3
    assert again.to_dict() == done.to_dict()
    then_train(result, parts, replace(RECIPE, epochs=1), k=1, folder=tmp_path)  # another recipe is another training
    assert len(calls) == 4


def test_trainings_that_diverge(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fit_found

    def wild(space: Any, arch: Any, *arguments: Any, **options: Any) -> Any:
        if space.format(arch) == ABLE:
            raise DivergedError("wild")
        return real(space, arch, *arguments, **options)

    monkeypatch.setattr("metad2a.search.candidate_trainer.fit_found", wild)
    done = then_train(found(ABLE, THIRD), parts, RECIPE, k=9)
    assert done.chosen.candidate.rank == 2
    assert math.isnan(done.trained[0].mean)
    assert done.to_dict()["candidates"][0]["valid_mean"] is None
    assert done.spearman is None
    with pytest.raises(DivergedError, match="every training diverged"):
        then_train(found(ABLE), parts, RECIPE)


def test_what_cannot_be_trained(parts: Parts) -> None:
    with pytest.raises(ConfigError, match="k=0"):
        then_train(found(ABLE), parts, RECIPE, k=0)
    with pytest.raises(ConfigError, match="at least one of each"):
        then_train(found(ABLE), parts, RECIPE, seeds=())
    with pytest.raises(ConfigError, match="for 7 classes, the images 'glyphs' have 3"):
        then_train(found(ABLE, num_classes=7), parts, RECIPE)
