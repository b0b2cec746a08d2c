"""Weights & Biases: a dashboard for runs, offline unless asked."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from metad2a.errors import ConfigError
from metad2a.tracking.base import Status, metrics_only

if TYPE_CHECKING:
    import wandb

Mode = Literal["offline", "online", "disabled"]
EXIT_CODES: dict[Status, int] = {"done": 0, "failed": 1, "interrupted": 130}


class WandbTracker:
    """Logs one run to wandb; its files go to ``wandb/`` in the run folder, wherever ``WANDB_DIR`` points.

    Nothing but configuration, metrics and wandb's own machine statistics is recorded: no source code, no git
    state, no console output, no host name. Files only with ``artifacts``. The ``_step`` of wandb counts lines;
    charts use our ``step``. wandb cannot take lines back: after a resume, steps that are done again are there
    twice. A resumed offline run makes a second folder with the same id; ``wandb sync`` joins them.

    Args:
        project: wandb project.
        mode: ``offline`` (upload later with ``wandb sync``), ``online`` or ``disabled``; None takes the
            variable ``WANDB_MODE``, and ``offline`` where that is not set.
        entity: team or user, None for the account's own.
        group: name that joins the runs of a sweep.
        tags: labels of the run.
        artifacts: also hand over the files the run makes.

    Raises:
        ConfigError: the mode is unknown.
    """

    def __init__(
        self,
        project: str = "metad2a",
        mode: str | None = None,
        *,
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        artifacts: bool = False,
    ) -> None:
        self.mode = mode or os.environ.get("WANDB_MODE") or "offline"
        if self.mode not in get_args(Mode):
            raise ConfigError(f"unknown wandb mode '{self.mode}'. Choose one of {', '.join(get_args(Mode))}.")
        self.project, self.entity, self.group = project, entity, group
        self.tags, self.artifacts = list(tags), artifacts
        self._run: wandb.Run | None = None
        self._job = ""

    def start(
        self, run_dir: Path, config: Mapping[str, Any], *, run_id: str, job: str, seed: int, resumed: bool
    ) -> None:
        """Begin the wandb run ``run_id``, or continue it."""
        import wandb

        self._job = job
        run_dir.mkdir(parents=True, exist_ok=True)
        # Silent for the whole process: else wandb asks for a missing key, and an unattended run waits for ever.
        wandb.setup(wandb.Settings(silent=True))
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            group=self.group,
            tags=self.tags,
            job_type=job,
            name=f"{job}-s{seed}-{run_id}",
            id=run_id,
            resume="allow" if resumed and self.mode == "online" else None,
            reinit="finish_previous",  # a run an earlier job could not finish must not swallow this one
            config={"seed": seed, **config},
            dir=str(run_dir),
            mode=self.mode,  # type: ignore[arg-type]  # checked above
            settings=wandb.Settings(
                save_code=False, disable_code=True, disable_git=True, console="off", silent=True, host="hidden"
            ),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def rewind(self, step: int) -> None:
        """Keep everything: wandb has no way back."""

    def metrics(self, values: Mapping[str, float | int], step: int) -> None:
        """Log one line."""
        self._started().log({**metrics_only(values), "step": step})

    def artifact(self, path: Path, kind: str) -> None:
        """Hand the file over when ``artifacts`` was asked for."""
        if self.artifacts:
            name = re.sub(r"[^\w.-]+", "-", f"{self._job}-{Path(path).name}")
            self._started().log_artifact(str(path), name=name, type=kind)

    def finish(self, status: Status) -> None:
        """Close the run with exit code 0, 1 (failed) or 130 (interrupted)."""
        if self._run is not None:
            run, self._run = self._run, None
            run.finish(exit_code=EXIT_CODES[status])

    def _started(self) -> "wandb.Run":
        if self._run is None:
            raise RuntimeError("WandbTracker was used before start or after finish.")
        return self._run
