import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metad2a.errors import ArchitectureError, CheckpointError, ConfigError, OutputError
from metad2a.fitting.fitted import Card, FittedNetwork
from metad2a.search import export, onnx_file
from metad2a.search.export import export_candidates, export_network
from metad2a.search.metad2a import MetaD2A
from metad2a.search.network_module import load_module
from metad2a.search.result import SearchResult
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201

CELL = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
SPACE = NASBench201()
ARCH = SPACE.parse(CELL)
SMALL = {"channels": 4, "cells": 1}


def module(folder: Path) -> dict[str, Any]:
    return load_module((folder / "network.py").read_text("utf-8"))


def card(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "card.json").read_text("utf-8"))
    return content


def trained(num_classes: int = 3) -> FittedNetwork:
    """Return a network whose every number is another than that with which layers begin."""
    network = SPACE.build(ARCH, num_classes, **SMALL)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 12, 12))
        for weight in network.parameters():
            weight.add_(0.1 * torch.rand_like(weight))
    return FittedNetwork(
        network.eval().to(memory_format=torch.channels_last),
        Card(
            space="nasbench201",
            arch=CELL,
            scale=SMALL,
            classes=tuple("äbcdef"[:num_classes]),
            resolution=12,
            mean=(120.0, 110.5, 100.25),
            std=(60.0, 50.0, 40.0),
            dataset="animals",
            recipe={"name": "test"},
            seed=3,
            epoch=2,
            accuracy=71.5,
        ),
    )


# --- the folder ---------------------------------------------------------------------------------------------


def test_a_trained_network_without_metad2a(tmp_path: Path) -> None:
    fitted = trained()
    folder = export_network(fitted, tmp_path / "out", onnx=False)
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "network.py", "weights.pt"]
    pixels = torch.randint(0, 256, (5, 3, 12, 12), dtype=torch.uint8)
    torch.save(pixels, tmp_path / "pixels.pt")
    code = (
        "import sys, torch\n"
        "sys.modules['metad2a'] = None\n"  # an import of it would fail
        "from network import Network, build, prepare\n"
        "network = build('weights.pt')\n"
        "assert not network.training\n"
        "scores = network(prepare(torch.load('../pixels.pt')))\n"
        "torch.save(scores.detach().softmax(1), '../found.pt')\n"
        "assert Network(7)(torch.zeros(1, 3, 9, 9)).shape == (1, 7)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True, timeout=120)
    torch.testing.assert_close(torch.load(tmp_path / "found.pt"), fitted.probabilities(pixels))


def test_weights_load_into_the_built_network_too(tmp_path: Path) -> None:
    folder = export_network(trained(), tmp_path / "out", onnx=False)
    built = SPACE.build(ARCH, 3, **SMALL).eval()
    built.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    images = torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(module(folder)["build"](str(folder / "weights.pt"))(images), built(images))


def test_the_card_says_what_it_is(tmp_path: Path) -> None:
    content = card(export_network(trained(), tmp_path / "out", onnx=False, about={"command": "metad2a export"}))
    assert {
        key: content[key] for key in ("kind", "space", "arch", "scale", "num_classes", "classes", "resolution")
    } == {
        "kind": "metad2a network",
        "space": "nasbench201",
        "arch": CELL,
        "scale": SMALL,
        "num_classes": 3,
        "classes": ["ä", "b", "c"],
        "resolution": 12,
    }
    assert content["params"] == int(SPACE.params([ARCH], 3, **SMALL)[0])
    assert content["flops"] == int(SPACE.flops([ARCH], 3, 12, **SMALL)[0])
    assert content["input"] == {
        "channels": "RGB",
        "values": [0, 255],
        "mean": [120.0, 110.5, 100.25],
        "std": [60.0, 50.0, 40.0],
    }
    assert content["training"]["valid_accuracy"] == 71.5
    assert content["command"] == "metad2a export"


def test_an_untrained_network(tmp_path: Path) -> None:
    folder = export_network(ARCH, tmp_path / "out", 4, onnx=False, classes=list("abcd"))
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "network.py"]
    assert "prepare" not in module(folder)
    content = card(folder)
    assert (content["weights"], content["input"], content["training"]) == (False, None, None)
    assert (content["resolution"], content["classes"]) == (32, ["a", "b", "c", "d"])
    text = (folder / "network.py").read_text()
    assert CELL in text
    assert f"{content['params']:,}" in text
    assert f"{content['flops']:,} for an image of 32 x 32" in text


@pytest.mark.parametrize("form", ["file", "mapping", "safetensors"])
def test_weights_come_in_several_forms(form: str, tmp_path: Path) -> None:
    fitted = trained()
    weights: Any = fitted.network.state_dict()
    if form == "file":
        torch.save(weights, tmp_path / "mine.pt")
        weights = tmp_path / "mine.pt"
    elif form == "safetensors":
        weights = tmp_path / "best.safetensors"
        fitted.save(weights)
    folder = export_network(ARCH, tmp_path / "out", 3, weights=weights, scale=SMALL, onnx=False)
    stored = torch.load(folder / "weights.pt", weights_only=True)
    assert all(torch.equal(value, stored[name]) for name, value in fitted.network.state_dict().items())
    assert (card(folder)["training"] is None) == (form != "safetensors")


# --- ONNX ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "scale", "side"),
    [(SPACE, {"channels": 4, "cells": 1}, 13), (MobileNetV3(), {"width": 10}, 40)],
    ids=["nasbench201", "mobilenetv3"],
)
def test_the_onnx_file_computes_the_same(
    space: SearchSpace, scale: dict[str, int], side: int, tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    archs = space.sample(2, np.random.default_rng(0))
    if space is SPACE:  # every operation, zeros that are normalised, and nothing at all
        zeros = "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_1x1~2|"
        nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
        archs = [SPACE.parse(text) for text in (CELL, zeros, nothing)]
    for number, arch in enumerate(archs):
        state = space.build(arch, 3, **scale).state_dict()
        folder = tmp_path / str(number)
        export_network(arch, folder, 3, weights=state, resolution=side, scale=scale, onnx=True)
        network = module(folder)["build"](str(folder / "weights.pt"))
        session = runtime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
        for batch in (1, 5):
            images = torch.randn(batch, 3, side, side)
            [logits] = session.run(["logits"], {"images": images.numpy()})
            torch.testing.assert_close(torch.from_numpy(logits), network(images), rtol=1e-4, atol=1e-5)


def test_without_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"onnx, which is not installed.*--no-onnx"):
        export_network(ARCH, tmp_path / "out", 2, onnx=True)
    assert list(tmp_path.iterdir()) == []
    assert not (export_network(ARCH, tmp_path / "out", 2) / "network.onnx").exists()


# --- candidates ---------------------------------------------------------------------------------------------


@pytest.fixture
def result(make_checkpoint: Callable[..., Any], features: Any) -> SearchResult:
    return MetaD2A(make_checkpoint(), name="untrained", device="cpu").search(features, n_candidates=4)


def test_candidates_of_a_search(result: SearchResult, tmp_path: Path) -> None:
    folders = export_candidates(result, tmp_path / "out", 2, onnx=False, command="metad2a search x")
    assert [folder.name for folder in folders] == ["rank1", "rank2"]
    for candidate, folder in zip(result.candidates, folders, strict=False):
        content = card(folder)
        assert content["arch"] == candidate.arch
        assert (content["params"], content["flops"]) == (candidate.params, candidate.flops)
        search = content["search"]
        assert {key: search[key] for key in candidate.to_dict()} == candidate.to_dict()
        assert (search["checkpoint"], search["seed"], search["dataset"]["name"]) == ("untrained", 0, "random")
        assert content["command"] == "metad2a search x"
        network = module(folder)["Network"]()
        assert list(network.state_dict()) == list(candidate.build().state_dict())
    # Of another search nothing may be left over.
    export_candidates(result, tmp_path / "out", 1, onnx=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rank1"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(export_candidates(result, tmp_path / "out", 99, onnx=False)) == 4
    with pytest.raises(ConfigError, match="top=0"):
        export_candidates(result, tmp_path / "out", 0)


def test_a_candidate_with_its_trained_network(result: SearchResult, tmp_path: Path) -> None:
    best = result.best
    network = best.build(**SMALL)
    about = trained(5).card
    own = FittedNetwork(network, Card(**{**vars(about), "arch": best.arch, "classes": tuple("abcde")}))
    [folder] = export_candidates(result, tmp_path / "out", trained={1: own}, onnx=False)
    names = [path.name for path in export_candidates(result, tmp_path / "more", also=[3], onnx=False)]
    assert names == ["rank1", "rank3"]
    content = card(folder)
    assert (content["classes"], content["scale"]) == (list("abcde"), SMALL)
    assert content["search"]["params"] == best.params > content["params"]
    assert (folder / "weights.pt").is_file()


# --- nothing is lost, nothing is half-written ------------------------------------------------------------------


def test_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    export_network(ARCH, tmp_path / "out", 2, onnx=False)
    (tmp_path / "out" / "__pycache__").mkdir()
    export_network(ARCH, tmp_path / "out", 5, onnx=False)
    assert card(tmp_path / "out")["num_classes"] == 5
    (tmp_path / "empty").mkdir()
    export_network(ARCH, tmp_path / "empty", 5, onnx=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "out"]


@pytest.mark.parametrize("change", ["edited", "added", "other", "ranked"])
def test_work_of_others_is_not_overwritten(change: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = out / "rank1" if change == "ranked" else out
    if change != "other":
        export_network(ARCH, folder, 2, onnx=False)
    folder.mkdir(exist_ok=True)
    file = folder / ("mine.txt" if change in ("added", "other") else "network.py")
    file.write_text("my work")
    with pytest.raises(OutputError, match=rf"{file.name} is not as an earlier export left it"):
        export_network(ARCH, out, 2, onnx=False)
    assert file.read_text() == "my work"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_the_earlier_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_network(ARCH, tmp_path / "out", 2, onnx=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_json", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export_network(ARCH, tmp_path / "out", 3, onnx=False)
    with pytest.raises(OutputError):
        export_network(ARCH, tmp_path / "new", 3, onnx=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert card(tmp_path / "out")["num_classes"] == 2


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    fitted = trained()
    other = SPACE.parse(CELL.replace("avg_pool", "nor_conv"))
    (tmp_path / "junk.pt").write_text("junk")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "file").write_text("a file")

    class Mute(NASBench201):
        source = SearchSpace.source

    refused: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (ConfigError, "how many classes", lambda: export_network(ARCH, tmp_path / "out")),
        (ConfigError, "trained for 3 classes", lambda: export_network(fitted, tmp_path / "out", 4)),
        (ConfigError, "2 names for the 3", lambda: export_network(ARCH, tmp_path / "out", 3, classes=["a", "b"])),
        (ArchitectureError, "num_classes=0", lambda: export_network(ARCH, tmp_path / "out", 0)),
        (
            CheckpointError,
            "weights are those of",
            lambda: export_network(other, tmp_path / "out", 3, weights=fitted),
        ),
        (
            CheckpointError,
            "do not fit",
            lambda: export_network(ARCH, tmp_path / "out", 3, weights=fitted.network.state_dict()),
        ),
        (CheckpointError, "cannot read", lambda: export_network(ARCH, tmp_path / "out", 3, weights="none.pt")),
        (
            CheckpointError,
            "safe to read",
            lambda: export_network(ARCH, tmp_path / "out", 3, weights=tmp_path / "junk.pt"),
        ),
        (
            CheckpointError,
            "no state_dict",
            lambda: export_network(ARCH, tmp_path / "out", 3, weights=tmp_path / "list.pt"),
        ),
        (OutputError, "it is a file", lambda: export_network(ARCH, tmp_path / "file", 3)),
    ]
    for kind, words, attempt in refused:
        with pytest.raises(kind, match=words):
            attempt()
        assert not (tmp_path / "out").exists()
