"""The official model classes and ours give the same numbers from the same weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from metad2a.data.features import SetBatch
from metad2a.models.checkpoint import build_model
from metad2a.models.generator import Generator, perturb
from metad2a.models.graph_decoder import Draws, GraphDecoder
from metad2a.models.graph_encoder import GraphEncoder
from metad2a.models.official import GRAPH_ENCODER, MODULES, OfficialModel, read_official, rename
from metad2a.models.predictor import Predictor
from metad2a.spaces.base import ArchBatch

Reference = dict[str, Any]
PRECISIONS = pytest.mark.parametrize("precision", [64, 32])


@pytest.fixture(scope="module")
def generator_reference(shared_data: Path) -> Reference:
    return torch.load(shared_data / "parity" / "nb201_generator.pt", weights_only=True)


@pytest.fixture(scope="module")
def predictor_reference(shared_data: Path) -> Reference:
    return torch.load(shared_data / "parity" / "nb201_predictor_small.pt", weights_only=True)


def imported(reference: Reference, folder: Path) -> OfficialModel:
    torch.save(reference["state_dict"], folder / "official.pt")
    return read_official(folder / "official.pt")


def model_of(reference: Reference, folder: Path, precision: int) -> Any:
    official = imported(reference, folder)
    return build_model(official.name, official.part).to(dtype(precision))


def dtype(precision: int) -> torch.dtype:
    return {64: torch.float64, 32: torch.float32}[precision]


def sets_of(reference: Reference, precision: int) -> SetBatch:
    features = reference["inputs"]["x"].to(dtype(precision)).unflatten(1, (-1, 20))
    return SetBatch(features, torch.ones(features.shape[:3], dtype=torch.bool))


def graphs_of(types: Sequence[Sequence[int]], edges: Sequence[Sequence[Sequence[int]]]) -> ArchBatch:
    graphs = ArchBatch(
        torch.zeros(len(types), 8, dtype=torch.long),
        torch.zeros(len(types), 8, 8, dtype=torch.bool),
        torch.zeros(len(types), 8, dtype=torch.bool),
    )
    for b, kinds in enumerate(types):
        graphs.types[b, : len(kinds)] = torch.tensor(kinds)
        graphs.mask[b, : len(kinds)] = True
        for u, v in edges[b]:
            graphs.edges[b, u, v] = True
    return graphs


def archs_of(reference: Reference) -> ArchBatch:
    archs = reference["inputs"]["arch"]
    return graphs_of([a["types"] for a in archs], [a["edges"] for a in archs])


def same(actual: Any, expected: Any, precision: int) -> None:
    """Float64 to 1e-9; float32 to 1e-4, with a floor for values that are sums with cancellation."""
    rtol, atol = {64: (1e-9, 1e-9), 32: (1e-4, 1e-5)}[precision]
    expected = torch.as_tensor(expected, dtype=dtype(precision))
    torch.testing.assert_close(torch.as_tensor(actual, dtype=dtype(precision)), expected, rtol=rtol, atol=atol)


def same_gradients(model: nn.Module, norms: Mapping[str, float | None], name: str, precision: int) -> None:
    """Every gradient norm is the official one; parameters we do not have get no gradient there."""
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    seen = set()
    for official, expected in norms.items():
        [ours] = rename({official: torch.zeros(())}, MODULES[name]) or [None]
        if ours is None:
            assert expected is None, official
            continue
        gradient = gradients[ours]
        assert gradient is not None
        assert expected is not None
        seen.add(ours)
        same(gradient.norm(), expected, precision)
    assert seen == gradients.keys()


# --- generator ------------------------------------------------------------------------------------------------


@PRECISIONS
def test_set_encoder_and_latent(generator_reference: Reference, tmp_path: Path, precision: int) -> None:
    model: Generator = model_of(generator_reference, tmp_path, precision)
    sets, expected = sets_of(generator_reference, precision), generator_reference[f"out{precision}"]
    same(model.set_encoder.prototypes(sets.features), expected["intra_protos"], precision)
    same(model.set_encoder(sets.features), expected["set_vec"], precision)
    same(model.set_encoder(sets.features, sets.mask), expected["set_vec"], precision)
    mu, logvar = model.encode(sets)
    same(mu, expected["set_mu"], precision)
    same(logvar, expected["set_logvar"], precision)
    z = perturb(mu, logvar, generator_reference["inputs"]["eps"].to(dtype(precision)))
    same(z, expected["z"], precision)
    same(model.decoder.initial_state(z), expected["h0"], precision)


@PRECISIONS
def test_teacher_forcing(generator_reference: Reference, tmp_path: Path, precision: int) -> None:
    model: Generator = model_of(generator_reference, tmp_path, precision)
    expected = generator_reference[f"out{precision}"]
    forced = model.decoder.teacher_force(expected["z"], archs_of(generator_reference))
    same(forced.type_logits, expected["type_logits"], precision)
    same(forced.states, expected["dec_states"], precision)
    v, u = torch.tril_indices(8, 8, offset=-1)
    assert forced.edge_logits is not None
    assert forced.edge_logits.shape == (6, 28)
    same(forced.edge_logits, expected["edge_logits"][:, u, v], precision)


@PRECISIONS
def test_generator_loss_and_gradients(generator_reference: Reference, tmp_path: Path, precision: int) -> None:
    model: Generator = model_of(generator_reference, tmp_path, precision)
    sets, archs = sets_of(generator_reference, precision), archs_of(generator_reference)
    expected = generator_reference[f"out{precision}"]
    for value, name in zip(model.loss(sets, archs), ("loss", "recon", "kld"), strict=True):
        same(value, expected[f"eval_{name}"], precision)
    out = model.loss(sets, archs, noise=generator_reference["inputs"]["eps"].to(dtype(precision)))
    for value, name in zip(out, ("loss", "recon", "kld"), strict=True):
        same(value, expected[name], precision)
    out.loss.backward()
    same_gradients(model, expected["grad_norms"], "generator", precision)
    last: Any = model.decoder.type_net[2]
    same(last.bias.grad, expected["grad_add_vertex_2_bias"], precision)
    same(model.logvar.bias.grad, expected["grad_fc2_bias"], precision)
    same(model.set_encoder.intra.pool.seed.grad, expected["grad_intra_S"], precision)


def test_generator_adam_trace(generator_reference: Reference, tmp_path: Path) -> None:
    model: Generator = model_of(generator_reference, tmp_path, 32)
    sets, archs = sets_of(generator_reference, 32), archs_of(generator_reference)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for noise, expected in zip(
        generator_reference["inputs"]["eps_trace"], generator_reference["trace"], strict=True
    ):
        out = model.loss(sets, archs, noise=noise)
        same(torch.stack(out), expected, 32)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()


@PRECISIONS
def test_argmax_decoding(generator_reference: Reference, tmp_path: Path, precision: int) -> None:
    model: Generator = model_of(generator_reference, tmp_path, precision)
    expected = generator_reference[f"out{precision}"]
    same_graphs(
        model.sample(expected["set_mu"], stochastic=False), expected["argmax_types"], expected["argmax_edges"]
    )


@PRECISIONS
def test_scripted_decoding(generator_reference: Reference, tmp_path: Path, precision: int) -> None:
    model: Generator = model_of(generator_reference, tmp_path, precision)
    expected, script = generator_reference[f"out{precision}"], generator_reference["inputs"]["draws"]
    draws = Draws(script["u_type"].T, script["u_edge"].permute(2, 1, 0))
    graphs = model.sample(script["z"].to(dtype(precision)), draws=draws)
    same_graphs(graphs, expected["sampled_types"], expected["sampled_edges"])
    assert (graphs.mask.sum(1) < 8).any(), "the script has graphs that end early"


def same_graphs(actual: ArchBatch, types: Any, edges: Any) -> None:
    expected = graphs_of(types, edges)
    for name in ("types", "edges", "mask"):
        assert torch.equal(getattr(actual, name), getattr(expected, name)), name


@PRECISIONS
def test_graph_encoder_of_the_generator(generator_reference: Reference, precision: int) -> None:
    state: dict[str, Tensor] = generator_reference["state_dict"]
    encoder = GraphEncoder(7, 8, 56)
    encoder.load_state_dict(strip(rename(state, GRAPH_ENCODER), "graph_encoder."))
    vectors = encoder.to(dtype(precision))(archs_of(generator_reference))
    for head, name in (("enc_g_mu", "graph_mu"), ("enc_g_var", "graph_logvar")):
        weight, bias = (state[f"{head}.{kind}"].to(dtype(precision)) for kind in ("weight", "bias"))
        same(nn.functional.linear(vectors, weight, bias), generator_reference[f"out{precision}"][name], precision)


def strip(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in state.items()}


def test_import_of_the_generator(generator_reference: Reference, tmp_path: Path) -> None:
    official = imported(generator_reference, tmp_path)
    assert (official.name, official.space) == ("generator", "nasbench201")
    without_gradient = {k for k, v in generator_reference["out64"]["grad_norms"].items() if v is None}
    assert set(official.unused) == without_gradient


# --- predictor ------------------------------------------------------------------------------------------------


@PRECISIONS
def test_predictor(predictor_reference: Reference, tmp_path: Path, precision: int) -> None:
    model: Predictor = model_of(predictor_reference, tmp_path, precision)
    sets, archs = sets_of(predictor_reference, precision), archs_of(predictor_reference)
    expected = predictor_reference[f"out{precision}"]
    ahead, back = model.graph_encoder.states(archs)
    same(ahead, expected["enc_fwd_states"], precision)
    same(back, expected["enc_bwd_states"], precision)
    set_vectors, arch_vectors = model.encode_sets(sets), model.encode_archs(archs)
    same(set_vectors, expected["set_vec"], precision)
    same(arch_vectors, expected["graph_mu"], precision)
    same(model.score(set_vectors, arch_vectors).diagonal(), expected["pred"].squeeze(1), precision)
    scores = model(sets, archs)
    same(scores, expected["pred"].squeeze(1), precision)
    loss = (scores - predictor_reference["inputs"]["y"].to(dtype(precision))).square().sum()
    same(loss, expected["loss"], precision)
    loss.backward()
    same_gradients(model, expected["grad_norms"], "predictor", precision)


def test_predictor_adam_trace(predictor_reference: Reference, tmp_path: Path) -> None:
    model: Predictor = model_of(predictor_reference, tmp_path, 32)
    sets, archs = sets_of(predictor_reference, 32), archs_of(predictor_reference)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for expected in predictor_reference["trace"]:
        loss = (model(sets, archs) - predictor_reference["inputs"]["y"]).square().sum()
        same(loss, expected, 32)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_import_of_the_predictor(predictor_reference: Reference, tmp_path: Path) -> None:
    official = imported(predictor_reference, tmp_path)
    assert (official.name, official.space) == ("predictor", "nasbench201")
    without_gradient = {k for k, v in predictor_reference["out64"]["grad_norms"].items() if v is None}
    assert set(official.unused) == without_gradient


# --- the part of it that travels with the project -------------------------------------------------------------


def test_slice() -> None:
    """Graph encoder and decoder (without its edge network) on weights and figures kept beside the tests."""
    kept = load_file(Path(__file__).parent / "data" / "parity_slice.safetensors")
    archs = ArchBatch(kept["types"].long(), kept["edges"].bool(), torch.ones(kept["types"].shape, dtype=torch.bool))
    encoder, out = GraphEncoder(7, 8, 32), nn.Linear(32, 56)
    encoder.load_state_dict(part(kept, "encoder."))
    out.load_state_dict(part(kept, "arch_out."))
    same(out.double()(encoder.double()(archs)), kept["graph_mu"], 64)

    decoder = GraphDecoder(7, 8, 56, 56, topology=[])
    decoder.load_state_dict(part(kept, "decoder."))
    forced = decoder.double().teacher_force(kept["z"], archs)
    same(forced.type_logits[:3], kept["type_logits"], 64)
    same(forced.states[:2], kept["dec_states"], 64)


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return strip({key: tensor for key, tensor in state.items() if key.startswith(prefix)}, prefix)
