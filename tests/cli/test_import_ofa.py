"""Once-for-All's files become an oracle and a latency table, which search takes, on networks of MobileNetV3."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from metad2a.costs.layer_latency import _fixed_keys, _searched_keys
from metad2a.data.features import FeatureSet
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.runtime import torch_rng
from metad2a.spaces.mobilenetv3 import MobileNetV3

Run = Callable[..., Any]
SPACE = MobileNetV3()
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "search-two-objectives.md"


@pytest.fixture
def imported(run: Run, tmp_path: Path) -> str:
    """Import a folder in the form of the published files, in which a layer's name makes it slow."""
    (tmp_path / "OFA_FOLDER" / "note10").mkdir(parents=True)
    for pixels in (192, 224):
        keys = [*_fixed_keys(120, pixels), *_searched_keys(120, pixels)]
        rows = [f"{key}:\n  count: 9\n  mean: {len(key) / 100}\n  std: 0.1\n" for key in dict.fromkeys(keys)]
        (tmp_path / "OFA_FOLDER" / "note10" / f"{pixels}_lookup_table.yaml").write_text("".join(rows))
    state = {}
    for place, (before, after) in enumerate(((128, 400), (400, 400), (400, 400), (400, 1))):
        state[f"{2 * place}.weight"] = torch.randn(after, before, generator=torch_rng(place)) * 0.1 * before**-0.5
        state[f"{2 * place}.bias"] = torch.full((after,), 0.5)
    torch.save(state, tmp_path / "OFA_FOLDER" / "acc_predictor.pth")
    out: str = run("import", "ofa", "OFA_FOLDER", "ofa").done().out
    return out


def test_the_folder_is_imported_and_the_page_can_use_it(
    run: Run, imported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pymoo")
    for words in ("latency of layers on note10, at 192, 224 pixels", "wrote ofa/note10.csv.json"):
        assert words in imported
    assert json.loads((tmp_path / "ofa" / "note10.csv.json").read_text())["notes"]["width"] == 120
    told = run("info", "ofa/accuracy.safetensors").done().out
    assert "accuracy predictor of: mobilenetv3\nits networks: width 120" in told
    assert "columns, pixels a side: 112, 128, 144" in told
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        exec(block, names)  # noqa: S102
    assert len(names["asked"]) == 30
    assert " M  d2:k3e3-k3e3+" in capsys.readouterr().out  # the smallest is on the front


def test_search_limits_latency_and_shows_trade_offs(
    run: Run, tmp_path: Path, imported: str, features: FeatureSet
) -> None:
    size: dict[str, Any] = {"feature_dim": 6, "num_types": 29, "num_nodes": 22, "hidden": 12, "latent": 8}
    topology = SPACE.topology.nonzero().tolist()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = {
            "generator": Part.of(Generator(**size, topology=topology)),
            "predictor": Part.of(Predictor(**size)),
        }
    embedder: Any = {"name": "pixels", "fingerprint": features.embedder, "dim": 6}
    checkpoint = Checkpoint(parts, "mobilenetv3", topology, embedder, 4, target={"mean": 70.0, "std": 5.0})
    checkpoint.save(tmp_path / "mobile.safetensors")
    features.save(tmp_path / "images.safetensors")
    command = ("search", "images.safetensors", "--space", "mobilenetv3", "--checkpoint", "mobile.safetensors")
    some = (*command, "--candidates", "12", "--json", "out.json")
    run(*some, "--max-flops", "400e6", "--pareto", "flops").done()
    found = json.loads((tmp_path / "out.json").read_text())
    assert all(one["flops"] <= 400e6 for one in found["candidates"])
    assert found["pareto"]["flops"]
    outcome = run(*some, "--latency-table", "ofa/note10.csv", "--pareto", "latency_ms").done()
    assert "~ is the sum of the layers" in outcome.out
    first = json.loads((tmp_path / "out.json").read_text())
    times = sorted(one["latency_ms"] for one in first["candidates"])
    limit = times[len(times) // 2]
    run(*some, "--latency-table", "ofa/note10.csv", "--max-latency-ms", limit).done()
    within = json.loads((tmp_path / "out.json").read_text())
    assert all(one["latency_ms"] <= limit for one in within["candidates"])
    run(*some, "--latency-table", "ofa/note10.csv", "--max-latency-ms", 1).refused("meets max_latency_ms=1")
