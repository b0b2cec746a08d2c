import sys
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.mark.slow
def test_prints_a_row_a_limit_and_way(
    load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load_script("measure_steering")
    monkeypatch.setattr(sys, "argv", ["measure_steering.py", "--seeds", "1", "--candidates", "5"])
    script.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 3 * 3 * 2
    assert all("| 5 |" in line for line in lines[2:])
