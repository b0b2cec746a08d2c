"""Reading back what ``LocalTracker`` wrote: the files every other tool looks at."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metad2a.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

METRICS_FILE = "metrics.jsonl"
CONFIG_FILE = "config.json"
RUN_FILE = "run.json"


def read_rows(run_dir: Path) -> list[dict[str, Any]]:
    """Return the rows of ``metrics.jsonl``; a last line that was cut off by a crash is left out.

    Raises:
        UserError: there is no such file, or a whole line of it is no row.
    """
    path = Path(run_dir) / METRICS_FILE
    # What follows the last line break is either nothing or the part of a line that a crash left behind.
    lines = _read(path).split("\n")[:-1]
    rows = [_row(line) for line in lines]
    if None in rows:
        raise UserError(f"line {rows.index(None) + 1} of {path} is no metrics row. Remove that line.")
    return [row for row in rows if row is not None]


def read_metrics(run_dir: Path) -> "pd.DataFrame":
    """Return one row per recorded step: ``step``, ``time`` (seconds since 1970) and a column per metric.

    A metric that was not recorded at a step, or was not finite, is NaN there.

    Raises:
        UserError: ``run_dir`` is no run folder, or its metrics cannot be read.
    """
    import pandas as pd

    rows = read_rows(run_dir)
    names = dict.fromkeys(["step", "time", *(name for row in rows for name in row)])
    frame = pd.DataFrame.from_records(rows, columns=list(names))
    return frame.astype({name: "int64" if name == "step" else "float64" for name in names})


def read_run(run_dir: Path) -> dict[str, Any]:
    """Return ``run.json``: status, versions, times and artifacts of a run.

    ``status`` is still ``running`` for a run that was killed without a chance to say so.

    Raises:
        UserError: ``run_dir`` is no run folder, or the file is damaged.
    """
    path = Path(run_dir) / RUN_FILE
    run = _row(_read(path), needs="status")
    if run is None:
        raise UserError(f"{path} is no run record: it is damaged or was not written by metad2a.")
    return run


def list_runs(root: Path) -> list[dict[str, Any]]:
    """Return ``read_run`` of every run below ``root``, oldest first, each with its folder as ``run_dir``.

    Folders inside a run folder are not searched, damaged records are passed over.
    """
    runs = []
    for folder, below, files in os.walk(root):
        if RUN_FILE not in files:
            continue
        below.clear()
        try:
            runs.append({**read_run(Path(folder)), "run_dir": folder})
        except UserError:
            continue
    return sorted(runs, key=lambda run: (run.get("started", ""), run["run_dir"]))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: {path.parent} is no run folder of metad2a.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}.") from error


def _row(text: str, needs: str = "step") -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and needs in value else None
