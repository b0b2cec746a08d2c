import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from metad2a.data.image_set import ImageSet
from metad2a.fitting.recipe import Recipe
from metad2a.oracles.training import TrainingOracle
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.oracles import OracleContract

SPACE = NASBench201()
LEARNS = SPACE.parse("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|")
BLIND = SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
RECIPE = Recipe(
    name="tiny",
    epochs=2,
    batch_size=16,
    learning_rate=0.1,
    resolution=8,
    scale={"channels": 4, "cells": 1},
)


def stripes(count: int, name: str) -> ImageSet:
    """Horizontal or vertical stripes under noise: easy for a network that sees them at all."""
    rng = numpy_rng("stripes", name)
    labels = np.arange(count) % 2
    wave = np.where(np.arange(8) % 4 < 2, 40, 200)
    images = np.where(labels[:, None, None] == 0, wave[:, None], wave[None, :])
    noisy = images[..., None] + rng.integers(-20, 20, (count, 8, 8, 3))
    return ImageSet.from_arrays(noisy.astype(np.uint8), labels, name=name)


@pytest.fixture(scope="module")
def images() -> tuple[ImageSet, ImageSet]:
    return stripes(80, "train"), stripes(64, "valid")


class TestTrainingOracle(OracleContract):
    @pytest.fixture
    def oracle(self, images: tuple[ImageSet, ImageSet]) -> TrainingOracle:
        return TrainingOracle(SPACE, *images, RECIPE)

    @pytest.fixture
    def archs(self) -> Sequence[Architecture]:
        return [LEARNS, BLIND]


def test_a_network_that_can_learn_learns(images: tuple[ImageSet, ImageSet]) -> None:
    oracle = TrainingOracle(SPACE, *images, RECIPE)
    learns, blind = oracle.evaluate([LEARNS, BLIND])
    assert learns > 90
    assert blind == 50, "without an input it can only guess one of two equal classes"
    assert oracle.name == "training:tiny"


def test_a_training_that_diverges_is_not_a_number(
    images: tuple[ImageSet, ImageSet], caplog: pytest.LogCaptureFixture
) -> None:
    wild = replace(RECIPE, learning_rate=1e30, epochs=3)
    with caplog.at_level(logging.WARNING):
        accuracy = TrainingOracle(SPACE, *images, wild).evaluate([LEARNS])
    assert np.isnan(accuracy).all()
    assert SPACE.format(LEARNS) in caplog.text
