"""Searches that are told how large their networks are: costs, limits and what is taken away are of that scale."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.costs.latency import Latency
from metad2a.costs.layer_latency import LayerLatency, _fixed_keys, _searched_keys
from metad2a.costs.memory import network_memory
from metad2a.data.features import FeatureSet
from metad2a.errors import ArchitectureError, ConfigError, LimitError
from metad2a.fitting.recipe import Recipe
from metad2a.models.checkpoint import Checkpoint
from metad2a.runtime import numpy_rng
from metad2a.search import latencies
from metad2a.search.candidate_trainer import recipe_for
from metad2a.search.constraints import Costs
from metad2a.search.export import export_network
from metad2a.search.metad2a import MetaD2A
from metad2a.search.result import SearchResult
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.scale import NetworkScale

SPACE = MobileNetV3()
TINY = {"width": 35, "downsampling": 8}


@pytest.fixture
def mobile(make_mobile_checkpoint: Callable[..., Checkpoint]) -> MetaD2A:
    return MetaD2A(make_mobile_checkpoint(), name="untrained", device="cpu")


def table(resolution: int = 224, width: int = 120) -> LayerLatency:
    keys = [*_fixed_keys(width, resolution), *_searched_keys(width, resolution)]
    return LayerLatency.of({key: len(key) / 1e2 for key in keys}, resolution, name="a table")


def check_costs(result: SearchResult, resolution: int, scale: dict[str, int]) -> None:
    archs = [SPACE.parse(one.arch) for one in result.candidates]
    assert [one.params for one in result.candidates] == SPACE.params(archs, 5, **scale).tolist()
    assert [one.flops for one in result.candidates] == SPACE.flops(archs, 5, resolution, **scale).tolist()
    megabytes = SPACE.memory(archs, 5, resolution, **scale) / 1e6
    assert [one.memory_mb for one in result.candidates] == megabytes.tolist()


def test_costs_limits_and_networks(mobile: MetaD2A, features: FeatureSet, tmp_path: Path) -> None:
    own = mobile.search(features, n_candidates=12)
    check_costs(own, 224, {})
    told = mobile.search(features, n_candidates=12, resolution=16, scale=TINY)
    check_costs(told, 16, TINY)
    assert [one.arch for one in told.candidates] == [one.arch for one in own.candidates]
    assert told.networks == NetworkScale(16, TINY)
    assert {name: told.to_dict()[name] for name in ("resolution", "scale")} == {"resolution": 16, "scale": TINY}
    limit = float(np.median([one.flops for one in told.candidates]))
    within = mobile.search(features, n_candidates=12, resolution=16, scale=TINY, max_flops=limit)
    check_costs(within, 16, TINY)
    assert all(one.flops <= limit for one in within.candidates)
    assert limit < min(one.flops for one in own.candidates), "a network of the space's own scale would not fit"
    network = told.best.build()
    assert sum(weight.numel() for weight in network.parameters()) == told.best.params
    card = json.loads((export_network(told.best, tmp_path / "out", onnx=False) / "card.json").read_text())
    assert (card["scale"], card["resolution"]) == (TINY, 16)
    assert (card["params"], card["flops"]) == (told.best.params, told.best.flops)
    assert "width 35, downsampling 8" in (tmp_path / "out/network.py").read_text()
    other = export_network(told.best, tmp_path / "other", onnx=False, scale={"width": 50}, resolution=32)
    assert json.loads((other / "card.json").read_text())["scale"] == {"width": 50}


def test_limits_that_cannot_be_say_of_what_networks(mobile: MetaD2A, features: FeatureSet) -> None:
    with pytest.raises(LimitError, match="With 5 classes and width 120, 192 pixels a side the smallest has"):
        mobile.search(features, max_flops=1e6, scale={"width": 120}, resolution=192)


def test_a_table_of_layers_says_the_scale(mobile: MetaD2A, features: FeatureSet) -> None:
    result = mobile.search(features, n_candidates=6, latency=table(192))
    check_costs(result, 192, {"width": 120, "downsampling": 32})
    assert result.networks == NetworkScale(192, {"width": 120, "downsampling": 32})
    same = mobile.search(features, n_candidates=6, latency=table(192), scale={"width": 120}, resolution=192)
    assert same.to_dict()["candidates"] == result.to_dict()["candidates"]
    with pytest.raises(
        ConfigError, match="latency table is for networks of width=120, but the search is for width=100"
    ):
        mobile.search(features, latency=table(), scale={"width": 100})
    with pytest.raises(ConfigError, match="of resolution=224, but the search is for resolution=192"):
        mobile.search(features, latency=table(), resolution=192)


def test_an_unknown_size_is_refused(mobile: MetaD2A, model: MetaD2A, features: FeatureSet) -> None:
    with pytest.raises(ArchitectureError, match="unknown scale option for 'mobilenetv3': 'channels'"):
        mobile.search(features, scale={"channels": 16})
    with pytest.raises(ArchitectureError, match="unknown scale option for 'nasbench201': 'width'"):
        model.search(features, scale={"width": 120})


def test_cells_have_their_own_options(model: MetaD2A, features: FeatureSet) -> None:
    result = model.search(features, n_candidates=8, resolution=16, scale={"channels": 8, "cells": 1})
    archs = [model.space.parse(one.arch) for one in result.candidates]
    assert [one.params for one in result.candidates] == model.space.params(archs, 5, channels=8, cells=1).tolist()
    assert [one.flops for one in result.candidates] == model.space.flops(archs, 5, 16, channels=8, cells=1).tolist()


def test_networks_of_the_scale_are_measured(
    model: MetaD2A, features: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[int, int]] = set()

    def take_time(net: torch.nn.Module, resolution: int, *, device: str) -> Latency:
        size = sum(weight.numel() for weight in net.parameters())
        seen.add((resolution, next(net.parameters()).shape[0]))
        return Latency(size / 1000, size / 1000, size / 1000, 1)

    monkeypatch.setattr(latencies, "measure_latency", take_time)
    result = model.search(
        features, n_candidates=4, measure_latency=True, resolution=12, scale={"channels": 2, "cells": 1}
    )
    assert seen == {(12, 2)}
    assert result.best.latency_ms == result.best.params / 1000


def test_networks_of_a_space_without_a_rule_are_watched_at_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    space, archs = NASBench201(), NASBench201().sample(2, numpy_rng("some"))
    scale = NetworkScale(8, {"channels": 2, "cells": 1})
    by_rule = network_memory(space, archs, 3, scale)
    assert by_rule.tolist() == space.memory(archs, 3, 8, channels=2, cells=1).tolist()
    monkeypatch.setattr(NASBench201, "memory", lambda *_, **__: None)
    watched = network_memory(space, archs, 3, scale)
    assert np.allclose(watched, by_rule, rtol=0.05)
    assert (watched < network_memory(space, archs, 3) / 2).all()
    assert not Costs(space, 3, scale=scale).memory_is_cheap


def test_trainings_are_of_the_scale_that_was_counted(mobile: MetaD2A, features: FeatureSet) -> None:
    recipe = Recipe("cells", 1, 8, 0.1, resolution=24, scale={"channels": 16})
    own: dict[str, Any] = {"n_candidates": 2}
    assert recipe_for(mobile.search(features, **own), recipe) == recipe
    told = recipe_for(mobile.search(features, **own, resolution=16, scale=TINY), recipe)
    assert (told.resolution, told.scale) == (16, TINY)
    wide = recipe_for(mobile.search(features, **own, scale={"width": 50}), recipe)
    assert (wide.resolution, wide.scale) == (24, {"width": 50})
