import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "measure_steering.py"


@pytest.mark.slow
def test_prints_a_row_a_limit_and_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("measure_steering", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", ["measure_steering.py", "--seeds", "1", "--candidates", "5"])
    script.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 3 * 3 * 2
    assert all("| 5 |" in line for line in lines[2:])
