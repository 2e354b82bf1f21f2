"""A resume that is killed at one of its file operations, and done again by the same command."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from faults import Killed, file_operations
from missrec.app.settings import RunSettings, read_run
from missrec.app.train import train_run
from missrec.runs.folder import RunFolder

KEPT = Path(__file__).resolve().parent / "kept_runs/format_0"


class Resume(NamedTuple):
    """A run that was killed inside an epoch, in a folder of its own.

    Attributes:
        whole: the folder as it is before each resume.
        folder: where it is resumed.
        data_dir: its data.
    """

    whole: Path
    folder: Path
    data_dir: Path

    @classmethod
    def prepare(cls, place: Path) -> Resume:
        """The kept run that was killed, in a folder."""
        shutil.copytree(KEPT / "logs/demo/killed", place / "whole")
        shutil.copytree(KEPT / "data", place / "data")
        return cls(place / "whole", place / "run", place / "data")

    def start(self) -> None:
        """The folder as it was."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.whole, self.folder)

    def operations(self) -> tuple[list[str], bytes]:
        """What kinds of file operations a resume has, in order, and the metrics it ends with."""
        self.start()
        with file_operations(self.folder) as operations:
            train_run(self.settings(self.folder))
        return operations.kinds, RunFolder(self.folder).metrics.read_bytes()

    def killed_at(self, operation: int, *, torn: bool) -> bytes:
        """The metrics of a resume that is killed at an operation, and repeated."""
        self.start()
        try:
            with file_operations(self.folder, kill_at=operation, torn=torn):
                train_run(self.settings(self.folder))
        except Killed:
            pass
        train_run(self.settings(self.folder))
        return RunFolder(self.folder).metrics.read_bytes()

    def settings(self, folder: Path, **changes: dict[str, Any]) -> RunSettings:
        """The settings of a resume in a folder; of a changed section, what is given."""
        config = RunFolder(folder).read_config()
        folders = [str(self.data_dir / Path(name).name) for name in config["data"]["folders"]]
        config["data"] = {**config["data"], "folders": folders, "sources": {}}
        config["datamodule"] = {**config["datamodule"], "folders": folders}
        config["paths"] = {**config["paths"], "root_dir": str(KEPT.parents[2])}
        for name, section in changes.items():
            config[name] = {**config[name], **section}
        return read_run({**config, "resume": str(folder)})


def places(kinds: Sequence[str], number: int) -> list[tuple[int, bool]]:
    """Where to kill, and whether to tear: half in writes, torn, half before anything else.

    Nearly all operations are writes of a checkpoint, so either half is spread by itself.
    """
    writes = [place for place, kind in enumerate(kinds) if kind == "write"]
    others = [place for place, kind in enumerate(kinds) if kind != "write"]
    half = max(1, number // 2)
    torn = [(writes[index * len(writes) // half], True) for index in range(half)]
    return [*((others[index * len(others) // half], False) for index in range(half)), *torn]
