"""The tracker that is always there: plain files in the run folder."""

import io
import json
import math
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import metad2a
from metad2a.errors import OutputError
from metad2a.runtime import sha256, write_json, write_text
from metad2a.tracking.base import Status, metrics_only
from metad2a.tracking.read import CONFIG_FILE, METRICS_FILE, RUN_FILE, read_rows, read_run


class LocalTracker:
    """Writes three files into the run folder, all readable without this package.

    - ``metrics.jsonl``: a line per ``metrics`` call, ``{"step": 3, "time": 1795302671.7, "train/loss": 0.5}``
      (seconds since 1970), written at once, so that a crash loses none. What is not finite becomes ``null``.
    - ``config.json``: the configuration as it was used.
    - ``run.json``: who, when, with which versions, how it ended, and which files it made, with their SHA-256.
      It names no user and no machine.
    """

    def __init__(self) -> None:
        self._dir = Path()
        self._run: dict[str, Any] | None = None
        self._file: TextIO = io.StringIO()  # replaced by start

    def start(
        self, run_dir: Path, config: Mapping[str, Any], *, run_id: str, job: str, seed: int, resumed: bool
    ) -> None:
        """Begin or continue the run; a folder that holds no run yet is begun also when ``resumed``.

        Raises:
            OutputError: the folder cannot be written, or holds a run that is not to be resumed.
        """
        known = (run_dir / RUN_FILE).exists()
        if known and not resumed:
            raise OutputError(f"{run_dir} already holds a run. Resume it, or choose another folder.")
        previous = read_run(run_dir) if known else {}
        self._dir = run_dir
        self._run = {
            "schema_version": 1,
            "run_id": run_id,
            "job": job,
            "seed": seed,
            "status": "running",
            "started": previous.get("started", _now()),
            "resumed": [*previous.get("resumed", []), _now()] if known else [],
            "ended": None,
            "versions": {
                "metad2a": metad2a.__version__,
                "python": platform.python_version(),
                "torch": version("torch"),
            },
            "git_commit": _git_commit(),
            "artifacts": previous.get("artifacts", []),
        }
        write_json(run_dir / RUN_FILE, self._run)
        write_json(run_dir / CONFIG_FILE, dict(config))
        self._reopen(up_to=None)

    def rewind(self, step: int) -> None:
        """Cut the lines after ``step``, so that killed and resumed equals uninterrupted but for the times."""
        self._reopen(up_to=step)

    def metrics(self, values: Mapping[str, float | int], step: int) -> None:
        """Append one line.

        Raises:
            OutputError: it cannot be written (disk full).
        """
        self._started()
        own = {"step": step, "time": round(time.time(), 3)}
        finite = {name: v if math.isfinite(v) else None for name, v in metrics_only(values).items()}
        line = json.dumps(own | finite)
        with self._writing():
            self._file.write(line + "\n")
            self._file.flush()

    def artifact(self, path: Path, kind: str) -> None:
        """Record a file with its SHA-256 and its path from the run folder; the same path again replaces it."""
        run = self._started()
        name = Path(os.path.relpath(path, self._dir)).as_posix()
        others = [entry for entry in run["artifacts"] if entry["path"] != name]
        run["artifacts"] = [*others, {"kind": kind, "path": name, "sha256": sha256(Path(path))}]
        write_json(self._dir / RUN_FILE, run)

    def finish(self, status: Status) -> None:
        """Record how the run ended."""
        if self._run is None:
            return
        try:
            self._close()
        finally:
            run, self._run = self._run, None
            write_json(self._dir / RUN_FILE, run | {"status": status, "ended": _now()})

    def _started(self) -> dict[str, Any]:
        if self._run is None:
            raise RuntimeError("LocalTracker was used before start or after finish.")
        return self._run

    def _reopen(self, up_to: int | None) -> None:
        """Open the metrics file for appending, without half a line and without what is after ``up_to``."""
        self._started()
        self._close()
        path = self._dir / METRICS_FILE
        rows = read_rows(self._dir) if path.exists() else []
        kept = [row for row in rows if up_to is None or row["step"] <= up_to]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        with self._writing():
            self._file = path.open("a", encoding="utf-8")

    def _close(self) -> None:
        with self._writing():
            self._file.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write {self._dir / METRICS_FILE}: {error.strerror or error}. Make room and resume."
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git_commit() -> str | None:
    """Return the commit this package runs from, ``-dirty`` when changed; None when it is not a checkout."""
    checkout = Path(metad2a.__file__).resolve().parents[1]
    git = shutil.which("git")
    # An installed package may lie inside somebody else's checkout, whose commit says nothing about this code.
    if git is None or not (checkout / ".git").exists():
        return None
    command = [git, "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
