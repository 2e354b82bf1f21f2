"""Curves, tables, pictures and artifacts in W&B, or in a folder that it takes them from later."""

from __future__ import annotations

import logging
import os
import re
import uuid
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pytorch_lightning.loggers import WandbLogger

from missrec.files import write_text
from missrec.tracking.tracker import Artifact

_START_SEC, _END_SEC = 30, 300
"""How long a server may take to answer at the start, and to take what is left at the end."""

_log = logging.getLogger(__name__)


class WandbTracker(WandbLogger):
    """Lightning's, that never asks a question and never waits for a login.

    A run resumed in the same folder continues the same W&B run.

    **Differs**: starts the run itself. Lightning's passes a setting that W&B has given up, about
    which every start would warn, and sets WANDB_MODE for the rest of the process.
    """

    def __init__(
        self, *, save_dir: str, project: str, group: str, name: str, job_type: str, mode: str
    ) -> None:
        """Keeps the settings; the run starts with the first that is logged.

        Args:
            save_dir: run folder; offline runs lie in `<save_dir>/wandb`.
            project: W&B project.
            group: experiment or sweep.
            name: name of the run.
            job_type: pretrain, transfer or scratch.
            mode: `online`, `offline`, or `auto`: online where an API key is known, else offline.

        Raises:
            ValueError: another mode.
        """
        if mode not in {"auto", "online", "offline"}:
            raise ValueError(f"mode ({mode!r}) must be auto, online or offline")
        super().__init__(name=name, save_dir=save_dir, project=project)
        self._settings: dict[str, Any] = {
            "project": project,
            "group": group,
            "name": name,
            "job_type": job_type,
        }
        self._folder, self._mode = Path(save_dir), mode

    @property
    def experiment(self) -> Any:
        """The run of W&B."""
        if self._experiment is None:
            self._experiment = self._started()
            step = "trainer/global_step"
            self._experiment.define_metric(step)
            self._experiment.define_metric("*", step_metric=step, step_sync=True)
        return self._experiment

    def show_table(self, key: str, table: pl.DataFrame) -> None:
        """As a table of W&B."""
        self.log_table(key, columns=table.columns, data=[list(row) for row in table.rows()])

    def show_figure(self, key: str, path: Path) -> None:
        """As an image."""
        self.log_image(key, [str(path)])

    def keep(self, artifact: Artifact) -> None:
        """As an artifact, whose files are read when they are uploaded: offline, that is later.

        A model's name ends in the run's id: it is no version of another run's.
        """
        from wandb import Artifact as WandbArtifact

        of_run = f"-{self.experiment.id}" if artifact.kind == "model" else ""
        kept = WandbArtifact(_plain(artifact.name, of_run), type=artifact.kind)
        for name, path in artifact.files.items():
            kept.add_file(str(path), name=name, policy="immutable")
        self.experiment.log_artifact(kept, aliases=list(artifact.aliases) or None)

    def end(self, *, failed: bool) -> None:
        """Ends the run, if it has started."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(failed))

    def _started(self) -> Any:
        import wandb  # takes seconds to import, and only runs that log need it

        mode = self._mode
        if mode == "auto":
            logged_in = wandb.login(prompt=False, verify=False)
            mode = os.environ.get("WANDB_MODE") or ("online" if logged_in else "offline")
        mode = "online" if mode == "online" else "offline"
        if mode == "online":
            try:
                return self._init("online")
            except wandb.Error as error:
                _log.warning("W&B: %s; the run is kept offline, for `wandb sync`", error)
                wandb.teardown()  # its service still holds the run's id
        return self._init("offline")

    def _init(self, mode: Literal["online", "offline"]) -> Any:
        import wandb

        return wandb.init(
            dir=self._folder,
            id=_run_id(self._folder),
            resume="allow",
            settings=wandb.Settings(
                mode=mode,
                silent=True,
                console="off",
                init_timeout=_START_SEC,
                finish_timeout=_END_SEC,
            ),
            **self._settings,
        )


def _run_id(folder: Path) -> str:
    """The id of the folder's run in W&B, from its first start on."""
    file = folder / "wandb_id.txt"
    if not file.exists():
        write_text(file, uuid.uuid4().hex[:8] + "\n")
    return file.read_text(encoding="utf-8").strip()


def _plain(name: str, end: str) -> str:
    """The name with what W&B takes in that of an artifact: these letters, and 128 in all."""
    return re.sub(r"[^a-zA-Z0-9_.-]", "-", name)[:100] + end
