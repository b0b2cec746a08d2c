from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from metad2a.errors import ArchitectureError, DataError
from metad2a.oracles.ofa import AccuracyPredictor, write_predictor
from metad2a.oracles.opening import open_oracle
from metad2a.oracles.table import TableOracle
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3, from_official, to_official
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.oracles import OracleContract

SPACE = MobileNetV3()


@pytest.fixture
def state() -> dict[str, Tensor]:
    rng = torch_rng("accuracy predictor")
    widths = (128, 400, 400, 400, 1)
    made: dict[str, Tensor] = {}
    for place, (before, after) in enumerate(pairwise(widths)):
        made[f"{2 * place}.weight"] = torch.randn(after, before, generator=rng) * before**-0.5
        made[f"{2 * place}.bias"] = torch.full((after,), 0.5 if after == 1 else 0.0)
    return made


class TestAccuracyPredictor(OracleContract):
    @pytest.fixture
    def oracle(self, state: dict[str, Tensor]) -> AccuracyPredictor:
        return AccuracyPredictor(state)

    @pytest.fixture
    def archs(self) -> Sequence[Architecture]:
        return SPACE.sample(7, numpy_rng("archs"))


def test_codes_are_those_of_once_for_all(state: dict[str, Tensor]) -> None:
    archs = SPACE.sample(20, numpy_rng("archs"))
    for pixels in (112, 160, 224):
        codes = AccuracyPredictor(state, resolution=pixels).codes(archs)
        assert codes.tolist() == [_official_code(arch, pixels) for arch in archs]


def _official_code(arch: Architecture, pixels: int) -> list[float]:
    """The code layer by layer, from its description."""
    net = to_official(arch)
    kernels, expansions = np.zeros((20, 3)), np.zeros((20, 3))
    for layer in range(20):
        if layer % 4 < net["d"][layer // 4]:
            kernels[layer, [3, 5, 7].index(net["ks"][layer])] = 1
            expansions[layer, [3, 4, 6].index(net["e"][layer])] = 1
    resolution = [float(112 + 16 * place == pixels) for place in range(8)]
    return [*kernels.flatten().tolist(), *expansions.flatten().tolist(), *resolution]


def test_accuracies_are_percentages_of_what_the_layers_say(state: dict[str, Tensor]) -> None:
    layers: list[nn.Module] = []
    for width, after in ((128, 400), (400, 400), (400, 400), (400, 1)):
        layers += [nn.Linear(width, after), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    net.load_state_dict(state)
    oracle, archs = AccuracyPredictor(state), SPACE.sample(9, numpy_rng("archs"))
    with torch.no_grad():
        said = net(torch.from_numpy(oracle.codes(archs)))[:, 0].numpy()
    np.testing.assert_allclose(oracle.evaluate(archs), (100 * said).clip(0, 100), atol=1e-3)


def test_layers_that_are_not_used_do_not_matter(state: dict[str, Tensor]) -> None:
    net = {"ks": [3] * 20, "e": [3] * 20, "d": [2] * 5}
    other = {"ks": [3, 3, 7, 7] * 5, "e": [3, 3, 6, 4] * 5, "d": [2] * 5}
    one, same = AccuracyPredictor(state).evaluate([from_official(net), from_official(other)])
    assert one == same
    assert one != AccuracyPredictor(state).evaluate([from_official(net | {"d": [3] * 5})])[0]


def test_a_file_comes_back(state: dict[str, Tensor], tmp_path: Path) -> None:
    archs = SPACE.sample(3, numpy_rng("archs"))
    write_predictor(tmp_path / "accuracy.safetensors", state)
    oracle = open_oracle(tmp_path / "accuracy.safetensors", "192", SPACE)
    assert oracle.name == "accuracy.safetensors:192"
    assert oracle.evaluate(archs).tolist() == AccuracyPredictor(state, resolution=192).evaluate(archs).tolist()


def test_a_table_is_opened_as_before(tmp_path: Path) -> None:
    cells = NASBench201()
    (tmp_path / "table.csv").write_text(f"arch,digits\n{cells.format(cells.sample(1, numpy_rng('cell'))[0])},50\n")
    assert isinstance(open_oracle(tmp_path / "table.csv", "digits", cells), TableOracle)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("6.bias"), "'6.bias' is missing"),
        (lambda state: state.update({"0.weight": torch.zeros(400, 124)}), r"'0.weight' is \(400, 124\)"),
        (lambda state: state.update({"8.weight": torch.zeros(1)}), r"'8.weight' is \(1,\)"),
        (lambda state: state.update(epoch=3), "more than weights"),
    ],
)
def test_other_weights_are_refused(
    change: Callable[[dict[str, object]], object], words: str, state: dict[str, object]
) -> None:
    change(state)
    with pytest.raises(DataError, match=f"128-400-400-400-1: .*{words}"):
        AccuracyPredictor(state)  # type: ignore[arg-type]


def test_what_cannot_be_opened_is_said(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "accuracy.safetensors"
    with pytest.raises(DataError, match=r"there is no oracle .*metad2a import ofa"):
        open_oracle(path, "224", SPACE)
    path.write_bytes(b"not this")
    with pytest.raises(DataError, match="no safetensors file, or a damaged one"):
        open_oracle(path, "224", SPACE)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="is no accuracy predictor"):
        open_oracle(path, "224", SPACE)
    write_predictor(path, state)
    with pytest.raises(DataError, match=r"no column 'imagenet': its columns are pixels a side, 112, 128, .*224"):
        open_oracle(path, "imagenet", SPACE)
    with pytest.raises(DataError, match="knows architectures of 'mobilenetv3', not of 'nasbench201'"):
        open_oracle(path, "224", NASBench201())
    with pytest.raises(DataError, match="at '225' pixels"):
        AccuracyPredictor(state, resolution=225)
    with pytest.raises(ArchitectureError, match="belongs to the space 'nasbench201'"):
        AccuracyPredictor(state).evaluate(NASBench201().sample(1, numpy_rng("cell")))


def test_the_published_predictor(shared_data: Path) -> None:
    path = shared_data / "ofa" / "acc_predictor.pth"
    if not path.is_file():
        pytest.skip(f"no {path}")
    oracle = AccuracyPredictor(torch.load(path, map_location="cpu", weights_only=True))
    nets = [{"ks": [k] * 20, "e": [e] * 20, "d": [d] * 5} for k, e, d in ((3, 3, 2), (7, 6, 4))]
    np.testing.assert_allclose(oracle.evaluate([from_official(net) for net in nets]), [77.7, 83.6], atol=0.1)
