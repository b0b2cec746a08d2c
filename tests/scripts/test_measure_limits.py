"""scripts/measure_limits.py on untrained models and the labels that are shipped."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from metad2a.data.features import FeatureSet
from metad2a.search.constraints import Costs
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.extremes import sample_sizes
from metad2a.spaces.scale import NetworkScale

LIMIT = 5.5e8


@pytest.fixture
def script(load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_script("measure_limits")
    monkeypatch.setattr(module, "_POOL", 60)
    return module


def test_every_method_meets_the_limit(script: ModuleType, mobile_checkpoint: Path, features: FeatureSet) -> None:
    model = MetaD2A.from_checkpoint(mobile_checkpoint)
    space = model.space
    costs = Costs(space, 1000, scale=NetworkScale(224, {"width": 120}))
    known = space.sample(30, np.random.default_rng(0))
    rows = dict(script.found(model, features, costs, known, LIMIT, 0))
    assert list(rows) == ["random", "flops", "params", "static", "metad2a"]
    assert all(archs and costs.of("flops", archs).max() <= LIMIT for archs in rows.values())
    smallest, largest = sample_sizes(space, 2, np.random.default_rng(0))
    assert set(rows["flops"]) == set(rows["params"]) == {*rows["random"], smallest}
    assert len(rows["random"]) < 60
    for name in ("flops", "params"):
        assert (np.diff(costs.of(name, rows[name])) <= 0).all()
    assert rows["static"] == [arch for arch in known if arch in rows["static"]]
    again = dict(script.found(model, features, costs, known, LIMIT, 1))
    assert again["static"] == rows["static"]
    assert again["random"] != rows["random"]
    unlimited = dict(script.found(model, features, costs, known, 1e12, 0))
    assert unlimited["flops"][0] == unlimited["params"][0] == largest


@pytest.fixture
def printed(
    script: ModuleType,
    mobile_checkpoint: Path,
    features: FeatureSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., list[list[str]]]:
    """Return a function that runs the script for an oracle, with more options, and returns its cells."""
    images = tmp_path / "images.safetensors"
    features.save(images)
    usual = ["--database", "inherited", "--seeds", "2", "--kept", str(tmp_path / "kept")]

    def printed(oracle: str, *more: str) -> list[list[str]]:
        monkeypatch.setattr(
            sys, "argv", ["measure_limits.py", str(mobile_checkpoint), str(images), oracle, *usual, *more]
        )
        script.main()
        lines = capsys.readouterr().out.splitlines()
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    return printed


def test_the_table(printed: Callable[..., list[list[str]]], ofa_predictor: Path) -> None:
    more = ("--limits", "5e8", "6e8", "--first", "3")
    _, _, *rows = printed(f"{ofa_predictor}:224", *more)
    assert [row[:2] for row in rows] == [
        [limit, name] for limit in ("500", "600") for name in ("random", "flops", "params", "static", "metad2a")
    ]
    static = [row for row in rows if row[1] == "static"]
    assert all(cell.endswith("± 0.00") for row in static for cell in row[2:])
    assert all(cell != "nan" for row in rows for cell in row)
    with pytest.raises(SystemExit, match="no column '10'"):
        printed(f"{ofa_predictor}:10", *more)
    with pytest.raises(SystemExit, match=r"--losses: .* knows accuracies only"):
        printed(f"{ofa_predictor}:224", *more, "--losses")


def test_losses_of_a_supernet(printed: Callable[..., list[list[str]]], supernet_file: tuple[Path, Path]) -> None:
    asked = (":".join(map(str, supernet_file)), "--limits", "1e9", "--first", "2")
    plain, told = printed(*asked), printed(*asked, "--losses")
    assert told[0][4:] == ["loss, first", "loss, mean of 2"]
    assert [row[:4] for row in told] == plain
    losses = [float(cell.split("±")[0]) for row in told[2:] for cell in row[4:]]
    assert len(losses) == 10
    assert len(set(losses)) > 1
    assert 0 < min(losses) <= max(losses) < 20  # four classes, untrained; an accuracy in percent is 25
