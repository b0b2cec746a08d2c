"""Official files become checkpoints that search as ours do. What is no official file: test_checkpoint.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metad2a.data.embedders.resnet18 import OFFICIAL_FINGERPRINT
from metad2a.data.features import FeatureSet
from metad2a.errors import CheckpointError, ConfigError
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.graph_decoder import Draws
from metad2a.models.official import ACCURACIES, official_checkpoint, read_official
from metad2a.runtime import torch_rng
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.nasbench201 import NASBench201

State = Callable[..., dict[str, Tensor]]
SPACES = pytest.mark.parametrize("space", ["nasbench201", "mobilenetv3"])


@pytest.fixture
def write(official_state: State, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an official file."""

    def write(name: str, space: str = "nasbench201") -> Path:
        path = tmp_path / f"{space}-{name}.pt"
        torch.save(official_state(name, space), path)
        return path

    return write


@pytest.fixture
def features() -> FeatureSet:
    """Random features as official data files hold them: 512 numbers, not negative."""
    labels = np.repeat(np.arange(5), 30)
    values = torch.rand(len(labels), 512, generator=torch_rng("official features"))
    return FeatureSet(
        values, labels, [str(i) for i in range(5)], embedder=OFFICIAL_FINGERPRINT, name="official random"
    )


@pytest.mark.parametrize(
    ("name", "space", "tensors", "parameters"),
    [
        ("generator", "nasbench201", 99, 304_200),
        ("predictor", "nasbench201", 82, 4_020_361),
        ("generator", "mobilenetv3", 99, 322_478),
        ("predictor", "mobilenetv3", 82, 4_116_617),
    ],
)
def test_each_released_size_is_recognised(
    official_state: State, write: Callable[..., Path], name: str, space: str, tensors: int, parameters: int
) -> None:
    state = official_state(name, space)
    assert (len(state), sum(tensor.numel() for tensor in state.values())) == (tensors, parameters)
    official = read_official(write(name, space))
    assert (official.name, official.space) == (name, space)
    kept = sum(tensor.numel() for tensor in official.part.state.values())
    assert kept == parameters - sum(state[key].numel() for key in official.unused)


@SPACES
@pytest.mark.parametrize("constrained", [True, False])
def test_both_models_search(
    write: Callable[..., Path], features: FeatureSet, tmp_path: Path, space: str, constrained: bool
) -> None:
    checkpoint = official_checkpoint(write("generator", space), write("predictor", space), accuracies=(70.0, 5.0))
    assert checkpoint.images_per_class == 20
    assert checkpoint.embedder == {"name": "resnet18", "fingerprint": OFFICIAL_FINGERPRINT, "dim": 512}
    checkpoint.save(tmp_path / "both.safetensors")
    model = MetaD2A.from_checkpoint(tmp_path / "both.safetensors", device="cpu")
    if not constrained:
        free_start(model.generator.decoder)
    result = model.search(features, n_candidates=6, random_state=1, constrained=constrained)
    found = [model.space.parse(candidate.arch) for candidate in result.candidates]
    assert len(set(found)) == 6
    made = result.generation
    assert (made["valid"] < made["sampled"]) is not constrained
    again = model.search(features, n_candidates=6, random_state=1, constrained=constrained)
    assert [c.arch for c in again.candidates] == [c.arch for c in result.candidates]


def free_start(decoder: Any) -> None:
    """Make the decoder write chains of one depth: of 22 vertices at random almost nothing is an architecture."""
    with torch.no_grad():
        decoder.type_net[2].bias[2:11] += 8
        decoder.edge_net[2].bias += 4


def test_scores_are_scaled_as_in_the_official_training(write: Callable[..., Path]) -> None:
    """Its targets are standardised accuracies divided by 100."""
    assert official_checkpoint(write("predictor"), accuracies=(70.0, 5.0)).target == {"mean": 70.0, "std": 500.0}
    mean, std = ACCURACIES["nasbench201"]
    assert official_checkpoint(write("predictor")).target == {"mean": mean, "std": pytest.approx(100 * std)}
    assert official_checkpoint(write("generator")).target is None


def test_one_file_or_two(write: Callable[..., Path]) -> None:
    generator, predictor = write("generator"), write("predictor")
    for files in ((generator, predictor), (predictor, generator)):
        both = official_checkpoint(*files)
        assert set(both.parts) == set(both.provenance) == {"generator", "predictor"}
        assert both.provenance["generator"]["official_file"] == generator.name
    merged = Checkpoint.merge(official_checkpoint(generator), official_checkpoint(predictor))
    assert merged.target == both.target
    assert "set_fc.0" in merged.provenance["predictor"]["left_behind"]


def test_files_that_do_not_belong_together(write: Callable[..., Path]) -> None:
    files = [write("generator", "mobilenetv3"), write("predictor")]
    with pytest.raises(CheckpointError, match=r"generator of 'mobilenetv3'.*predictor of 'nasbench201'"):
        official_checkpoint(*files)
    with pytest.raises(CheckpointError, match="one generator and a predictor or several"):
        official_checkpoint(write("generator"), write("generator"))


def test_nothing_tells_what_scores_of_mobilenetv3_mean(write: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match=r"--target-mean M --target-std S.*ranking alone any pair"):
        official_checkpoint(write("predictor", "mobilenetv3"))
    assert official_checkpoint(write("generator", "mobilenetv3")).target is None


@pytest.mark.parametrize("accuracies", [(70.0, 0.0), (-1.0, 5.0), (0.7, float("nan")), (7000.0, 5.0)])
def test_impossible_accuracies(write: Callable[..., Path], accuracies: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="in percent"):
        official_checkpoint(write("predictor"), accuracies=accuracies)


def test_accuracies_are_a_predictors(write: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="is a generator"):
        official_checkpoint(write("generator"), accuracies=(70.0, 5.0))


def test_features_of_another_width(official_state: State, tmp_path: Path) -> None:
    state = official_state("generator")
    for part in "qkv":
        state[f"intra_setpool.enc.0.mab.fc_{part}.weight"] = torch.zeros(56, 640)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"features of 640 numbers.*have 512"):
        official_checkpoint(tmp_path / "x.pt")


def test_a_cut_file(write: Callable[..., Path]) -> None:
    path = write("generator")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="damaged"):
        official_checkpoint(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="TorchScript"):
        official_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("precision", [32, 64])
def test_the_same_uniforms_give_the_same_graphs_and_acceptances(
    shared_data: Path, tmp_path: Path, precision: int
) -> None:
    """Scripted decodes of the official implementation: which graphs, and which of them it counted as valid."""
    reference = torch.load(shared_data / "parity" / "nb201_generator.pt", weights_only=True)
    expected, script = reference[f"out{precision}"], reference["inputs"]["draws"]
    torch.save(reference["state_dict"], tmp_path / "official.pt")
    generator = official_checkpoint(tmp_path / "official.pt").build("generator")
    dtype = {32: torch.float32, 64: torch.float64}[precision]
    draws = Draws(script["u_type"].T, script["u_edge"].permute(2, 1, 0))
    graphs = generator.to(dtype).sample(script["z"].to(dtype), draws=draws)

    assert [t[m].tolist() for t, m in zip(graphs.types, graphs.mask, strict=True)] == expected["sampled_types"]
    edges = [sorted(map(tuple, one.nonzero().tolist())) for one in graphs.edges]
    assert edges == [sorted(map(tuple, one)) for one in expected["sampled_edges"]]

    space = NASBench201()
    accepted = [
        space.format(arch) if arch is not None and ok else None
        for arch, ok in zip(space.decode(graphs), graphs.connected().tolist(), strict=True)
    ]
    assert accepted == expected["sampled_arch"]
    assert None in accepted
    assert any(accepted)
