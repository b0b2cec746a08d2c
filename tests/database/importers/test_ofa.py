"""Files in Once-for-All's forms, made up, become an oracle and a table of latencies."""

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from metad2a.costs.layer_latency import LayerLatency, read_latency_table
from metad2a.database.importers.ofa import import_ofa
from metad2a.errors import DatabaseError
from metad2a.oracles.opening import open_oracle
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.mobilenetv3 import BlockShape, fixed_widths
from metad2a.spaces.networks.mobilenetv3_costs import all_blocks, stage_sides

SPACE = MobileNetV3()
Write = Callable[..., Path]


def lookup_table(resolution: int, width: int = 120) -> dict[str, dict[str, float]]:
    """Every layer takes as many microseconds as its name has letters."""
    sides = stage_sides(resolution)
    stem, last, expanded, features = fixed_widths(width)
    small = f"{sides[-1]}x{sides[-1]}"
    names = [
        f"Conv-input:{resolution}x{resolution}x3-output:{sides[0]}x{sides[0]}x{stem}",
        f"Conv_1-input:{small}x{last}-output:{small}x{expanded}",
        f"AvgPool2D-input:{small}x{expanded}-output:1x1x{expanded}",
        f"Conv_2-input:1x1x{expanded}-output:1x1x{features}",
        f"Logits-input:1x1x{features}-output:1000",
    ]
    blocks = [(0, 1, BlockShape.first(width)), *all_blocks(width)]
    for number, (stage, layer, block) in enumerate(blocks):
        before = sides[stage + (layer > 0)] if number else sides[0]
        after = sides[stage + 1] if number else sides[0]
        names.append(
            f"expanded_conv-input:{before}x{before}x{block.inputs}-output:{after}x{after}x{block.outputs}-"
            f"expand:{block.expanded}-kernel:{block.kernel}-stride:{block.stride}-"
            f"idskip:{int(block.stride == 1 and block.inputs == block.outputs)}-"
            f"se:{int(block.squeezed > 0)}-hs:{int(block.hard_swish)}"
        )
    return {name: {"count": 10, "mean": len(name) / 1e3, "std": 0.01} for name in names}


def weights() -> "OrderedDict[str, torch.Tensor]":
    rng = torch_rng("weights")
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for place, (before, after) in enumerate(((128, 400), (400, 400), (400, 400), (400, 1))):
        state[f"{2 * place}.weight"] = torch.randn(after, before, generator=rng) * before**-0.5
        state[f"{2 * place}.bias"] = torch.full((after,), 0.3)
    state["6.weight"] *= 0.1
    return state


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a folder of published files, or what is given in their places."""

    def folder(*, predictor: Any = None, tables: dict[str, Any] | None = None) -> Path:
        path = tmp_path / "ofa"
        (path / "phone").mkdir(parents=True)
        if predictor is not False:
            torch.save(predictor or weights(), path / "acc_predictor.pth")
        for name, content in (
            {"160": lookup_table(160), "224": lookup_table(224)} if tables is None else tables
        ).items():
            text = content if isinstance(content, str) else yaml.safe_dump(content)
            (path / "phone" / f"{name}_lookup_table.yaml").write_text(text)
        return path

    return folder


def test_both_are_imported(write: Write, tmp_path: Path) -> None:
    imported = import_ofa(write(), tmp_path / "out")
    assert imported.accuracy == tmp_path / "out" / "accuracy.safetensors"
    assert imported.latency == {"phone": (tmp_path / "out" / "phone.csv", (160, 224))}
    archs = SPACE.sample(4, numpy_rng("archs"))
    accuracy = open_oracle(imported.accuracy, "224", SPACE).evaluate(archs)
    assert len(set(accuracy.tolist())) == 4
    phone = read_latency_table(tmp_path / "out" / "phone.csv", SPACE)
    table = {layer: facts["mean"] for layer, facts in lookup_table(224).items()}
    np.testing.assert_allclose(phone.predict(archs), LayerLatency.of(table, 224, name="table").predict(archs))
    origin = json.loads((tmp_path / "out" / "phone.csv.json").read_text())
    assert [one["file"] for one in origin["read"]] == ["160_lookup_table.yaml", "224_lookup_table.yaml"]
    assert origin["notes"] == {"resolutions": [160, 224], "width": 120}
    assert "not stated" in json.loads((tmp_path / "out" / "accuracy.safetensors.json").read_text())["licence"]


def test_one_of_them_will_do(write: Write, tmp_path: Path) -> None:
    folder = write(tables={})
    assert import_ofa(folder, tmp_path / "a").latency == {}
    (folder / "acc_predictor.pth").unlink()
    with pytest.raises(DatabaseError, match="has neither acc_predictor"):
        import_ofa(folder, tmp_path / "b")
    (folder / "phone" / "192_lookup_table.yaml").write_text(yaml.safe_dump(lookup_table(192, 100)))
    imported = import_ofa(folder, tmp_path / "c")
    assert imported.accuracy is None
    assert LayerLatency.read(imported.latency["phone"][0], SPACE, resolution=192).width == 100


def _lacking() -> dict[str, Any]:
    table = lookup_table(224)
    del table["Conv_2-input:1x1x1152-output:1x1x1536"]
    return table


def _negative() -> dict[str, Any]:
    table = lookup_table(224)
    table["Conv_2-input:1x1x1152-output:1x1x1536"]["mean"] = -1.0
    return table


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"predictor": [1, 2]}, "holds no weights by name"),
        ({"predictor": {"0.weight": torch.zeros(3, 3)}}, "128-400-400-400-1: '0.bias' is missing"),
        (
            {"tables": {"224": _lacking()}},
            "224_lookup_table.yaml lacks 1 .* 'Conv_2-input:1x1x1152-output:1x1x1536'",
        ),
        ({"tables": {"192": lookup_table(224)}}, "192_lookup_table.yaml lacks .* 'Conv-input:192x192x3"),
        ({"tables": {"224": _negative()}}, "Conv_2-input:1x1x1152-output:1x1x1536' are .*which is no latency"),
        ({"tables": {"224": "- 3"}}, "is no latency table of Once-for-All"),
        ({"tables": {"224": "a: {count: 1, mean: 2}"}}, "is no latency table of Once-for-All"),
        ({"tables": {"224": "a: !!python/object/apply:os.getcwd []"}}, "is no latency table of Once-for-All"),
        ({"tables": {"large": lookup_table(224)}}, "does not say its resolution"),
    ],
)
def test_other_files_are_refused_before_anything_is_written(
    change: dict[str, Any], words: str, write: Write, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseError, match=words):
        import_ofa(write(**change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="is no folder"):
        import_ofa(tmp_path / "none", tmp_path / "out")


def test_the_published_files(shared_data: Path, tmp_path: Path) -> None:
    if not (shared_data / "ofa").is_dir():
        pytest.skip("no published files")
    imported = import_ofa(shared_data / "ofa", tmp_path)
    assert imported.latency["note10"][1] == (160, 176, 192, 208, 224)
    archs = SPACE.sample(200, numpy_rng("archs"))
    accuracy = open_oracle(tmp_path / "accuracy.safetensors", "224", SPACE).evaluate(archs)
    latency = read_latency_table(tmp_path / "note10.csv", SPACE).predict(archs)
    assert 78 < accuracy.min() < accuracy.max() < 84
    assert np.corrcoef(latency, SPACE.flops(archs, 1000, 224, width=120))[0, 1] > 0.9
