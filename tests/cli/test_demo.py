"""metad2a demo, a few steps of everything; needs the shipped demo database."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metad2a.tracking.read import read_run

Run = Callable[..., Any]


def test_the_demo_runs_from_end_to_end(run: Run, tmp_path: Path) -> None:
    text = run("demo", "--quick", "--out", "out").done().out
    [folder] = (tmp_path / "out").iterdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    for kind in ("predictor", "generator"):
        assert read_run(folder / kind)["status"] == "done"
    found = json.loads((folder / "search.json").read_text())
    assert len(found["candidates"]) == 20
    page = (folder / "report.html").read_text()
    assert "Really trained" in page
    assert "metad2a demo --seed 0 --quick" in page
    assert f"wrote {Path('out') / folder.name / 'report.html'}" in text


@pytest.mark.slow
def test_an_interrupted_demo_can_be_resumed(run: Run, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "metad2a.cli.main", "demo", "--quick"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(tmp_path.glob("runs/demo/*/predictor/run.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    [folder] = (tmp_path / "runs/demo").iterdir()
    assert f"metad2a resume {folder.relative_to(tmp_path)}" in err
    assert "Traceback" not in err
    assert not (folder / "report.html").exists()
    run("resume", folder).done()
    first = json.loads((folder / "search.json").read_text())["candidates"]
    run("resume", folder).done()  # of a finished demo: the same again
    assert json.loads((folder / "search.json").read_text())["candidates"] == first
    assert (folder / "report.html").is_file()
