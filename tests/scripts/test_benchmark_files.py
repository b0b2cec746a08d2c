"""What reading benchmarks' files costs, on two cells."""

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

LINE = r" *(\w+): +\d+\.\d s, +\d+\.\d CPU s, +-?\d+ MB"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_made_up_files_are_read_in_every_way(load_script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    script = load_script("benchmark_files")
    script.write(tmp_path, 2)
    lines = [script.measure(what, tmp_path) for what in ("ours", "whole", "nats")]
    assert [re.fullmatch(LINE, line)[1] for line in lines] == ["ours", "whole", "nats"]  # type: ignore[index]
    assert len((tmp_path / "nats.csv").read_text().splitlines()) == 3
