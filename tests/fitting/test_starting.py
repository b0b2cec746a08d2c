"""Networks that begin with the weights of a supernet."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from metad2a.errors import CheckpointError, DataError
from metad2a.fitting.fitted import Card, load_fitted
from metad2a.fitting.found import fit_found
from metad2a.fitting.network import LabelledImages, channel_moments, normalizer, seeded
from metad2a.fitting.parts import LoadedParts
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.starting import inherited_network, with_size_of
from metad2a.fitting.supernet_file import TrainedSupernet
from metad2a.runtime import torch_rng
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.mobilenetv3_compact import CompactMobileNetV3
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.networks.supernet import Supernet, recalibrate

SPACE = MobileNetV3()
ARCH = SPACE.sample(1, np.random.default_rng(0))[0]
RECIPE = Recipe(
    "test", epochs=2, batch_size=8, learning_rate=0.01, resolution=8, drop_path=0.2, dropout=0.2, cutout=2
)
CPU = torch.device("cpu")


def images(count: int, key: str) -> LabelledImages:
    labels = torch.arange(count) % 2
    base = torch.tensor([[40, 90, 40], [200, 90, 90]])[labels][:, :, None, None]
    noise = torch.randint(0, 50, (count, 3, 8, 8), generator=torch_rng(key))
    return LabelledImages((base + noise).to(torch.uint8), labels)


PARTS = LoadedParts(images(30, "train"), images(10, "valid"), images(10, "test"), ("light", "dark"), "shades")


@pytest.fixture(scope="module")
def supernet() -> TrainedSupernet:
    with seeded(9):
        net = Supernet(3, width=10, downsampling=8)
    return TrainedSupernet(net, ("dark", "red", "light"), 8, (127.0,) * 3, (64.0,) * 3)


def begun(supernet: TrainedSupernet, parts: LoadedParts, recipe: Recipe) -> torch.nn.Module:
    sized = with_size_of(supernet, SPACE, recipe)
    return inherited_network(supernet, SPACE, ARCH, parts, sized, seed=1, device=CPU)


def test_it_is_the_network_of_the_supernet(supernet: TrainedSupernet) -> None:
    net = begun(supernet, PARTS, RECIPE)
    expected = supernet.net.network(SPACE.layers(ARCH), supernet.rows(PARTS.classes))
    normalize = normalizer(*channel_moments(PARTS.train.images), CPU)
    recalibrate(expected, [normalize(PARTS.train.images)])
    seen = normalize(PARTS.valid.images)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(seen), expected.eval()(seen), rtol=1e-3, atol=1e-5)


def test_no_image_of_many_is_measured_alone(supernet: TrainedSupernet) -> None:
    """Batch normalisation has no statistics of one image in maps of one pixel."""
    net = begun(supernet, replace(PARTS, train=images(129, "many")), RECIPE)
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {2}
    with pytest.raises(DataError, match="1 training and 10 validation images are too few"):
        begun(supernet, replace(PARTS, train=images(1, "one")), RECIPE)


def test_other_classes_get_a_new_classifier(supernet: TrainedSupernet) -> None:
    parts = replace(PARTS, classes=("light", "blue"))
    net, known = begun(supernet, parts, RECIPE), begun(supernet, PARTS, RECIPE)
    with seeded(1):
        fresh = SPACE.build(ARCH, 2, width=10, downsampling=8)
    assert torch.equal(net.classifier.weight, fresh.classifier.weight)
    assert not torch.equal(known.classifier.weight, fresh.classifier.weight)
    assert torch.equal(net.head.mix.weight, known.head.mix.weight)


def test_the_supernet_is_left_as_it_is(supernet: TrainedSupernet) -> None:
    before = {name: value.clone() for name, value in supernet.net.state_dict().items()}
    fit_found(SPACE, ARCH, PARTS, RECIPE, supernet=supernet)
    assert all(torch.equal(value, before[name]) for name, value in supernet.net.state_dict().items())


def test_the_size_is_that_of_the_supernet_but_strides_are_free(supernet: TrainedSupernet) -> None:
    assert with_size_of(supernet, SPACE, RECIPE).scale == {"width": 10, "downsampling": 8}
    wider = replace(RECIPE, scale={"downsampling": 2})
    assert with_size_of(supernet, CompactMobileNetV3(), wider).scale == {"width": 10, "downsampling": 2}
    net = begun(supernet, PARTS, wider)
    with torch.no_grad():
        assert net.eval()(torch.zeros(1, 3, 8, 8)).shape == (1, 2)


def test_supernets_of_other_networks_are_refused(supernet: TrainedSupernet) -> None:
    with pytest.raises(CheckpointError, match="networks have width 10, not 100"):
        fit_found(SPACE, ARCH, PARTS, replace(RECIPE, scale={"width": 100}), supernet=supernet)
    cells = NASBench201()
    cell = cells.sample(1, np.random.default_rng(0))[0]
    with pytest.raises(CheckpointError, match=r"'mobilenetv3', not of 'nasbench201'.*space=mobilenetv3"):
        fit_found(cells, cell, PARTS, RECIPE, supernet=supernet)


def test_training_goes_on_from_there_and_the_card_says_so(supernet: TrainedSupernet, tmp_path: Path) -> None:
    fit = fit_found(SPACE, ARCH, PARTS, RECIPE, supernet=supernet, folder=tmp_path)
    again = fit_found(SPACE, ARCH, PARTS, RECIPE, supernet=supernet)
    assert fit.curve == again.curve
    assert fit.curve != fit_found(SPACE, ARCH, PARTS, with_size_of(supernet, SPACE, RECIPE)).curve
    card = load_fitted(tmp_path).card
    assert card.start == supernet.fingerprint
    assert card.scale == card.recipe["scale"] == {"width": 10, "downsampling": 8}
    earlier = {name: value for name, value in card.to_dict().items() if name != "start"}
    assert Card.from_dict(earlier) == replace(card, start="")
