"""The predictor's variants: graph encoders, and features of architectures beside their graphs."""

from typing import Any

import numpy as np
import pytest
import torch

from metad2a.data.features import SetBatch
from metad2a.errors import CheckpointError
from metad2a.models.checkpoint import Checkpoint, Part, build_model
from metad2a.models.gnn import GraphIsomorphismEncoder
from metad2a.models.predictor import Predictor
from metad2a.runtime import torch_rng
from metad2a.spaces.base import ArchBatch
from metad2a.spaces.nasbench201 import NASBench201

SIZE: dict[str, Any] = {"feature_dim": 6, "num_types": 7, "num_nodes": 8, "hidden": 16, "latent": 8}


def predictor(**options: Any) -> Predictor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Predictor(**SIZE, **options).eval()


def cells(count: int) -> ArchBatch:
    space = NASBench201()
    return space.encode(space.sample(count, np.random.default_rng(0)))


def sets(count: int) -> SetBatch:
    return SetBatch(
        torch.randn(count, 3, 4, 6, generator=torch_rng("sets")), torch.ones(count, 3, 4, dtype=torch.bool)
    )


def padded(graphs: ArchBatch, more: int) -> ArchBatch:
    pad = torch.nn.functional.pad
    return ArchBatch(
        pad(graphs.types, (0, more)), pad(graphs.edges, (0, more, 0, more)), pad(graphs.mask, (0, more))
    )


def test_the_papers_model_is_the_default() -> None:
    model = predictor()
    assert (model.config["graph_encoder"], model.config["arch_features"]) == ("gru", 0)
    old = {name: value for name, value in model.config.items() if name not in ("graph_encoder", "arch_features")}
    again = build_model("predictor", Part(old, Part.of(model).state))  # a checkpoint from before these keys
    graphs, data = cells(4), sets(4)
    assert torch.equal(again(data, graphs), model(data, graphs))
    assert not any("feature" in name for name in model.state_dict())


def test_a_graph_isomorphism_network_sees_types_and_edges_and_no_padding() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = GraphIsomorphismEncoder(7, 10, 16)
    graphs = cells(5)
    vectors = encoder(graphs)
    assert vectors.shape == (5, 16)
    wide, wider = encoder(padded(graphs, 1)), encoder(padded(graphs, 2))
    torch.testing.assert_close(wide, wider, atol=1e-5, rtol=0)
    torch.testing.assert_close(wide, vectors, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder(graphs[torch.tensor([2])])[0], vectors[2], atol=1e-5, rtol=0)
    cut = graphs.edges.clone()
    cut[0, 1, 4] = ~cut[0, 1, 4]
    other = encoder(ArchBatch(graphs.types, cut, graphs.mask))
    assert not torch.allclose(other[0], vectors[0], atol=1e-3)
    torch.testing.assert_close(other[1:], vectors[1:], atol=1e-5, rtol=0)
    types = graphs.types.clone()
    types[1, 3] = (types[1, 3] - 2 + 1) % 5 + 2
    assert not torch.allclose(encoder(ArchBatch(types, graphs.edges, graphs.mask))[1], vectors[1], atol=1e-3)


def test_every_vertex_hears_of_every_other() -> None:
    """From input to output is four edges: the rounds must reach that far, ahead and back."""
    encoder, graphs = GraphIsomorphismEncoder(7, 8, 16), cells(1)
    for v in range(8):
        types = graphs.types.clone()
        types[0, v] = (types[0, v] + 1) % 7
        assert not torch.allclose(encoder(ArchBatch(types, graphs.edges, graphs.mask)), encoder(graphs))


def test_features_of_architectures_move_the_score() -> None:
    model, graphs, data = predictor(arch_features=5), cells(4), sets(4)
    known = torch.randn(4, 5, generator=torch_rng("features")) * 3 + 10
    model.standardise(known)
    assert float(model.feature_scale) == pytest.approx(float(known.var(0, correction=0).mean().sqrt()))
    scores = model(data, graphs, known)
    changed = known.clone()
    changed[1, 2] += 5
    moved = model(data, graphs, changed) != scores
    assert moved.tolist() == [False, True, False, False]
    every = model.score(model.encode_sets(data), model.encode_archs(graphs, known))
    torch.testing.assert_close(every.diagonal(), scores)
    with pytest.raises(ValueError, match="with 0 features; the model reads 5"):
        model(data, graphs)
    with pytest.raises(ValueError, match="with 5 features; the model reads 0"):
        predictor()(data, graphs, known)


@pytest.mark.parametrize("options", [{"graph_encoder": "gin"}, {"arch_features": 5}])
def test_a_checkpoint_brings_a_variant_back(options: dict[str, Any], tmp_path: Any) -> None:
    model = predictor(**options)
    known = [torch.randn(4, 5, generator=torch_rng("features"))] if "arch_features" in options else []
    for features in known:
        model.standardise(features)
    Checkpoint(
        parts={"predictor": Part.of(model)},
        space="nasbench201",
        topology=None,
        embedder={"name": "pixels", "fingerprint": "x", "dim": 6},
        images_per_class=4,
    ).save(tmp_path / "a.safetensors")
    again = Checkpoint.load(tmp_path / "a.safetensors").build("predictor")
    assert again.config == model.config
    assert torch.equal(again(sets(4), cells(4), *known), model(sets(4), cells(4), *known))


def test_what_is_no_graph_encoder() -> None:
    with pytest.raises(ValueError, match="unknown graph encoder 'x'; known: gru, gin"):
        predictor(graph_encoder="x")
    with pytest.raises(CheckpointError, match="unknown graph encoder"):
        build_model("predictor", Part({**SIZE, "graph_encoder": "x"}, {}))
