"""Ranking by one predictor or several, with features of architectures or without."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.errors import CheckpointError
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.predictor import Predictor
from metad2a.search.metad2a import MetaD2A
from metad2a.search.predictor_ranker import PredictorRanker
from metad2a.spaces.nasbench201 import NASBench201

Make = Callable[..., Checkpoint]


@pytest.fixture
def archs(space: NASBench201) -> list[Any]:
    return space.sample(40, np.random.default_rng(1))


def member(make_checkpoint: Make, seed: int, **config: Any) -> Checkpoint:
    whole = make_checkpoint("predictor")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Predictor(**whole.parts["predictor"].config | config)
        with torch.no_grad():
            model.join.weight.mul_(8)
            model.out.weight.mul_(8)
    return replace(whole, parts={"predictor": Part.of(model)})


def ranker(*checkpoints: Checkpoint) -> PredictorRanker:
    whole = checkpoints[0]
    for one in checkpoints[1:]:
        whole = Checkpoint.merge(whole, one)
    return PredictorRanker(whole, name="test", device="cpu")


def test_equal_members_say_what_one_says(make_checkpoint: Make, features: FeatureSet, archs: list[Any]) -> None:
    one = member(make_checkpoint, 0)
    alone, thrice = ranker(one), ranker(one, one, one)
    np.testing.assert_allclose(thrice.predict(features, archs), alone.predict(features, archs), atol=1e-4)
    assert thrice.deviations(features, archs) == pytest.approx([0.0] * len(archs), abs=1e-4)
    assert alone.deviations(features, archs) == [None] * len(archs)
    assert len(thrice.members) == 3


def test_level_and_spread_of_a_member_do_not_count(
    make_checkpoint: Make, features: FeatureSet, archs: list[Any]
) -> None:
    first, second = member(make_checkpoint, 0), member(make_checkpoint, 1)
    loud = replace(second, parts={"predictor": replace(second.parts["predictor"])})
    state = dict(loud.parts["predictor"].state)
    state |= {"out.weight": 50 * state["out.weight"], "out.bias": 50 * state["out.bias"] - 300}
    loud = replace(loud, parts={"predictor": replace(loud.parts["predictor"], state=state)})
    both, with_loud = ranker(first, second), ranker(first, loud)
    np.testing.assert_allclose(with_loud.predict(features, archs), both.predict(features, archs), atol=1e-3)
    assert with_loud.deviations(features, archs) == pytest.approx(both.deviations(features, archs), abs=1e-3)
    assert min(both.deviations(features, archs)) > 0
    assert both.deviations(features, []) == []


def test_an_ensemble_is_the_mean_of_its_members(
    make_checkpoint: Make, features: FeatureSet, archs: list[Any]
) -> None:
    parts = [member(make_checkpoint, seed) for seed in range(3)]
    alone = np.stack([ranker(part).predict(features, archs) for part in parts])
    together = ranker(*parts)
    predicted = together.predict(features, archs)
    z = (alone - alone.mean(1, keepdims=True)) / alone.std(1, keepdims=True)
    assert np.corrcoef(z.mean(0), predicted)[0, 1] > 0.99
    # A prediction does not depend on what else is asked: rounds of refinement ask piece by piece.
    np.testing.assert_allclose(together.predict(features, archs[:3]), predicted[:3], atol=1e-4)


def test_a_search_by_an_ensemble_knows_how_sure_it_is(
    make_checkpoint: Make, features: FeatureSet, tmp_path: Path
) -> None:
    files = []
    for name, part in (
        ("g", make_checkpoint("generator")),
        *((str(i), member(make_checkpoint, i)) for i in (0, 1)),
    ):
        files.append(tmp_path / f"{name}.safetensors")
        part.save(files[-1])
    model = MetaD2A.from_checkpoint(*files, device="cpu")
    result = model.search(features, n_candidates=12)
    predicted = [one.predicted for one in result.candidates]
    assert len(result.candidates) == 12
    assert predicted == sorted(predicted, reverse=True)
    assert all(one.std is not None and one.std > 0 for one in result.candidates)
    archs = [model.space.parse(one.arch) for one in result.candidates]
    opened = PredictorRanker.open(*files[1:], device="cpu")
    np.testing.assert_allclose(opened.predict(features, archs), model.predict(features, archs), atol=1e-4)


def test_features_of_architectures_are_read(
    make_checkpoint: Make, features: FeatureSet, archs: list[Any], space: NASBench201
) -> None:
    matrix = torch.from_numpy(ArchFeatures(space).matrix(archs))
    told = member(make_checkpoint, 0, arch_features=matrix.shape[1])
    one = ranker(told)
    predicted = one.predict(features, archs)
    state = dict(told.parts["predictor"].state)
    state["features_out.weight"] = torch.zeros_like(state["features_out.weight"])
    deaf = ranker(replace(told, parts={"predictor": replace(told.parts["predictor"], state=state)}))
    assert abs(deaf.predict(features, archs) - predicted).max() > 0.1
    mixed = ranker(told, member(make_checkpoint, 1, graph_encoder="gin"))
    assert np.isfinite(mixed.predict(features, archs)).all()
    stale = ranker(member(make_checkpoint, 0, arch_features=3))
    with pytest.raises(CheckpointError, match="reads 3 features of an architecture"):
        stale.predict(features, archs)
