"""scripts/grow_database.py, at a size that is soon done."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from metad2a.database.store import Store

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "grow_database.py"


def test_what_is_measured_is_really_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--epochs", "2", "--tasks", "8", "--one-by-one", "100"]
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "2400", str(tmp_path / "grown"), *options])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    said = capsys.readouterr().out
    assert "problems found: 0" in said
    assert re.search(r"store: \d+ MB, [\d,]+ bytes a row", said)
    assert re.search(r"put 2,300 rows in transactions of 1,000: \S+ s, [\d,]+ a second", said)
    with Store(tmp_path / "grown" / "store.sqlite") as store:
        assert len(store) == 2400
        assert len(store.keys("failed")) == 2
    with Store(tmp_path / "grown" / "merged.sqlite") as store:
        assert len(store) == 2400
