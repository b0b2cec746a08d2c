"""Shared fixtures. Tests are offline and write only below their own temporary folder."""

import contextlib
import io
import json
import logging
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import settings

from metad2a.cli import main as command_line
from metad2a.data.features import FeatureSet
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.models.reference import Reference
from metad2a.runtime import torch_rng
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.registry import get_space

FEATURE_DIM = 6
FINGERPRINT = "test features"
ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("metad2a", deadline=None)  # how long an example takes depends on who else computes
settings.load_profile("metad2a")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two test processes share two cores; more threads would only fight."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAD2A_NO_PROGRESS", "1")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("METAD2A_RUN_ID", raising=False)


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def done(self) -> "Outcome":
        """Check that it worked."""
        assert self.code == 0, self.out + self.err
        return self

    def refused(self, *words: str, code: int = 1) -> None:
        """Check that it ended with one message, without a traceback, that holds ``words``."""
        assert self.code == code, self.out + self.err
        assert "Traceback" not in self.out + self.err
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        for word in words:
            assert word in lines[0]


def code_of(ended: SystemExit) -> int:
    """Return the exit code of a program that ended so."""
    return ended.code if isinstance(ended.code, int) else int(ended.code is not None)


def invoke_in(folder: Path, *arguments: object) -> Outcome:
    """Run a command in this process as if ``folder`` were the working folder."""
    out, err = io.StringIO(), io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["metad2a", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"METAD2A_NO_PROGRESS": "1", "COLUMNS": "200"}),
    ):
        try:
            command_line.main()
            code = 0
        except SystemExit as exit_:
            code = code_of(exit_)
        finally:
            # Hydra's handlers write to the streams and files of this one command.
            root.handlers[:], root.level = handlers, level
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Outcome]:
    """Return a function that runs a command in a folder."""
    return invoke_in


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Outcome]:
    """Return a function that runs a command in the test's own folder."""
    return lambda *arguments: invoke_in(tmp_path, *arguments)


@pytest.fixture
def run_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Return a function that runs a script, named by its path below scripts, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run_script(name: str, *arguments: object) -> Outcome:
        path = ROOT / "scripts" / f"{name}.py"
        monkeypatch.syspath_prepend(path.parent)
        monkeypatch.setattr(sys, "argv", [path.name, *map(str, arguments)])
        code, said = 0, ""
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as exit_:
            code, said = code_of(exit_), exit_.code if isinstance(exit_.code, str) else ""  # Python prints it
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err + said)

    return run_script


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAD2A_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data for development (METAD2A_TEST_DATA, default ../shared/data); the test skips where it is absent."""
    folder = Path(os.environ.get("METAD2A_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder} (set METAD2A_TEST_DATA)")
    return folder


@pytest.fixture
def space() -> NASBench201:
    return NASBench201()


@pytest.fixture
def features() -> FeatureSet:
    """Five classes of uneven sizes; random features of the width that ``make_checkpoint`` expects."""
    labels = np.repeat(np.arange(5), [3, 9, 4, 6, 8])
    return FeatureSet(
        torch.randn(len(labels), FEATURE_DIM, generator=torch_rng("test features")),
        labels,
        [f"class {i}" for i in range(5)],
        embedder=FINGERPRINT,
        name="random",
    )


def _official_layout(name: str, types: int, nodes: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes in a file of the official implementation, written down from its description."""
    z, tagged, shapes = 56, hidden + nodes, dict[str, tuple[int, ...]]()

    def linear(module: str, inputs: int, outputs: int, *, bias: bool = True) -> None:
        shapes[f"{module}.weight"] = (outputs, inputs)
        if bias:
            shapes[f"{module}.bias"] = (outputs,)

    def gated_cell(cell: str, gate: str, mapper: str) -> None:
        for part, width in (("ih", types), ("hh", hidden)):
            shapes[f"{cell}.weight_{part}"] = (3 * hidden, width)
            shapes[f"{cell}.bias_{part}"] = (3 * hidden,)
        linear(f"{gate}.0", tagged, hidden)
        linear(f"{mapper}.0", tagged, hidden, bias=False)

    for way in ("forward", "backward"):
        gated_cell(f"grue_{way}", f"gate_{way}", f"mapper_{way}")
    for scope, inputs in (("intra", 512), ("inter", z)):
        for block, width in (("enc.0", inputs), ("enc.1", z), ("dec.0", z)):
            for part in "qkvo":
                linear(f"{scope}_setpool.{block}.mab.fc_{part}", z if part == "o" else width, z)
        shapes[f"{scope}_setpool.dec.0.S"] = (1, 1, z)
        linear(f"{scope}_setpool.dec.1", z, z)
    linear("set_fc.0", 512, z)
    linear("hv_unify.0", 2 * hidden, hidden)
    linear("hg_unify.0", 2 * hidden, hidden)
    linear("fc1", hidden, z)
    linear("fc2", hidden, z)
    if name == "predictor":
        linear("pred_fc.0", 2 * z, hidden)
        linear("pred_fc.2", hidden, 1)
        return shapes
    linear("enc_g_mu", hidden, z)
    linear("enc_g_var", hidden, z)
    gated_cell("grud", "decoding_gate", "decoding_mapper")
    linear("fc3", z, hidden)
    linear("add_vertex.0", hidden, 2 * hidden)
    linear("add_vertex.2", 2 * hidden, types)
    linear("add_edge.0", 2 * hidden, 4 * hidden)
    linear("add_edge.2", 4 * hidden, 1)
    return shapes


@pytest.fixture(scope="session")
def official_state() -> Callable[..., dict[str, torch.Tensor]]:
    """Return a function that makes random weights in the layout of the official implementation."""
    sizes = {"nasbench201": (7, 8), "mobilenetv3": (29, 22)}
    widths = {"generator": 56, "predictor": 512}

    def make(name: str, space: str = "nasbench201", *, hidden: int | None = None) -> dict[str, torch.Tensor]:
        rng = torch_rng("official", name, space)
        return {
            key: torch.randn(shape, generator=rng) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.1)
            for key, shape in _official_layout(name, *sizes[space], hidden or widths[name]).items()
        }

    return make


@pytest.fixture(scope="session")
def resnet18_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write random weights of torchvision's ResNet-18 and return the file; skip without torchvision."""
    models = pytest.importorskip("torchvision.models")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = models.resnet18(weights=None)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # as after training: they do something
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(net.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def timm_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write random weights of timm's smallest ResNet, classifier and all; skip without timm."""
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = timm.create_model("test_resnet").state_dict()
        # As after training: norms do something.
        state |= {name: value.uniform_(0.5, 1.5) for name, value in state.items() if name.endswith("running_var")}
    path = tmp_path_factory.mktemp("weights") / "test_resnet.safetensors"
    save_file(state, path)
    return path


def _untrained(name: str, feature_dim: int = FEATURE_DIM) -> Checkpoint:
    space = get_space(name)
    topology = None if space.topology is None else space.topology.nonzero().tolist()
    size: dict[str, Any] = {"num_types": space.num_types, "num_nodes": space.num_nodes, "hidden": 12, "latent": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(feature_dim=feature_dim, **size, topology=topology)
        predictor = Predictor(feature_dim=feature_dim, **size)
    return Checkpoint(
        parts={"generator": Part.of(generator), "predictor": Part.of(predictor)},
        space=name,
        topology=topology,
        embedder={"name": "pixels", "fingerprint": FINGERPRINT, "dim": feature_dim},
        images_per_class=4,
        target={"mean": 70.0, "std": 5.0},
    )


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Checkpoint]:
    """Return a function that makes an untrained checkpoint; its arguments replace fields of it."""

    def make(*parts: str, feature_dim: int = FEATURE_DIM, **fields: Any) -> Checkpoint:
        whole = _untrained("nasbench201", feature_dim)
        for layer in ("join", "out"):  # an untrained predictor hardly tells architectures apart; this one does
            whole.parts["predictor"].state[f"{layer}.weight"].mul_(8)
        return replace(whole, **{"parts": {name: whole.parts[name] for name in parts or whole.parts}} | fields)

    return make


@pytest.fixture(scope="session")
def make_mobile_checkpoint() -> Callable[..., Checkpoint]:
    """Return a function that makes an untrained checkpoint of both models for a code of MobileNetV3."""

    def make(space: str = "mobilenetv3", **fields: Any) -> Checkpoint:
        return replace(_untrained(space), **fields)

    return make


@pytest.fixture(scope="session")
def mobile_checkpoint(
    make_mobile_checkpoint: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Write an untrained generator and predictor of MobileNetV3 networks, which know nine of them."""
    space = get_space("mobilenetv3")
    known = tuple(map(space.format, space.sample(9, np.random.default_rng(0))))
    path = tmp_path_factory.mktemp("mobile") / "mobile.safetensors"
    make_mobile_checkpoint(train_archs=known).save(path)
    return path


@pytest.fixture(scope="session")
def ofa_predictor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an accuracy predictor of MobileNetV3 networks with random weights and return the file."""
    from metad2a.oracles.ofa import write_predictor

    state = {}
    for place, (before, after) in enumerate(((128, 400), (400, 400), (400, 400), (400, 1))):
        rng = torch_rng("accuracy predictor", place)
        state[f"{2 * place}.weight"] = torch.randn(after, before, generator=rng) * before**-0.5
        state[f"{2 * place}.bias"] = torch.full((after,), 0.5 if after == 1 else 0.0)
    path = tmp_path_factory.mktemp("predictor") / "accuracy.safetensors"
    write_predictor(path, state)
    return path


@pytest.fixture(scope="session")
def supernet_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write an untrained supernet of four classes, and images of them that it has not seen; return both files."""
    from metad2a.fitting.supernet_file import TrainedSupernet
    from metad2a.spaces.networks.supernet import Supernet

    folder, classes = tmp_path_factory.mktemp("supernet"), ("a", "b", "c", "d")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Supernet(4, width=10, downsampling=8)
    TrainedSupernet(net, classes, 8, (120.0,) * 3, (60.0,) * 3).save(folder / "net.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "noise.npz", x=pixels, y=np.arange(40) % 4, classes=np.array(classes))
    return folder / "net.safetensors", folder / "noise.npz"


@pytest.fixture
def make_reference() -> Callable[..., Reference]:
    """Return a function that makes what a checkpoint keeps of its meta-training; its arguments replace fields."""

    def make(feature_dim: int = FEATURE_DIM, **fields: Any) -> Reference:
        cells = NASBench201()
        whole = Reference(
            classes=tuple(f"class {number}" for number in range(12)),
            means=torch.rand(12, feature_dim, generator=torch_rng("reference")).half(),
            tasks=torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, -1], [9, 10, 11]], dtype=torch.int32),
            archs=tuple(cells.format(arch) for arch in cells.sample(2, np.random.default_rng(0))),
            accuracy=torch.tensor([60.0, 70.0, 80.0, 65.0]),
            best=torch.tensor([0, 1, 1, 0], dtype=torch.int32),
            best_accuracy=torch.tensor([62.0, 71.0, 85.0, 65.0]),
            sizes=(1, 5),
            loneliness=torch.linspace(0, 0.1, 101).expand(2, 101),
        )
        return replace(whole, **fields)

    return make


@pytest.fixture
def igraph(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a class whose objects are pickled as those of ``igraph.Graph`` are: made of vertices, edges, types."""

    class Graph:
        def __init__(self, edges: Sequence[tuple[int, int]], types: Sequence[Any]) -> None:
            self.edges, self.types = list(edges), list(types)

        def __reduce__(self) -> Any:
            return Graph, (len(self.types), self.edges, True, {}, {"type": self.types}, {}), {}

    Graph.__module__, Graph.__qualname__ = "igraph", "Graph"
    module = ModuleType("igraph")
    module.Graph = Graph  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "igraph", module)
    return Graph


@pytest.fixture
def write_wnids() -> Callable[[Path], list[str]]:
    """Return a function that writes the names of ImageNet32's classes to a folder and returns them by label."""

    def write(folder: Path) -> list[str]:
        wnids = [f"n{(label * 37) % 1000:08d}" for label in range(1000)]  # in no order
        content = {str(label): wnid for label, wnid in enumerate(wnids, start=1)}
        (folder / "imagenet32_label_to_wnid.json").write_text(json.dumps(content))
        return wnids

    return write
