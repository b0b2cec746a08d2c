import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from metad2a.data.embedders.base import Embedder
from metad2a.data.features import SetBatch
from metad2a.errors import CheckpointError
from metad2a.models.checkpoint import SCHEMA_VERSION, Checkpoint, Part
from metad2a.models.generator import Generator
from metad2a.models.official import MODULES, UNUSED, read_official
from metad2a.models.predictor import Predictor
from metad2a.models.reference import Reference
from metad2a.runtime import torch_rng

SIZE: dict[str, int] = {"feature_dim": 10, "num_types": 7, "num_nodes": 8, "hidden": 12, "latent": 8}


def models() -> dict[str, Any]:
    torch.manual_seed(0)
    return {"generator": Generator(**SIZE, topology=[(0, 1), (1, 2)]), "predictor": Predictor(**SIZE)}


def checkpoint(*names: str) -> Checkpoint:
    return Checkpoint(
        parts={name: Part.of(model) for name, model in models().items() if name in names},
        space="nasbench201",
        topology=[[0, 1], [1, 2]],
        embedder={"name": "pixels", "fingerprint": "abc", "dim": 10},
        images_per_class=20,
        target={"mean": 71.5, "std": 3.25} if "predictor" in names else None,
        train_archs=("|a~0|", "|b~0|"),
        metrics={name: {"loss": 1.5} for name in names},
        provenance={name: {"data": "demo", "seed": 3} for name in names},
    )


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the header of a written checkpoint."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    header = json.loads(metadata["metad2a"])
    change(header)
    save_file(load_file(path), path, metadata={"metad2a": json.dumps(header)})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "both.safetensors"
    checkpoint("generator", "predictor").save(path)
    return path


def test_round_trip(saved: Path) -> None:
    before, after = checkpoint("generator", "predictor"), Checkpoint.load(saved)
    for name in ("space", "topology", "embedder", "images_per_class", "target", "train_archs", "metrics"):
        assert getattr(after, name) == getattr(before, name)
    assert after.provenance == before.provenance
    sets = SetBatch(torch.randn(2, 3, 4, 10, generator=torch_rng(0)), torch.ones(2, 3, 4, dtype=torch.bool))
    original = models()
    generator, predictor = after.build("generator"), after.build("predictor")
    assert not generator.training
    assert not predictor.training
    assert generator.config == original["generator"].config
    assert torch.equal(generator.encode(sets)[1], original["generator"].encode(sets)[1])
    assert torch.equal(predictor.encode_sets(sets), original["predictor"].encode_sets(sets))
    graphs = generator.sample(generator.encode(sets)[0], generator=torch_rng(0))
    assert torch.equal(predictor(sets, graphs), original["predictor"](sets, graphs))
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_what_it_was_meta_trained_on(make_reference: Callable[..., Reference], tmp_path: Path) -> None:
    path, reference = tmp_path / "with.safetensors", make_reference()
    whole = replace(checkpoint("generator", "predictor"), reference=reference)
    whole.save(path)
    loaded = Checkpoint.load(path)
    assert loaded.reference is not None
    assert loaded.reference.header() == reference.header()
    for name, tensor in reference.tensors().items():
        assert torch.equal(loaded.reference.tensors()[name], tensor), name
    assert set(loaded.parts) == {"generator", "predictor"}
    generator, predictor = checkpoint("generator"), checkpoint("predictor")
    for pair in (
        (replace(generator, reference=reference), predictor),
        (predictor, replace(generator, reference=reference)),
    ):
        assert Checkpoint.merge(*pair).reference is reference
    other = make_reference(classes=tuple("abcdefghijkl"))
    pair = replace(generator, reference=reference), replace(predictor, reference=other)
    assert Checkpoint.merge(*pair).reference is other
    rewrite(path, lambda header: header["reference"]["classes"].pop())
    with pytest.raises(CheckpointError, match=r"with\.safetensors: what it was meta-trained on is damaged: means"):
        Checkpoint.load(path)


def test_training_a_built_model_does_not_change_the_checkpoint(saved: Path) -> None:
    loaded = Checkpoint.load(saved)
    for model in (loaded.build("predictor"), loaded.build("predictor")):
        torch.testing.assert_close(model.out.bias, models()["predictor"].out.bias)
        assert model.out.bias.requires_grad
        with torch.no_grad():
            model.out.bias.add_(1)


def test_a_part_is_a_snapshot() -> None:
    model = Predictor(**SIZE)
    part = Part.of(model)
    before = model.out.bias.detach().clone()
    with torch.no_grad():
        model.out.bias.add_(1)
    assert torch.equal(part.state["out.bias"], before)


def test_merge() -> None:
    generator, predictor = checkpoint("generator"), checkpoint("predictor")
    for both in (Checkpoint.merge(generator, predictor), Checkpoint.merge(predictor, generator)):
        assert set(both.parts) == {"generator", "predictor"}
        assert both.target == predictor.target
        assert set(both.metrics) == set(both.provenance) == {"generator", "predictor"}
        assert both.train_archs == generator.train_archs
    more = replace(predictor, train_archs=(*generator.train_archs[:1], "another"))
    assert Checkpoint.merge(more, generator).train_archs == (*generator.train_archs, "another")
    other = replace(predictor, space="mobilenetv3")
    with pytest.raises(CheckpointError, match=r"of generator and predictor .* 'nasbench201' and 'mobilenetv3'"):
        Checkpoint.merge(generator, other)
    other = replace(predictor, embedder={"name": "pixels", "fingerprint": "xyz", "dim": 10})
    with pytest.raises(CheckpointError, match=r"\(abc\), these are of another embedder \(xyz\)"):
        Checkpoint.merge(generator, other)
    with pytest.raises(CheckpointError, match="hold generator and generator"):
        Checkpoint.merge(generator, generator)
    with pytest.raises(CheckpointError, match=r"hold generator and generator\+predictor"):
        Checkpoint.merge(checkpoint("generator", "predictor"), generator)


def test_several_predictors_become_an_ensemble(tmp_path: Path) -> None:
    one, other = checkpoint("predictor"), replace(checkpoint("predictor"), target={"mean": 1.0, "std": 2.0})
    both = Checkpoint.merge(one, other)
    assert set(both.parts) == set(both.metrics) == set(both.provenance) == {"predictor", "predictor-2"}
    assert both.target == one.target != other.target
    again = replace(checkpoint("predictor"), target=other.target)
    more = Checkpoint.merge(
        both, Checkpoint.merge(checkpoint("generator"), Checkpoint.merge(again, checkpoint("predictor")))
    )
    assert set(more.parts) == {"generator", "predictor", "predictor-2", "predictor-3", "predictor-4"}
    assert more.target == other.target  # of the one that comes with the generator
    more.save(tmp_path / "a.safetensors")
    again = Checkpoint.load(tmp_path / "a.safetensors")
    assert list(again.parts) == list(more.parts)
    assert isinstance(again.build("predictor-4"), Predictor)
    strange = replace(one, parts={"predictor-x": one.parts["predictor"]})
    strange.save(tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="unknown model 'predictor-x'"):
        Checkpoint.load(tmp_path / "b.safetensors")


class Other(Embedder):
    name, dim, resolution, fingerprint = "resnet18", 512, 32, "xyz"

    def embed(self, images: UInt8[np.ndarray, "I S S 3"]) -> Float[Tensor, "I F"]:
        raise NotImplementedError


def test_check() -> None:
    both = checkpoint("generator", "predictor")
    both.check()
    both.check(space="nasbench201", embedder_fingerprint="abc")
    with pytest.raises(CheckpointError, match="space=nasbench201"):
        both.check(space="mobilenetv3")
    with pytest.raises(CheckpointError, match=r"'pixels' \(abc\), these are of 'resnet18' \(xyz\)"):
        both.check(embedder=Other())


def test_missing_part() -> None:
    with pytest.raises(CheckpointError, match="holds a predictor only; give the generator's file too"):
        checkpoint("predictor").build("generator")


def test_values_that_are_no_json_are_refused(tmp_path: Path) -> None:
    for value, error in ((Fraction(1, 2), TypeError), (np.float32(1), TypeError), (float("nan"), ValueError)):
        with pytest.raises(error):
            replace(checkpoint("predictor"), metrics={"x": value}).save(tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_checkpoint(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors.*import checkpoint"):
        Checkpoint.load(tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors"):
        checkpoint("predictor").save(tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        Checkpoint.load(tmp_path / "nothing.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("<html>not found</html>")
    with pytest.raises(CheckpointError, match="no safetensors file, or a damaged one"):
        Checkpoint.load(text)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="no safetensors file, or a damaged one"):
        Checkpoint.load(cut)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(2)}, foreign, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        Checkpoint.load(foreign)


def test_newer_format_names_its_writer(saved: Path) -> None:
    rewrite(saved, lambda h: h.update(schema_version=SCHEMA_VERSION + 1, metad2a_version="9.8.7", parts=None))
    with pytest.raises(CheckpointError, match=r"written by metad2a 9\.8\.7 in format 2.*Upgrade"):
        Checkpoint.load(saved)


@pytest.mark.parametrize("key", ["schema_version", "space", "parts", "embedder"])
def test_damaged_header(saved: Path, key: str) -> None:
    rewrite(saved, lambda header: header.pop(key))
    with pytest.raises(CheckpointError, match="header is damaged"):
        Checkpoint.load(saved)


def test_tensors_that_do_not_fit(saved: Path) -> None:
    rewrite(saved, lambda header: header["parts"]["predictor"].update(hidden=13))
    with pytest.raises(CheckpointError, match=r"both\.safetensors: .*join\.bias is \(12,\) instead of \(13,\)"):
        Checkpoint.load(saved)


def test_missing_and_unknown_tensors() -> None:
    part = checkpoint("predictor").parts["predictor"]
    state = {("extra" if key == "out.bias" else key): value for key, value in part.state.items()}
    broken = replace(checkpoint("predictor"), parts={"predictor": Part(part.config, state)})
    with pytest.raises(CheckpointError, match=r"missing out\.bias; unknown extra"):
        broken.build("predictor")


@pytest.mark.parametrize("config", [{"colour": 1}, {"latent": 10}], ids=["unknown", "impossible"])
def test_config_that_cannot_be_used(saved: Path, config: dict[str, int]) -> None:
    rewrite(saved, lambda header: header["parts"]["generator"].update(config))
    with pytest.raises(CheckpointError, match="configuration of the generator cannot be used"):
        Checkpoint.load(saved)


def test_unknown_model(saved: Path) -> None:
    tensors = load_file(saved)
    rewrite(saved, lambda header: header["parts"].update(oracle={}))
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors | {"oracle.x": torch.zeros(1)}, saved, metadata=metadata)
    with pytest.raises(CheckpointError, match=r"unknown model 'oracle'\. Known: generator, predictor"):
        Checkpoint.load(saved)


# --- official files -------------------------------------------------------------------------------------------


def official_state(name: str, **size: int) -> dict[str, Tensor]:
    """A state_dict in the official layout, of small random tensors."""
    model: Any = {"generator": Generator, "predictor": Predictor}[name](**(SIZE | size))
    ours = {ours: official for official, ours in MODULES[name].items()}
    state = {}
    for key, tensor in model.state_dict().items():
        module, _, parameter = key.rpartition(".")
        state[f"{ours[module]}.{'S' if parameter == 'seed' else parameter}"] = tensor
    return state | {f"{module}.weight": torch.zeros(1) for module in UNUSED[name]}


@pytest.mark.parametrize("name", ["generator", "predictor"])
def test_official_weights(name: str, tmp_path: Path) -> None:
    path, state = tmp_path / "ckpt_400.pt", official_state(name)
    torch.save(OrderedDict(state), path)
    official = read_official(path)
    assert (official.name, official.space) == (name, "nasbench201")
    assert {key.rpartition(".")[0] for key in official.unused} == UNUSED[name]
    assert len(official.part.state) + len(official.unused) == len(state)
    held = replace(checkpoint(), parts={name: official.part})
    held.save(tmp_path / "x.safetensors")
    assert Checkpoint.load(tmp_path / "x.safetensors").build(name).config["hidden"] == SIZE["hidden"]

    torch.save(
        {key: value for key, value in state.items() if not key.startswith("fc1.")}
        | {"colour.x": state["fc1.bias"]},
        path,
    )
    with pytest.raises(CheckpointError, match=r"with unknown keys: colour\.x\."):
        read_official(path)
    torch.save({key: value for key, value in state.items() if key != "fc1.bias"}, path)
    with pytest.raises(CheckpointError, match=r"ckpt_400\.pt: an official .* with missing keys: fc1\.bias\."):
        read_official(path)


def test_official_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with pytest.raises(CheckpointError, match="there is no file"):
        read_official(path)
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"x\.pt: neither an official .* it holds conv1\.weight"):
        read_official(path)
    torch.save({0: torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a state_dict"):
        read_official(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(CheckpointError, match="not a state_dict"):
        read_official(path)
    path.write_text("<html>not found</html>")
    with pytest.raises(CheckpointError, match=r"x\.pt"):
        read_official(path)
    torch.save(official_state("generator") | {"grud.weight_ih": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="missing or misshapen tensor"):
        read_official(path)


def test_official_weights_of_other_shapes(tmp_path: Path) -> None:
    path, state = tmp_path / "x.pt", official_state("generator")
    torch.save(state | {"fc3.bias": torch.zeros(5)}, path)
    with pytest.raises(CheckpointError, match=r"decoder\.start\.bias is \(5,\) instead of \(12,\)"):
        read_official(path)
    torch.save(official_state("predictor", num_types=9), path)
    with pytest.raises(CheckpointError, match="graphs of 9 types and 8 vertices belong to no official space"):
        read_official(path)


class Touch:
    """Pickles to a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))]
)
def test_official_file_that_would_run_code(tmp_path: Path, write: Callable[[Any, Path], Any]) -> None:
    path = tmp_path / "trap.pt"
    write({"weight": Touch(tmp_path / "ran")}, path)
    with pytest.raises(CheckpointError, match="is not opened"):
        read_official(path)
    assert not (tmp_path / "ran").exists()


def test_blocked_globals_are_listed(tmp_path: Path) -> None:
    torch.save({"weight": Fraction(1, 2)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"is not opened: it needs fractions\.Fraction, and could run code"):
        read_official(tmp_path / "x.pt")
