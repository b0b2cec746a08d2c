"""The page "Add a training-free score" does what it says."""

import importlib
import re
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from metad2a import plugins


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_files: Callable[[str, Path], None]) -> Path:
    """Write the files of the page into a folder from which Python imports."""
    write_files("add-a-score", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("spread", "test_spread"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_the_conformance_test_of_the_page_passes(files: Path) -> None:
    module: ModuleType = importlib.import_module("test_spread")
    contract = module.TestSpread
    tests = [name for name in dir(contract) if name.startswith("test_")]
    assert len(tests) >= 6, "the contract was not run as a whole"
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", str(files / "test_spread.py")]
    assert pytest.main([*options, "-c", str(files / "pyproject.toml")]) == 0


def test_the_score_is_found_by_its_name(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tomllib.loads((files / "pyproject.toml").read_text("utf-8"))
    [(name, place)] = written["project"]["entry-points"]["metad2a.proxies"].items()
    assert written["tool"]["setuptools"]["py-modules"] == ["spread"]
    score = EntryPoint(name, place, "metad2a.proxies").load()
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda kind, wanted: score if wanted == name else load(kind, wanted))
    exec(compile((files / "use_spread.py").read_text("utf-8"), "use_spread.py", "exec"), {})  # noqa: S102
    values = [float(text) for text in re.findall(r"\d+\.\d*(?:e[-+]\d+)?", capsys.readouterr().out)]
    assert len(set(values)) == 3
    assert all(value > 0 for value in values)
