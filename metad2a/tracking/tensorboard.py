"""TensorBoard event files."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metad2a.errors import ConfigError
from metad2a.tracking.base import Status, metrics_only

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class TensorBoardTracker:
    """Writes event files to ``tensorboard/`` in the run folder.

    Raises:
        ConfigError: tensorboard is not installed.
    """

    def __init__(self) -> None:
        if find_spec("tensorboard") is None:
            raise ConfigError(
                "the tracker 'tensorboard' needs the package tensorboard, which is not installed. "
                "Install it: pip install 'metad2a[tensorboard]'."
            )
        self._dir = Path()
        self._writer: SummaryWriter | None = None

    def start(
        self, run_dir: Path, config: Mapping[str, Any], *, run_id: str, job: str, seed: int, resumed: bool
    ) -> None:
        """Open the event file; ``config`` becomes a text card."""
        self._dir = run_dir / "tensorboard"
        self._open(None)
        if not resumed:
            text = json.dumps({"run_id": run_id, "job": job, "seed": seed, **config}, indent=2)
            self._started().add_text("config", f"```json\n{text}\n```")

    def rewind(self, step: int) -> None:
        """Tell TensorBoard to hide what was recorded after ``step``."""
        self._started().close()
        self._open(step + 1)

    def metrics(self, values: Mapping[str, float | int], step: int) -> None:
        """Record each number as a scalar."""
        writer = self._started()
        for name, value in metrics_only(values).items():
            writer.add_scalar(name, value, step)

    def artifact(self, path: Path, kind: str) -> None:
        """Note the file's name as a text card."""
        self._started().add_text(f"artifact/{kind}", Path(path).name)

    def finish(self, status: Status) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.add_text("status", status)
            self._writer.close()
            self._writer = None

    def _open(self, purge_step: int | None) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(self._dir), purge_step=purge_step)

    def _started(self) -> "SummaryWriter":
        if self._writer is None:
            raise RuntimeError("TensorBoardTracker was used before start or after finish.")
        return self._writer
