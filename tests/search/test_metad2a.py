from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.errors import ArchitectureError
from metad2a.models.checkpoint import Checkpoint
from metad2a.runtime import numpy_rng
from metad2a.search import predictor_ranker
from metad2a.search.metad2a import MetaD2A
from metad2a.search.result import SearchResult
from metad2a.spaces.nasbench201 import NASBench201

MakeCheckpoint = Callable[..., Checkpoint]


Check = Callable[..., dict[str, Any]]


def without_timing(result: SearchResult) -> dict[str, Any]:
    content = result.to_dict()
    del content["timing"]
    return content


def test_search_of_features(check_contract: Check, model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=40, random_state=3)
    content = check_contract(result, n=40, num_classes=5)
    assert content["checkpoint"] == "untrained"
    assert content["seed"] == 3
    assert content["dataset"] == {"name": "random", "classes": 5, "images_used": 30, "embedder": "pixels"}
    assert content["generation"]["novel"] == 40, "the checkpoint knows no training architecture"
    assert {candidate["latency_ms"] for candidate in content["candidates"]} == {None}


def test_search_of_images(check_contract: Check, image_model: MetaD2A, images: ImageSet) -> None:
    result = image_model.search(images, n_candidates=12, images_per_class=7)
    content = check_contract(result, n=12, num_classes=3)
    assert content["dataset"] == {"name": "noise", "classes": 3, "images_used": 6 + 7 + 7, "embedder": "pixels"}


def test_search_of_images_is_that_of_their_features(image_model: MetaD2A, images: ImageSet) -> None:
    embedded = image_model.embed(images, images_per_class=5, random_state=2)
    by_features = image_model.search(embedded, n_candidates=12, random_state=2)
    by_images = image_model.search(images, n_candidates=12, images_per_class=5, random_state=2)
    assert without_timing(by_features) == without_timing(by_images)


def test_the_random_state_decides(model: MetaD2A, features: FeatureSet) -> None:
    one, same, other = (model.search(features, n_candidates=20, random_state=state) for state in (1, 1, 2))
    assert without_timing(one) == without_timing(same)
    assert {c.arch for c in one.candidates} != {c.arch for c in other.candidates}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert without_timing(model.search(features, n_candidates=20, random_state=1)) == without_timing(one)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_data_set_decides(model: MetaD2A, features: FeatureSet) -> None:
    other = FeatureSet(
        3 - 2 * features.features,
        np.repeat(np.arange(5), features.counts.numpy()),
        features.classes,
        embedder=features.embedder,
        name="other",
    )
    archs = NASBench201().sample(20, numpy_rng("archs"))
    assert not np.allclose(model.predict(features, archs), model.predict(other, archs))


def test_novel_are_those_that_meta_training_has_not_seen(
    make_checkpoint: MakeCheckpoint, model: MetaD2A, features: FeatureSet
) -> None:
    found = [candidate.arch for candidate in model.search(features, n_candidates=20).candidates]
    known = MetaD2A(make_checkpoint(train_archs=tuple(found[:8])), name="known", device="cpu")
    assert known.search(features, n_candidates=20).generation["novel"] == 12


def test_a_frame_has_a_row_a_candidate(model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=9)
    frame = result.to_frame()
    assert set(frame.columns) == set(result.to_dict()["candidates"][0])
    assert frame["arch"].tolist() == [candidate.arch for candidate in result.candidates]
    assert frame["rank"].tolist() == list(range(1, 10))


def test_the_best_candidate_is_a_network(model: MetaD2A, features: FeatureSet) -> None:
    best = model.search(features, n_candidates=9).best
    assert best.rank == 1
    net = best.build().eval()
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert sum(weight.numel() for weight in net.parameters()) == best.params
    small = best.build(num_classes=7, channels=4, cells=1)
    assert small(torch.zeros(2, 3, 16, 16)).shape == (2, 7)
    with pytest.raises(ArchitectureError):
        best.build(num_classes=0)


def test_the_searcher_proposes_the_candidates_in_order(model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=9)
    asked = model.searcher(result).ask(100)
    assert [model.space.format(arch) for arch in asked] == [candidate.arch for candidate in result.candidates]


def test_wild_predictions_are_shown_as_percentages(
    check_contract: Check, make_checkpoint: MakeCheckpoint, features: FeatureSet
) -> None:
    model = MetaD2A(make_checkpoint(target={"mean": 105.0, "std": 50.0}), name="wild", device="cpu")
    result = model.search(features, n_candidates=30)
    check_contract(result, n=30, num_classes=5)
    archs = [model.space.parse(candidate.arch) for candidate in result.candidates]
    raw = model.predict(features, archs)
    assert raw.max() > 100, "the test is about predictions beyond 100"
    assert np.all(np.diff(raw) <= 1e-6), "clipped predictions keep the order"


def test_predictions_do_not_depend_on_the_company(model: MetaD2A, features: FeatureSet) -> None:
    archs = model.space.sample(50, numpy_rng("archs"))
    together = model.predict(features, archs, random_state=4)
    assert together.shape == (50,)
    assert np.ptp(together) > 0.01
    np.testing.assert_allclose(model.predict(features, archs[::-1], random_state=4)[::-1], together, rtol=1e-5)
    np.testing.assert_allclose(model.predict(features, archs[:3], random_state=4), together[:3], rtol=1e-5)
    result = model.search(features, n_candidates=20, random_state=4)
    again = model.predict(features, [model.space.parse(c.arch) for c in result.candidates], random_state=4)
    np.testing.assert_allclose([c.predicted for c in result.candidates], again, rtol=1e-5)


def test_predictions_in_batches_are_the_same(
    model: MetaD2A, features: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    archs = model.space.sample(50, numpy_rng("archs"))
    together = model.predict(features, archs)
    monkeypatch.setattr(predictor_ranker, "_GRAPHS_A_BATCH", 7)
    np.testing.assert_allclose(model.predict(features, archs), together, rtol=1e-5)


def test_predictions_are_in_percent(make_checkpoint: MakeCheckpoint, features: FeatureSet) -> None:
    archs = NASBench201().sample(50, numpy_rng("archs"))
    plain, scaled = (
        MetaD2A(make_checkpoint(target={"mean": mean, "std": std}), name="x", device="cpu").predict(features, archs)
        for mean, std in ((0.0, 1.0), (70.0, 5.0))
    )
    np.testing.assert_allclose(scaled, 70 + 5 * plain)


def test_nothing_to_predict(model: MetaD2A, features: FeatureSet) -> None:
    assert model.predict(features, []).shape == (0,)
