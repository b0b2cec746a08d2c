"""Training a supernet: killed and resumed equals uninterrupted; its file says all that is needed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from metad2a.errors import ArchitectureError, CheckpointError, ConfigError, DataError, UnknownNameError
from metad2a.fitting.loop import Fit, Interrupted
from metad2a.fitting.network import EVALUATION_BATCH, LabelledImages, normalizer
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.supernet import fit_supernet, measure_inherited
from metad2a.fitting.supernet_file import TrainedSupernet, image_keys
from metad2a.runtime import torch_rng
from metad2a.spaces.networks.supernet import SMALLEST, Supernet

CLASSES = ("dark", "light", "red")
RECIPE = Recipe(
    "tiny",
    epochs=2,
    batch_size=8,
    learning_rate=0.05,
    resolution=8,
    flip=True,
    images_per_epoch=16,
    scale={"width": 10, "downsampling": 8},
)


def images(count: int, *key: str) -> LabelledImages:
    """Three classes that even one step begins to tell apart."""
    labels = torch.arange(count) % 3
    base = torch.tensor([[40, 40, 40], [200, 200, 200], [200, 40, 40]])[labels][:, :, None, None]
    noise = torch.randint(-30, 31, (count, 3, 8, 8), generator=torch_rng(*key))
    return LabelledImages((base + noise).to(torch.uint8), labels)


TRAIN, VALID = images(24, "train"), images(9, "valid")


@pytest.fixture(scope="module")
def trained() -> TrainedSupernet:
    return fit_supernet(TRAIN, VALID, CLASSES, RECIPE, drawn=1, provenance={"note": "a test"})


def test_a_fit_tells_what_came_of_it(trained: TrainedSupernet) -> None:
    assert set(trained.scores) == {"train/loss", "train/largest", "val/largest", "val/smallest", "val/drawn"}
    assert all(0 <= value <= 100 for name, value in trained.scores.items() if name.startswith("val/"))
    assert trained.provenance["recipe"] == RECIPE.to_dict()
    assert trained.provenance["steps"] == 4
    assert trained.provenance["note"] == "a test"
    assert trained.has_seen(TRAIN.images).all()
    assert not trained.has_seen(VALID.images).any()


def test_every_kind_of_weight_learns(trained: TrainedSupernet) -> None:
    first = fit_state_before()
    changed = {
        name.split(".")[0] for name, value in trained.net.named_parameters() if not torch.equal(value, first[name])
    }
    assert changed == {"largest", "to5", "to3"}


def fit_state_before() -> dict[str, torch.Tensor]:
    from metad2a.fitting.supernet import _supernet

    return {name: value.detach() for name, value in _supernet(3, RECIPE, 0).named_parameters()}


def test_killed_and_resumed_is_the_same(
    trained: TrainedSupernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "last.pt"
    step = Fit._step

    def stopped(self: Fit, loss: torch.Tensor) -> None:
        step(self, loss)
        if self.state.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Fit, "_step", stopped)
    with pytest.raises((KeyboardInterrupt, Interrupted)):
        fit_supernet(TRAIN, VALID, CLASSES, RECIPE, drawn=1, state_file=state)
    monkeypatch.undo()
    done: list[int] = []
    resumed = fit_supernet(TRAIN, VALID, CLASSES, RECIPE, drawn=1, state_file=state, on_start=done.append)
    assert done == [2]
    for name, value in resumed.net.named_parameters():
        assert torch.equal(value, dict(trained.net.named_parameters())[name])
    assert resumed.scores == trained.scores
    assert resumed.fingerprint == trained.fingerprint


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"drawn": 0}, ConfigError, "drawn=0"),
        ({"recipe": replace(RECIPE, scale={"downsampling": 3})}, ArchitectureError, "downsampling=3"),
        ({"recipe": replace(RECIPE, scale={"channels": 8})}, ArchitectureError, "channels"),
        ({"train": images(4, "few")}, DataError, "4 training and 9 validation"),
        ({"valid": images(0, "none")}, DataError, "0 validation"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, object], error: type[Exception], words: str) -> None:
    given = {"train": TRAIN, "valid": VALID, "recipe": RECIPE, "drawn": 1} | changes
    with pytest.raises(error, match=words):
        fit_supernet(classes=CLASSES, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [2, EVALUATION_BATCH, EVALUATION_BATCH + 1])
def test_accuracy_is_measured_whatever_the_number_of_images(trained: TrainedSupernet, count: int) -> None:
    """Batch normalisation has no statistics of one image in maps of one pixel."""
    normalize = normalizer(torch.tensor(trained.mean), torch.tensor(trained.std), torch.device("cpu"))
    calibration = normalize(images(count, "calibration").images)
    measured = measure_inherited(trained.net, SMALLEST, calibration, VALID, normalize)
    assert 0 <= measured.accuracy <= 100
    assert 0 < measured.loss < 100


# --- the file -----------------------------------------------------------------------------------------------


def test_a_file_gives_back_the_supernet(trained: TrainedSupernet, tmp_path: Path) -> None:
    trained.save(tmp_path / "a.safetensors")
    again = TrainedSupernet.load(tmp_path / "a.safetensors")
    assert again.fingerprint == trained.fingerprint
    assert (again.classes, again.resolution, again.mean, again.std) == (CLASSES, 8, trained.mean, trained.std)
    assert again.net.size == {"width": 10, "downsampling": 8}
    assert (again.scores, again.provenance) == (trained.scores, trained.provenance)
    np.testing.assert_array_equal(again.seen, trained.seen)
    assert again.of_width(10).of_width(None) is again


def test_the_fingerprint_is_of_weights_and_not_of_statistics(trained: TrainedSupernet) -> None:
    net = Supernet(3, **trained.net.size)
    net.load_state_dict(trained.net.state_dict())
    net.largest.stem.norm.running_mean += 1
    same = replace(trained, net=net)
    assert same.fingerprint == trained.fingerprint
    with torch.no_grad():
        net.to3[0] += 1
    assert replace(trained, net=net).fingerprint != trained.fingerprint
    assert replace(trained, classes=("a", "b", "c")).fingerprint != trained.fingerprint


def test_other_files_are_refused(trained: TrainedSupernet, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match=r"there is no supernet .*metad2a train supernet"):
        TrainedSupernet.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="no safetensors file"):
        TrainedSupernet.load(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="holds no supernet"):
        TrainedSupernet.load(path)
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors"):
        trained.save(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="have width 10, not 100"):
        trained.of_width(100)


def test_classes_are_rows(trained: TrainedSupernet) -> None:
    assert trained.rows(["red", "dark"]) == [2, 0]
    with pytest.raises(
        UnknownNameError, match=r"supernet 'blue': .* 3 others \(dark, .*, red\).*metad2a train supernet"
    ):
        trained.rows(["blue"])
    many = replace(trained, classes=tuple(map(str, range(200))))
    with pytest.raises(UnknownNameError, match=r"on 200 others \(0, 1, 2, 3, 4, \.\.\.\)\."):
        many.rows(["blue"])


def test_keys_depend_on_pixels() -> None:
    keys = image_keys(TRAIN.images)
    assert len(set(keys.tolist())) == len(TRAIN)
    np.testing.assert_array_equal(
        image_keys(TRAIN.images.clone().contiguous(memory_format=torch.channels_last)), keys
    )
    assert image_keys(TRAIN.images[:0]).shape == (0,)
