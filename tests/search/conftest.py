"""Untrained models that search, and what every result of theirs promises."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metad2a.data.embedders.pixels import Pixels
from metad2a.data.image_set import ImageSet
from metad2a.models.checkpoint import Checkpoint
from metad2a.runtime import numpy_rng
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


def _check_contract(result: SearchResult, *, n: int, num_classes: int) -> dict[str, Any]:
    """Check what other programs rely on; return the JSON."""
    content: dict[str, Any] = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(content) == {
        *("schema_version", "space", "checkpoint", "seed", "dataset", "generation", "timing", "candidates"),
        *("pareto", "latency", "resolution", "scale"),
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
    _check_candidates(content["candidates"], n=n, num_classes=num_classes)
    return content


def _check_candidates(candidates: list[dict[str, Any]], *, n: int, num_classes: int) -> None:
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


@pytest.fixture
def check_contract() -> Callable[..., dict[str, Any]]:
    """Return a function that checks what every result promises, and returns its JSON."""
    return _check_contract
