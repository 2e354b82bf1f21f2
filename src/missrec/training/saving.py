"""How Lightning writes and remembers the checkpoints of a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_fabric.plugins import CheckpointIO
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from missrec.training.checkpoints import read_checkpoint, write_checkpoint


class WholeCheckpoints(CheckpointIO):
    """Writes checkpoints whole, with a checksum, and reads no others.

    **Differs** from Lightning's: its draft lies in the temporary folder, which may be on another
    file system, so that a kill leaves half a checkpoint; and it reads what was damaged since.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any | None = None,
    ) -> None:
        """Writes; makes the folder if need be."""
        if storage_options is not None:
            raise TypeError("storage_options: a checkpoint is a file of this machine")
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(place, checkpoint)

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Reads to the CPU; never code.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedCheckpointError: it is not whole.
        """
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Removes the file, if it is there."""
        Path(path).unlink(missing_ok=True)


class RunCheckpoint(ModelCheckpoint):
    """A `ModelCheckpoint` that remembers its files by their names in its own folder.

    **Differs** from Lightning's: a run that was copied or moved goes on where it is. Lightning
    forgets the best epoch there, or overwrites the files of the original. The file that a run was
    resumed from is replaced by a better one as any other.
    """

    @property
    def state_key(self) -> str:
        """Lightning's own: checkpoints of before have that."""
        return super().state_key.replace(RunCheckpoint.__qualname__, ModelCheckpoint.__qualname__)

    def state_dict(self) -> dict[str, Any]:
        """What was best and last, named from the folder."""
        return self._placed(super().state_dict(), to="")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the state, the names put under the folder that it has now."""
        super().load_state_dict(self._placed(state_dict, to=self.dirpath))

    def _placed(
        self, state: dict[str, Any], *, to: str | os.PathLike[str] | None
    ) -> dict[str, Any]:
        origin = Path(state["dirpath"] or "")

        def placed(name: str) -> str:
            place = Path(name)
            if place.is_absolute() and place.is_relative_to(origin):
                place = place.relative_to(origin)
            elif place.is_absolute() or ".." in place.parts:
                place = Path(place.name)
            return str(Path(to or "") / place) if name else name

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        best = {placed(name): score for name, score in state["best_k_models"].items()}
        renamed = {key: placed(state[key]) for key in paths}
        return {**state, **renamed, "best_k_models": best, "dirpath": to}

    def _should_remove_checkpoint(self, trainer: Trainer, previous: str, current: str) -> bool:
        assert self.dirpath is not None
        return previous != current and Path(self.dirpath) in Path(previous).parents
