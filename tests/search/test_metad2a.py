import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.costs.latency import Latency, measure_latency
from metad2a.costs.latency_model import LatencyModel
from metad2a.data.embedders.pixels import Pixels
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.errors import ArchitectureError, CheckpointError, ConfigError, DataError, LimitError, UnknownNameError
from metad2a.models.checkpoint import Checkpoint
from metad2a.runtime import numpy_rng
from metad2a.search import latencies, metad2a
from metad2a.search.constraints import Limits
from metad2a.search.metad2a import MetaD2A
from metad2a.search.result import SearchResult
from metad2a.spaces.nasbench201 import NASBench201

MakeCheckpoint = Callable[..., Checkpoint]
CANDIDATE_KEYS = {
    *("rank", "arch", "predicted", "std", "params", "flops", "latency_ms"),
    *("latency_measured", "latency_quartiles_ms", "memory_mb"),
}


@pytest.fixture
def model(make_checkpoint: MakeCheckpoint) -> MetaD2A:
    return MetaD2A(make_checkpoint(), name="untrained", device="cpu")


@pytest.fixture
def images() -> ImageSet:
    """Three classes of coloured noise, of 6, 7 and 8 images."""
    rng = numpy_rng("images")
    labels = np.repeat(np.arange(3), [6, 7, 8])
    pixels = rng.integers(0, 120, (len(labels), 16, 16, 3)) + 60 * labels[:, None, None, None]
    return ImageSet.from_arrays(pixels.astype(np.uint8), labels, classes=["a", "b", "c"], name="noise")


@pytest.fixture
def image_model(make_checkpoint: MakeCheckpoint) -> MetaD2A:
    pixels = Pixels()
    embedder = {"name": "pixels", "fingerprint": pixels.fingerprint, "dim": pixels.dim}
    checkpoint = make_checkpoint(feature_dim=pixels.dim, embedder=embedder)
    return MetaD2A(checkpoint, name="untrained", device="cpu")


def without_timing(result: SearchResult) -> dict[str, Any]:
    content = result.to_dict()
    del content["timing"]
    return content


# --- what a search returns ----------------------------------------------------------------------------------


def check_contract(result: SearchResult, *, n: int, num_classes: int) -> dict[str, Any]:
    """Check what other programs rely on; return the JSON."""
    content: dict[str, Any] = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(content) == {
        *("schema_version", "space", "checkpoint", "seed", "dataset", "generation", "timing", "candidates"),
        *("pareto", "latency"),
    }
    assert content["schema_version"] == 1
    assert content["space"] == "nasbench201"
    assert set(content["dataset"]) == {"name", "classes", "images_used", "embedder"}
    assert content["dataset"]["classes"] == num_classes
    assert set(content["generation"]) == {"sampled", "valid", "unique", "novel"}
    counts = content["generation"]
    assert counts["sampled"] >= counts["valid"] >= counts["unique"] == n
    assert 0 <= counts["novel"] <= counts["unique"]
    timing = content["timing"]
    measured = {"measure_s"} if content["latency"] is not None else set()
    assert set(timing) == {"embed_s", "generate_s", "rank_s", "total_s"} | measured
    assert min(timing.values()) >= 0
    assert 2 * timing["total_s"] == pytest.approx(sum(timing.values()))
    costs = ["params", "flops", *(["latency_ms"] if measured else []), "memory_mb"]
    assert list(content["pareto"]) == costs
    best = max(candidate["predicted"] for candidate in content["candidates"])
    assert all(content["candidates"][r[-1] - 1]["predicted"] == best for r in content["pareto"].values())
    check_candidates(content["candidates"], n=n, num_classes=num_classes)
    return content


def check_candidates(candidates: list[dict[str, Any]], *, n: int, num_classes: int) -> None:
    assert len(candidates) == n
    assert all(set(candidate) == CANDIDATE_KEYS for candidate in candidates)
    assert [candidate["rank"] for candidate in candidates] == list(range(1, n + 1))
    predicted = [candidate["predicted"] for candidate in candidates]
    assert predicted == sorted(predicted, reverse=True)
    assert all(0 <= value <= 100 for value in predicted)
    assert {candidate["std"] for candidate in candidates} == {None}
    space = NASBench201()
    archs = [space.parse(candidate["arch"]) for candidate in candidates]
    assert len(set(archs)) == n
    assert [candidate["params"] for candidate in candidates] == space.params(archs, num_classes).tolist()
    assert [candidate["flops"] for candidate in candidates] == space.flops(archs, num_classes, 32).tolist()
    assert [candidate["memory_mb"] for candidate in candidates] == (
        space.memory(archs, num_classes, 32) / 1e6
    ).tolist()


def test_search_of_features(model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=40, random_state=3)
    content = check_contract(result, n=40, num_classes=5)
    assert content["checkpoint"] == "untrained"
    assert content["seed"] == 3
    assert content["dataset"] == {"name": "random", "classes": 5, "images_used": 30, "embedder": "pixels"}
    assert content["generation"]["novel"] == 40, "the checkpoint knows no training architecture"
    assert {candidate["latency_ms"] for candidate in content["candidates"]} == {None}


def test_search_of_images(image_model: MetaD2A, images: ImageSet) -> None:
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
    assert set(frame.columns) == CANDIDATE_KEYS
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


def test_wild_predictions_are_shown_as_percentages(make_checkpoint: MakeCheckpoint, features: FeatureSet) -> None:
    model = MetaD2A(make_checkpoint(target={"mean": 105.0, "std": 50.0}), name="wild", device="cpu")
    result = model.search(features, n_candidates=30)
    check_contract(result, n=30, num_classes=5)
    archs = [model.space.parse(candidate.arch) for candidate in result.candidates]
    raw = model.predict(features, archs)
    assert raw.max() > 100, "the test is about predictions beyond 100"
    assert np.all(np.diff(raw) <= 1e-6), "clipped predictions keep the order"


# --- predictions --------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(metad2a, "_GRAPHS_A_BATCH", 7)
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


# --- limits -------------------------------------------------------------------------------------------------


def test_limits_are_kept(model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=20, max_params=400_000, max_flops=60_000_000, max_memory_mb=1.7)
    check_contract(result, n=20, num_classes=5)
    assert max(candidate.memory_mb or 9 for candidate in result.candidates) <= 1.7
    assert max(candidate.params for candidate in result.candidates) <= 400_000
    assert max(candidate.flops for candidate in result.candidates) <= 60_000_000


@pytest.mark.parametrize("limit", [{"max_params": 100}, {"max_flops": 100}, {"max_memory_mb": 0.1}])
def test_impossible_limits_fail_at_once(model: MetaD2A, features: FeatureSet, limit: dict[str, int]) -> None:
    with pytest.raises(LimitError, match="With 5 classes the smallest has"):
        model.search(features, **limit)


def test_a_generator_that_finds_nothing_allowed(
    model: MetaD2A, features: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limits, "check_possible", lambda *_: None)
    with pytest.raises(LimitError, match="none of the generated architectures meets max_params=1"):
        model.search(features, max_params=1)


def test_latency_is_measured_on_demand(model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=6, measure_latency=True, measured=2)
    check_contract(result, n=6, num_classes=5)
    assert all(candidate.latency_ms is not None and candidate.latency_ms > 0 for candidate in result.candidates)
    assert all(candidate.latency_measured for candidate in result.candidates[:2])
    for candidate in result.candidates:
        assert (candidate.latency_quartiles_ms is not None) == candidate.latency_measured
        if candidate.latency_quartiles_ms is not None:
            low, high = candidate.latency_quartiles_ms
            assert low <= candidate.latency_ms <= high
    assert result.latency is not None
    assert result.latency["device"] == "cpu"
    assert result.latency["threads"] == torch.get_num_threads()
    assert result.latency["model_archs"] == 20
    assert 20 <= result.latency["measured"] <= 22


@pytest.fixture
def by_size(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Latencies as they are on no machine: a microsecond for a parameter; and how often they were measured."""
    measured: list[int] = []

    def take_time(net: torch.nn.Module, resolution: int, *, device: str) -> Latency:
        measured.append(sum(weight.numel() for weight in net.parameters()))
        return Latency(measured[-1] / 1000, measured[-1] / 1000, measured[-1] / 1000, 1)

    assert measure_latency is latencies.measure_latency
    monkeypatch.setattr(latencies, "measure_latency", take_time)
    return measured


def test_slow_networks_are_left_out(model: MetaD2A, features: FeatureSet, by_size: list[int]) -> None:
    result = model.search(features, n_candidates=60, max_latency_ms=300, measured=5)
    check_contract(result, n=len(result.candidates), num_classes=5)
    assert len(result.candidates) > 40
    assert len(by_size) < 60, "not everything is measured"
    for candidate in result.candidates:
        assert candidate.latency_ms == pytest.approx(candidate.params / 1000, rel=0.1)
        assert candidate.latency_ms <= 300
    assert all(candidate.latency_ms == candidate.params / 1000 for candidate in result.candidates[:5])
    assert any(not candidate.latency_measured for candidate in result.candidates)


def test_what_was_predicted_to_be_fast_is_checked(
    model: MetaD2A, features: FeatureSet, by_size: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A model that takes everything for fast: only measurements keep the limit.
    monkeypatch.setattr(LatencyModel, "predict", lambda _, archs: np.full(len(archs), 1.0))
    whole = model.search(features, n_candidates=30)
    result = model.search(features, n_candidates=30, max_latency_ms=500, measured=30)
    expected = [candidate.arch for candidate in whole.candidates if candidate.params <= 500_000]
    assert 0 < len(expected) < 30
    assert [candidate.arch for candidate in result.candidates] == expected
    least = min(candidate.params for candidate in model.search(features, n_candidates=2).candidates) / 1000
    with pytest.raises(
        LimitError, match=r"none of 2 candidates meets max_latency_ms=\d.* as measured; the fastest"
    ):
        model.search(features, n_candidates=2, max_latency_ms=least - 1)


def test_impossible_latencies_name_the_fastest(model: MetaD2A, features: FeatureSet, by_size: list[int]) -> None:
    with pytest.raises(
        LimitError, match=r"the fastest of \d+ measured ones takes 72\.98 ms on this machine \(cpu\): \|"
    ):
        model.search(features, max_latency_ms=50)
    with pytest.raises(LimitError, match="the smallest has 72,981 parameters"):
        model.search(features, max_latency_ms=500, max_params=5)


def test_latencies_of_another_device(model: MetaD2A, features: FeatureSet, by_size: list[int]) -> None:
    space = model.space
    archs = space.sample(20, numpy_rng("there"))
    there = LatencyModel.fit(space, archs, space.flops(archs, 5, 32) / 1e7)
    result = model.search(features, n_candidates=40, latency=there, max_latency_ms=8)
    assert by_size == [], "nothing is measured here"
    assert len(result.candidates) == 40
    for candidate in result.candidates:
        assert candidate.latency_ms is not None
        assert candidate.latency_ms <= 8
        assert candidate.latency_ms == pytest.approx(candidate.flops / 1e7, abs=1)
        assert candidate.latency_measured == (space.parse(candidate.arch) in archs)
    assert result.latency is not None
    assert result.latency["device"] is None


# --- trade-offs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", ["params", "flops", "memory_mb"])
def test_nobody_beats_the_front(model: MetaD2A, features: FeatureSet, cost: str) -> None:
    result = model.search(features, n_candidates=60)
    front = result.pareto(cost)
    assert [c.rank for c in front] == result.to_dict()["pareto"][cost]
    for candidate in result.candidates:
        better = [
            other
            for other in front
            if other.predicted >= candidate.predicted and getattr(other, cost) <= getattr(candidate, cost)
        ]
        assert candidate in front or better
        assert candidate not in front or better == [candidate]
    assert front[-1] == result.best


def test_fronts_that_are_not_known(model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=5)
    with pytest.raises(ConfigError, match=r"latency_ms is not known of these candidates\. Search with a limit"):
        result.pareto("latency_ms")
    with pytest.raises(UnknownNameError, match="Did you mean 'params'"):
        result.pareto("param")


# --- mistakes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_candidates": 0}, "at least one candidate"),
        ({"max_params": -1}, "max_params=-1 is not a positive number"),
        ({"images_per_class": 0}, "at least one image a class"),
    ],
)
def test_numbers_out_of_range(image_model: MetaD2A, images: ImageSet, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        image_model.search(images, **wrong)


def test_features_of_another_embedder(model: MetaD2A, image_model: MetaD2A, images: ImageSet) -> None:
    features = image_model.embed(images)
    with pytest.raises(CheckpointError, match="trained on features of the embedder 'pixels'"):
        model.search(features)
    with pytest.raises(CheckpointError, match=Pixels.fingerprint):
        model.predict(features, [])
    with pytest.raises(CheckpointError, match=r"\(test features\), these are of 'pixels'"):
        model.search(images)


def test_a_class_without_images(image_model: MetaD2A, images: ImageSet) -> None:
    with pytest.raises(DataError, match="class 'c' has no image"):
        image_model.search(images.take(np.flatnonzero(images.labels < 2)))


# --- opening ------------------------------------------------------------------------------------------------


def test_one_file_or_two(tmp_path: Path, make_checkpoint: MakeCheckpoint, features: FeatureSet) -> None:
    both, generator, predictor = (tmp_path / f"{name}.safetensors" for name in ("both", "g", "p"))
    make_checkpoint().save(both)
    make_checkpoint("generator", target=None).save(generator)
    make_checkpoint("predictor").save(predictor)
    models = [
        MetaD2A.from_checkpoint(both, device="cpu"),
        MetaD2A.from_checkpoint(generator, predictor, device="cpu"),
        MetaD2A.from_checkpoint(predictor, generator, device="cpu"),
        MetaD2A.open(str(both), device="cpu"),
    ]
    first, *others = [model.search(features, n_candidates=8).to_dict()["candidates"] for model in models]
    assert all(candidates == first for candidates in others)
    assert models[0].name == models[3].name == str(both)
    assert models[1].name == f"{generator} + {predictor}"


def test_half_a_checkpoint(tmp_path: Path, make_checkpoint: MakeCheckpoint, features: FeatureSet) -> None:
    path = tmp_path / "half.safetensors"
    make_checkpoint("generator", target=None).save(path)
    with pytest.raises(CheckpointError, match="holds a generator only; give the predictor's file too"):
        MetaD2A.from_checkpoint(path)
    with pytest.raises(CheckpointError, match="hold generator and generator"):
        MetaD2A.from_checkpoint(path, path)
    with pytest.raises(CheckpointError, match="no checkpoint file was given"):
        MetaD2A.from_checkpoint()
    untargeted = MetaD2A(make_checkpoint(target=None), name="untargeted", device="cpu")
    with pytest.raises(CheckpointError, match="does not say how its scores relate to accuracy"):
        untargeted.search(features, n_candidates=2)


def test_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: MakeCheckpoint) -> None:
    monkeypatch.setattr(metad2a, "shipped", lambda *parts: tmp_path.joinpath(*parts))
    folder = tmp_path / "data" / "pretrained"
    with pytest.raises(UnknownNameError, match=r"unknown checkpoint 'nasbench201'\. Known: none"):
        MetaD2A.from_pretrained("nasbench201")
    for name in ("nasbench201", "other"):
        make_checkpoint().save(folder / f"{name}.safetensors")
    assert metad2a.pretrained_names() == ["nasbench201", "other"]
    for load in (MetaD2A.from_pretrained, MetaD2A.open):
        with pytest.raises(UnknownNameError, match=r"Did you mean 'nasbench201'\? Known: nasbench201, other"):
            load("nasbench-201")
        assert load("nasbench201").name == "nasbench201"
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        MetaD2A.open(tmp_path / "missing.safetensors")
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        MetaD2A.open("missing.safetensors")


def test_an_unknown_space(make_checkpoint: MakeCheckpoint) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown space 'nasbench101'\. Did you mean 'nasbench201'"):
        MetaD2A(make_checkpoint(space="nasbench101"), name="x")


def test_the_shipped_checkpoints_are_whole() -> None:
    for name in metad2a.pretrained_names():
        model = MetaD2A.from_pretrained(name, device="cpu")
        assert set(model.checkpoint.parts) == {"generator", "predictor"}
        assert model.checkpoint.target is not None
        assert model.embedder().dim == model.checkpoint.embedder["dim"]
