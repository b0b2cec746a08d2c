import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "measure_embedder.py"


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[list[str]]:
    """Return the cells of the table that the script prints."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments, "--images", "8", "--repeats", "1", "--threads", "1"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_any_reference_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("torchvision.models")
    references = ("pixels", "resnet18", "timm:test_resnet?resolution=64")
    rows = run(monkeypatch, capsys, "embedded:digits", *references, "--random-weights")
    assert [row[:3] for row in rows] == [
        ["pixels", "32", "192"],
        ["resnet18", "32", "512"],
        ["timm:test_resnet", "64", "96"],
    ]
    assert all(float(speed) > 0 for row in rows for speed in row[3:5])
    rows = run(monkeypatch, capsys, "embedded:digits", "--resolutions", "32", "64")
    assert [row[:2] for row in rows] == [["efficientnet-lite0", "32"], ["efficientnet-lite0", "64"]]


def test_accuracy_needs_imagenet(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imagenet = str(shared_data / "images" / "imagenet_samples_64px.npz")
    [[*_, top1, top5]] = run(monkeypatch, capsys, imagenet, "--resolutions", "128")
    assert 0 <= float(top1.removesuffix(" %")) <= float(top5.removesuffix(" %")) <= 100
    [[*_, top1, top5]] = run(monkeypatch, capsys, "embedded:digits", "--resolutions", "32")
    assert top1 == top5 == ""


def test_mistakes_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, capsys, "embedded:digits", "pixel")
    assert "Did you mean 'pixels'?" in capsys.readouterr().err
