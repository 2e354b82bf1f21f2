"""`split=none epochs_from=<run>`: the last fit, on everything, with what another run has chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.utils import get_class

from missrec.app.command_line.remedies import no_run
from missrec.app.settings import Config
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.training.checkpoints import read_checkpoint


def as_trained(config: Config) -> Config:
    """The settings that a run trains with: of one that holds nothing out, those of a final fit.

    That trains as many epochs as validation chose in the run of `epochs_from`, keeps the last one,
    and watches no figure of validation.

    Args:
        config: of a run.

    Raises:
        FileNotFoundError: there is no run of `epochs_from`.
        ValueError: that has chosen no epoch, or the settings do not go together.
    """
    source = config.get("epochs_from")
    if not holds_nothing_out(config):
        if source is not None:
            raise ValueError(
                f"epochs_from ({source}) is for a run that validates nothing: add split=none, or "
                "leave it out"
            )
        return config
    if config.get("stages"):
        raise ValueError(
            "split=none: the run begins with stages, which validation ends; name one that has "
            "been trained with pretrained=<run>, and stages=none"
        )
    if source is None:
        raise ValueError(
            "split=none validates nothing, so nothing says when to stop: add epochs_from=<the run "
            "that validated>, or epochs_from=<number of epochs>"
        )
    trainer = config["trainer"]
    if not config.get("resume"):  # that goes on with the number it has, or a new one
        trainer = {**trainer, "max_epochs": _num_epochs(source)}
    callbacks = {key: _unwatched(callback) for key, callback in config["callbacks"].items()}
    return {**config, "trainer": trainer, "callbacks": callbacks}


def holds_nothing_out(config: Config) -> bool:
    """Whether a run trains on everything."""
    from missrec.data.splits import NothingHeldOut  # a help text waits for what is imported above

    target = str((config.get("split") or {}).get("_target_", ""))
    return target.startswith("missrec.") and issubclass(get_class(target), NothingHeldOut)


def _unwatched(callback: Any) -> Any:
    """A callback that watches validation, without: stopping early is left out."""
    if not isinstance(callback, dict) or not str(callback.get("monitor")).startswith("val/"):
        return callback
    return None if "patience" in callback else {**callback, "monitor": None, "save_top_k": 1}


def _num_epochs(source: Any) -> int:
    if isinstance(source, int) and not isinstance(source, bool):
        if source < 1:
            raise ValueError(f"epochs_from ({source}) must be at least 1, or a run folder")
        return source
    folder = RunFolder(Path(str(source)))
    if not folder.config.is_file():
        raise FileNotFoundError(no_run("epochs_from", f"{folder.config} is missing"))
    if not folder.metrics.is_file():
        raise ValueError(f"epochs_from: {folder.path} has not ended; resume={folder.path} ends it")
    if holds_nothing_out(folder.read_config()):
        raise ValueError(
            f"epochs_from: {folder.path} is a final fit itself, whose epochs no validation chose"
        )
    if "epochs" not in folder.read_metrics():
        raise ValueError(
            f"epochs_from: {folder.path} has trained nothing, so it has no epochs; for a model "
            "that learns nothing, any number will do, such as epochs_from=1"
        )
    chosen = read_checkpoint(chosen_checkpoint(folder.path), needed=["epoch"], mmap=True)
    return int(chosen["epoch"]) + 1
