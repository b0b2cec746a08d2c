"""Inherited accuracies are those of networks taken out, on images that the supernet has not seen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from metad2a.data.image_set import ImageSet
from metad2a.errors import ArchitectureError, CheckpointError, DataError, UnknownNameError
from metad2a.fitting.network import LabelledImages
from metad2a.fitting.supernet_file import TrainedSupernet, image_keys
from metad2a.oracles.opening import open_oracle
from metad2a.oracles.supernet import SupernetOracle, open_supernet
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.mobilenetv3_compact import CompactMobileNetV3
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.networks.supernet import Supernet, recalibrate
from metad2a.testing.oracles import OracleContract

CLASSES = ("a", "b", "c", "d")
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
IMAGES = ImageSet.from_arrays(PIXELS, np.arange(40) % 4, classes=CLASSES, name="noise")


def trained(**fields: object) -> TrainedSupernet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Supernet(4, width=10, downsampling=8)
    whole = {"net": net, "classes": CLASSES, "resolution": 8, "mean": (120.0,) * 3, "std": (60.0,) * 3} | fields
    return TrainedSupernet(**whole)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def supernet() -> TrainedSupernet:
    return trained()


@pytest.fixture(scope="module")
def parts() -> tuple[ImageSet, ImageSet]:
    valid, train = IMAGES.split(0.5, 0)
    return train, valid


class TestSupernetOracle(OracleContract):
    @pytest.fixture
    def oracle(self, supernet: TrainedSupernet, parts: tuple[ImageSet, ImageSet]) -> SupernetOracle:
        return SupernetOracle.of(supernet, *parts)

    @pytest.fixture
    def archs(self) -> Sequence[Architecture]:
        return MobileNetV3().sample(2, np.random.default_rng(1))


def test_accuracy_is_that_of_the_network_taken_out(
    supernet: TrainedSupernet, parts: tuple[ImageSet, ImageSet]
) -> None:
    some = tuple(part.keep_classes([3, 1]) for part in parts)
    arch = MobileNetV3().sample(1, np.random.default_rng(2))[0]
    train, valid = (LabelledImages.of(part, 8) for part in some)
    network = supernet.net.network(MobileNetV3().layers(arch), [3, 1])
    recalibrate(network, [(train.images.float() - 120) / 60])
    with torch.no_grad():
        logits = network((valid.images.float() - 120) / 60)
    right = logits.argmax(1) == valid.labels
    oracle = SupernetOracle.of(supernet, *some)
    assert oracle.images == 10
    assert oracle.evaluate([arch, arch]).tolist() == [100 * right.double().mean().item()] * 2
    assert oracle.measure([arch])[0].loss == pytest.approx(cross_entropy(logits, valid.labels).item(), rel=1e-5)


def test_equal_networks_are_evaluated_once_whatever_their_code(
    supernet: TrainedSupernet, parts: tuple[ImageSet, ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    from metad2a.oracles import supernet as module

    calls: list[object] = []
    real = module.measure_inherited
    monkeypatch.setattr(module, "measure_inherited", lambda *args: calls.append(args) or real(*args))
    first = Architecture("mobilenetv3", (0, *[0] * 8) * 5)
    same = Architecture("mobilenetv3", (0, *[0] * 4, *[2] * 4) * 5)
    values = SupernetOracle.of(supernet, *parts).evaluate([first, same])
    assert values[0] == values[1]
    assert len(calls) == 1
    compact = Architecture("mobilenetv3-compact", first.choices)
    assert SupernetOracle.of(supernet, *parts, space=CompactMobileNetV3()).evaluate([compact])[0] == values[0]
    with pytest.raises(ArchitectureError, match="belongs to the space 'mobilenetv3-compact'"):
        SupernetOracle.of(supernet, *parts).evaluate([compact])


def test_images_of_the_training_are_not_measured_on(parts: tuple[ImageSet, ImageSet]) -> None:
    train, valid = (LabelledImages.of(part, 8) for part in parts)
    some = trained(seen=np.sort(image_keys(valid.images[:15])))
    assert SupernetOracle.of(some, *parts).images == 5
    every = trained(seen=np.sort(image_keys(valid.images)))
    with pytest.raises(DataError, match=r"given are 20 and 20, of which the supernet was trained on 20.*held out"):
        SupernetOracle.of(every, *parts)
    with pytest.raises(DataError, match="two images for statistics"):
        SupernetOracle(trained(), LabelledImages(train.images[:1], train.labels[:1]), valid, CLASSES)


def test_a_whole_data_set_is_divided_by_what_was_seen() -> None:
    pixels = LabelledImages.of(IMAGES, 8).images
    some = trained(seen=np.sort(image_keys(pixels[:30])))
    assert SupernetOracle.on(some, IMAGES).images == 10
    assert SupernetOracle.on(trained(), IMAGES).images == 20


def test_a_supernet_is_an_oracle_by_its_file(supernet: TrainedSupernet, tmp_path: Path) -> None:
    supernet.save(tmp_path / "net.safetensors")
    np.savez(tmp_path / "images.npz", x=PIXELS, y=np.arange(40) % 4, classes=np.array(CLASSES))
    column = str(tmp_path / "images.npz")
    oracle = open_oracle(tmp_path / "net.safetensors", column, MobileNetV3())
    assert isinstance(oracle, SupernetOracle)
    assert oracle.images == 20
    with pytest.raises(DataError, match="a supernet of 'mobilenetv3', not of 'nasbench201'"):
        open_oracle(tmp_path / "net.safetensors", column, NASBench201())
    with pytest.raises(CheckpointError, match="there are no supernet weights"):
        open_oracle("ofa_mbv3_d234_e346_k357_w1.0", column, MobileNetV3())


def test_unknown_classes_are_named(supernet: TrainedSupernet) -> None:
    other = ImageSet.from_arrays(PIXELS, np.arange(40) % 4, classes=("a", "b", "c", "zebra"), name="other")
    valid, train = other.split(0.5, 0)
    with pytest.raises(UnknownNameError, match="class of the supernet 'zebra'"):
        SupernetOracle.of(supernet, train, valid)


def test_files_are_opened_by_what_they_are(supernet: TrainedSupernet, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    supernet.save(path)
    assert open_supernet(path, width=10).fingerprint == supernet.fingerprint
    with pytest.raises(CheckpointError, match="have width 10, not 100"):
        open_supernet(path, width=100)
    with pytest.raises(CheckpointError, match="there are no supernet weights"):
        open_supernet(path.with_name("ofa_mbv3_d234_e346_k357_w1.0"))
