"""The parts of the paper's protocols; the scripts that join them are tested in tests/scripts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError, DataError
from metad2a.evaluation.paper.files import TABLE, OfficialFolder
from metad2a.evaluation.paper.final_training import FinalTraining, open_parts, part_names, x_test
from metad2a.evaluation.paper.nasbench201 import Quality, drawn_quality, search_table, t_interval
from metad2a.fitting.recipe import Recipe
from metad2a.oracles.table import TableOracle
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.nasbench201 import NASBench201

RECIPE = Recipe(
    name="tiny", epochs=2, batch_size=8, learning_rate=0.1, resolution=8, scale={"channels": 2, "cells": 1}
)


def image_set(count: int, seed: int = 0) -> ImageSet:
    x = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return ImageSet.from_arrays(x, np.arange(count) % 3)


def test_t_interval() -> None:
    mean, half = t_interval([58.0, 59.0, 60.0])
    assert (mean, half) == (59.0, pytest.approx(4.3027 / 3**0.5, rel=1e-4))  # a table's t of 2 degrees of freedom
    assert t_interval([3.0]) == (3.0, None)


def test_places(tmp_path: Path) -> None:
    folder = OfficialFolder(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "nasbench201.pt").touch()
    (tmp_path / "nasbench201.pt").touch()
    assert folder.file(TABLE) == tmp_path / "data" / "nasbench201.pt"
    (tmp_path / "data" / "nasbench201.pt").unlink()
    assert folder.file(TABLE) == tmp_path / "nasbench201.pt"
    folder.check()
    folder.file(TABLE, given=tmp_path / "elsewhere.pt")
    with pytest.raises(DataError, match=r"elsewhere\.pt  the cells of NAS-Bench-201"):
        folder.check()


# --- search ---------------------------------------------------------------------------------------------------


def test_a_generator_with_given_edges_cannot_run_the_protocol(make_checkpoint: Any, features: Any) -> None:
    """It is the official, free decoder's: none is taken in its stead."""
    model = MetaD2A(make_checkpoint(), name="test", device="cpu")
    oracle = TableOracle(dict.fromkeys(model.space.enumerate(), 50.0), model.space, name="constant")
    with pytest.raises(ValueError, match="cannot decode unconstrained"):
        search_table(model, features, oracle, runs=1)
    with pytest.raises(ConfigError, match="runs=0"):
        search_table(model, features, oracle, runs=0)


def test_quality_counts(make_checkpoint: Any, features: Any) -> None:
    model = MetaD2A(make_checkpoint(), name="test", device="cpu")
    everything = list(model.space.enumerate())
    unknown = drawn_quality(model, features, 130, constrained=True)
    none_known = drawn_quality(model, features, 130, constrained=True, known=[])
    all_known = drawn_quality(model, features, 130, constrained=True, known=everything)
    assert (unknown.sampled, unknown.valid, unknown.novel) == (130, 130, None)
    assert 1 < unknown.distinct <= 130
    assert none_known.novel == none_known.distinct == unknown.distinct
    assert all_known.novel == 0


def test_shares() -> None:
    assert Quality(200, 50, 40, 10).shares() == {"validity": 25.0, "uniqueness": 80.0, "novelty": 25.0}
    assert Quality(200, 0, 0, 0).shares() == {"validity": 0.0, "uniqueness": None, "novelty": None}


# --- images ---------------------------------------------------------------------------------------------------


def write_npz(path: Path, count: int) -> ImageSet:
    np.savez(path, x=np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2), y=np.arange(count) % 2)
    return ImageSet.open(str(path))


def test_their_half_of_the_test_images(tmp_path: Path) -> None:
    test = write_npz(tmp_path / "test.npz", 10)
    split = tmp_path / "mnist-test-split.txt"
    split.write_text(json.dumps({"xvalid": ["int", ["0", "2", "4", "6", "8"]], "xtest": ["int", list("97531")]}))
    half, whose = x_test(test, split)
    assert whose.startswith("theirs")
    assert np.array_equal(half.load(range(5), 2), test.load([9, 7, 5, 3, 1], 2))
    for other in (write_npz(tmp_path / "other.npz", 12), image_set(12)):  # of other length, or in no known order
        half, whose = x_test(other, split)
        assert whose.startswith("ours")
        assert half.counts.sum() * 2 == 12
    assert x_test(test, None)[1].startswith("ours")
    for broken in ("no json", "{}", json.dumps({"xvalid": ["int", ["0"]], "xtest": ["int", ["0"]]})):
        split.write_text(broken)
        with pytest.raises(DataError, match="mnist-test-split"):
            x_test(test, split)


def test_parts_of_a_data_set(tmp_path: Path) -> None:
    assert part_names(tmp_path) == {"train": None, "test": None}
    write_npz(tmp_path / "train.npz", 4)
    (tmp_path / "test").mkdir()
    assert part_names(tmp_path) == {"train": tmp_path / "train.npz", "test": tmp_path / "test"}
    np.savez(tmp_path / "three.npz", x=np.zeros((3, 2, 2), np.uint8), y=np.arange(3))
    with pytest.raises(DataError, match=r"2 classes, .*three\.npz 3"):
        open_parts(tmp_path / "train.npz", tmp_path / "three.npz")


# --- final training -------------------------------------------------------------------------------------------


@pytest.fixture
def train(space: NASBench201, tmp_path: Path) -> Any:
    """Return a function that trains one cell below a folder."""
    arch = space.parse("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|")

    def train(folder: str, recipe: Recipe = RECIPE, seed: int = 0, **options: Any) -> Any:
        training = FinalTraining(space, image_set(24, seed), image_set(15, 9), recipe, folder=tmp_path / folder)
        return training.run(arch, **options)

    return train


def test_seeds_differ_and_repeat(train: Any) -> None:
    told: dict[int, float | None] = {}
    first = train("a", seeds=(1, 2, 3), on_seed=told.__setitem__)
    assert tuple(told.values()) == first.accuracies
    assert len(set(first.accuracies)) > 1
    assert train("b", seeds=(3, 2, 1)).accuracies == first.accuracies[::-1]


def test_an_interrupted_training_goes_on(train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed within a training: the epochs that were finished are not done again, the end is the same."""
    whole = train("whole", seeds=(1,))
    from metad2a.fitting.loop import Fit

    finish, epochs = Fit._finish_epoch, []

    def once(self: Fit) -> None:
        if self.state.epoch == 1:
            raise KeyboardInterrupt
        finish(self)

    def counted(self: Fit) -> None:
        epochs.append(self.state.epoch)
        finish(self)

    monkeypatch.setattr(Fit, "_finish_epoch", once)
    with pytest.raises(KeyboardInterrupt):
        train("cut", seeds=(1,))
    assert [path.name for path in (tmp_path / "cut").rglob("seed-*")] == ["seed-1.pt"]
    monkeypatch.setattr(Fit, "_finish_epoch", counted)
    assert train("cut", seeds=(1,)).accuracies == whole.accuracies
    assert epochs == [1]
    assert [path.name for path in (tmp_path / "cut").rglob("seed-*")] == ["seed-1.json"]


def test_what_is_kept_is_taken_for_nothing_else(train: Any, tmp_path: Path) -> None:
    train("kept", seeds=(1,))
    train("kept", seeds=(1,))
    assert len(list((tmp_path / "kept").rglob("*.json"))) == 1
    train("kept", Recipe.from_dict(RECIPE.to_dict() | {"epochs": 1}), seeds=(1,))
    train("kept", seed=5, seeds=(1,))  # other images
    assert len(list((tmp_path / "kept").rglob("*.json"))) == 3


def test_a_training_that_diverges_is_no_accuracy(train: Any) -> None:
    wild = Recipe.from_dict(RECIPE.to_dict() | {"learning_rate": 1e30, "epochs": 4})
    trained = train("wild", wild, seeds=(1,))
    assert trained.accuracies == (None,)
