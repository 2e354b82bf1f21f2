"""Settings with which a run would train for nothing, known before it reads any data."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from missrec.app.command_line.values import check_settings
from missrec.app.settings import RunSettings

if TYPE_CHECKING:
    from missrec.app.build import Experiment  # torch takes seconds

_METRICS = ("recall", "ndcg", "mrr")
_LOGGED = re.compile(
    r"loss|train/loss(_\w+)?|train/sequences_per_sec|seq/s|ndcg@10|"
    r"interests/(live|drift|refresh_sec)"
)
"""What training logs, besides the metrics of validation."""

_LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches")
_OF_THE_RUN = {
    "callbacks": "callbacks.<name>= sets them",
    "default_root_dir": "run_dir=<folder> sets it",
    "logger": "logger=<choice> sets it",
    "plugins": "they cannot be set",
}
"""Arguments of the trainer that a run gives it itself."""
_DEVICES = re.compile(r"auto|-1|\d+(\s*,\s*\d+)*,?")
_OWN = ("missrec.", "pytorch_lightning.")


def check_training(run: RunSettings) -> None:
    """Refuses a run that would end without an epoch that validation chose, or without its test.

    Raises:
        ValueError: names the setting, its value and what it can be.
    """
    _check_trainer(run.config["trainer"])
    measured = _measured(run.config["metrics"])
    data = {k: v for k, v in run.config["datamodule"].items() if k not in ("seed", "split")}
    optimizer = run.config.get("optimizer") or {}
    check_settings({"metrics": run.config["metrics"], "datamodule": data, "optimizer": optimizer})
    num_epochs = run.config["trainer"].get("max_epochs")
    callbacks = {key: chosen for key, chosen in run.config["callbacks"].items() if chosen}
    for key, callback in callbacks.items():
        if "_target_" not in callback:
            raise ValueError(
                f"callbacks.{key} names no class to build, its _target_; callbacks.{key}=null "
                "leaves a callback out"
            )
        _check_numbers(f"callbacks.{key}", callback, num_epochs)
    names = [f"val/{metric}" for metric in measured]
    if len(run.data.folders) > 1:
        folders = [folder.name for folder in run.data.folders]
        names += [f"val/{folder}/{metric}" for folder in folders for metric in measured]
    is_open = _has_strangers(callbacks)
    if not is_open:
        _check_needed(callbacks, run.config["model"])
    for key, callback in callbacks.items():
        if "monitor" in callback:
            _check_monitor(f"callbacks.{key}.monitor", callback, names, is_open=is_open)


def check_device(trainer: Mapping[str, Any]) -> None:
    """Refuses a GPU where there is none, before hours of what comes before the trainer is built.

    Raises:
        ValueError: names the setting.
    """
    from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

    found = {"cuda": CUDAAccelerator, "mps": MPSAccelerator}
    asked = trainer.get("accelerator")
    kinds = list(found) if asked == "gpu" else [asked]
    if all(kind in found and not found[kind].is_available() for kind in kinds):
        raise ValueError(
            f"trainer.accelerator ({asked}): this machine shows none; take trainer.accelerator=cpu "
            "or auto"
        )


def check_batches(run: RunSettings, experiment: Experiment) -> None:
    """Refuses what only the data and the model can tell: limits that leave no batch, or no epoch.

    Raises:
        ValueError: names the setting, its value and how many batches there are; or a monitor that
            is no term of the model's loss.
    """
    _check_terms(run.config["callbacks"], experiment.module.model)
    trainer, data = run.config["trainer"], experiment.datamodule
    loaders = {"limit_val_batches": data.val_dataloader, "limit_test_batches": data.test_dataloader}
    if experiment.module.learns:
        loaders["limit_train_batches"] = lambda: [data.train_dataloader()]
    for key, of_domains in loaders.items():
        limit = trainer.get(key)
        if isinstance(limit, float) and limit < 1 and (domains := of_domains()):
            fewest = min(map(len, domains))
            if limit * fewest < 1:
                raise ValueError(
                    f"trainer.{key} ({limit}) leaves none of {fewest} batches; give a number of "
                    f"batches, such as trainer.{key}=1"
                )
    if not experiment.module.learns:
        return
    limit = trainer.get("limit_train_batches")
    num_batches = len(data.train_dataloader())
    if limit is not None:
        num_batches = (
            int(limit * num_batches) if isinstance(limit, float) else min(limit, num_batches)
        )
    steps, interval = trainer.get("max_steps") or -1, trainer.get("val_check_interval")
    if interval is None and steps > 0:
        needed = num_batches // (trainer.get("accumulate_grad_batches") or 1)
        needed *= trainer.get("check_val_every_n_epoch") or 1
        if steps < needed:
            raise ValueError(
                f"trainer.max_steps ({steps}) ends training before an epoch is validated, after "
                f"{needed} steps"
            )
    # Without epochs to validate after, it counts batches over all of them.
    by_epoch = trainer.get("check_val_every_n_epoch", 1) is not None
    num_epochs = 1 if by_epoch else trainer.get("max_epochs") or -1
    if _is_whole(interval) and 0 < num_epochs * num_batches < interval:
        there = "an epoch" if by_epoch else f"trainer.max_epochs={num_epochs}"
        raise ValueError(
            f"trainer.val_check_interval ({interval}) is more than the "
            f"{num_epochs * num_batches} batches of {there}: none would be validated"
        )


def _check_switches(trainer: Mapping[str, Any]) -> None:
    """Refuses what would take from a run its checkpoints, or what it brings itself."""
    for key, how in _OF_THE_RUN.items():
        if key in trainer:
            raise ValueError(f"trainer.{key} ({trainer[key]}) is the run's own: {how}")
    if trainer.get("fast_dev_run"):
        raise ValueError(
            f"trainer.fast_dev_run ({trainer['fast_dev_run']}) keeps no checkpoint to test;"
            " for one quick batch of everything: debug=fast"
        )
    for key, wrong in (("enable_checkpointing", False), ("barebones", True)):
        if trainer.get(key) is wrong:
            raise ValueError(f"trainer.{key} ({wrong}) keeps no checkpoint to test; leave it out")


def _check_trainer(trainer: Mapping[str, Any]) -> None:
    _check_switches(trainer)
    if trainer.get("overfit_batches"):
        raise ValueError(
            f"trainer.overfit_batches ({trainer['overfit_batches']}) would validate on what it"
            " trains on; trainer.limit_train_batches trains on few batches"
        )
    for key, besides in (("max_epochs", -1), ("max_steps", -1), ("check_val_every_n_epoch", None)):
        count = trainer.get(key)
        if not (count is None or count == besides or (_is_whole(count) and count >= 1)):
            more = "" if besides is None else f", or {besides} for no limit"
            raise ValueError(f"trainer.{key} ({count}) must be a whole number, at least 1{more}")
    devices = trainer.get("devices", 1)
    is_word = isinstance(devices, str) and not _DEVICES.fullmatch(devices)
    is_all_of_cpu = trainer.get("accelerator") == "cpu" and devices in (-1, "-1")
    if devices in (0, "0", []) or is_word or is_all_of_cpu:
        raise ValueError(
            f"trainer.devices ({trainer['devices']}) must be a number of devices, at least 1, a "
            "list of them such as [0,1], or auto"
        )
    clip = trainer.get("gradient_clip_val")
    if clip is not None and not (isinstance(clip, int | float) and clip > 0):
        raise ValueError(
            f"trainer.gradient_clip_val ({clip}) must be a number above 0, or null to clip none"
        )
    for key in _LIMITS:
        limit = trainer.get(key)
        if limit is not None and not _is_part(limit):
            raise ValueError(
                f"trainer.{key} ({limit}) must be a number of batches, at least 1, or a "
                "share above 0.0 up to 1.0: each run trains, validates and tests"
            )
    every, num_epochs = trainer.get("check_val_every_n_epoch"), trainer.get("max_epochs")
    if every and num_epochs and every > num_epochs > 0:
        raise ValueError(
            f"trainer.check_val_every_n_epoch ({every}) is more than trainer.max_epochs "
            f"({num_epochs}): no epoch would be validated"
        )
    interval = trainer.get("val_check_interval")
    if isinstance(interval, int | float) and not _is_part(interval):
        raise ValueError(
            f"trainer.val_check_interval ({interval}) must be a number of batches, at "
            "least 1, or a share of an epoch above 0.0 up to 1.0"
        )


def _measured(metrics: Mapping[str, Any]) -> list[str]:
    """The metrics of a ranking, such as `ndcg@10`."""
    cutoffs = metrics["cutoffs"]
    if not cutoffs or not all(_is_whole(k) and k >= 1 for k in cutoffs):
        raise ValueError(
            f"metrics.cutoffs ({cutoffs}) must be a list of whole numbers, each at least 1,"
            " such as [10,50]"
        )
    if len(set(cutoffs)) < len(cutoffs):
        raise ValueError(f"metrics.cutoffs ({cutoffs}) names a number twice")
    if not isinstance(metrics["shown"], list):
        raise ValueError(f"metrics.shown ({metrics['shown']}) must be a list, such as [ndcg@10]")
    measured = [*(f"{name}@{k}" for name in _METRICS for k in cutoffs), "tie_rate"]
    check_shown("metrics.shown", metrics["shown"], cutoffs=cutoffs)
    return measured


def check_shown(key: str, shown: Sequence[Any], *, cutoffs: Sequence[int] = (10, 50)) -> None:
    """Refuses to show what is no metric; those of other cut-offs have a dash.

    Args:
        key: of the setting.
        shown: its names.
        cutoffs: of what may be meant.

    Raises:
        ValueError: names the metric that may be meant.
    """
    for name in shown:
        if name != "tie_rate" and not re.fullmatch(rf"({'|'.join(_METRICS)})@\d+", str(name)):
            measured = [*(f"{metric}@{k}" for metric in _METRICS for k in cutoffs), "tie_rate"]
            raise ValueError(f"{key}: {_unknown(str(name), measured)}")


def _check_needed(callbacks: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Refuses to leave out what chooses the epoch to test, or what finds the interests."""
    if not any("monitor" in one and "patience" not in one for one in callbacks.values()):
        raise ValueError("callbacks.checkpoint chooses the epoch to test; leave it in")
    if "interests" in model and "interests" not in callbacks:
        raise ValueError("callbacks.interests finds the interests of the model; leave it in")


def _check_numbers(key: str, callback: Mapping[str, Any], num_epochs: int | None) -> None:
    """Refuses what a callback would choke on, or never do, only in a later epoch."""
    patience, every = callback.get("patience", 0), callback.get("every_n_epochs")
    if not (_is_whole(patience) and patience >= 0):
        raise ValueError(
            f"{key}.patience ({patience}) must be a whole number of validations, 0 or more"
        )
    if callback.get("mode", "max") not in ("min", "max"):
        raise ValueError(f"{key}.mode ({callback['mode']}) must be min or max")
    if "monitor" in callback and callback.get("save_top_k") == 0:
        raise ValueError(f"{key}.save_top_k (0) keeps no checkpoint to test; give at least 1")
    if every is not None and not (_is_whole(every) and every >= 1):
        raise ValueError(f"{key}.every_n_epochs ({every}) must be a whole number, at least 1")
    is_late = isinstance(every, int) and num_epochs is not None and every > num_epochs > 0
    if "monitor" in callback and is_late:
        raise ValueError(
            f"{key}.every_n_epochs ({every}) is more than trainer.max_epochs ({num_epochs}): no "
            "epoch would be kept"
        )


def _check_monitor(
    key: str, callback: Mapping[str, Any], names: list[str], *, is_open: bool
) -> None:
    monitor = callback["monitor"]
    if monitor is None and "patience" not in callback:
        return  # a checkpoint of the last epoch
    if monitor in names or _LOGGED.fullmatch(str(monitor)):
        return
    if is_open and not str(monitor).startswith(("val/", "test/")):
        return
    raise ValueError(f"{key}: {_unknown(str(monitor), names)}")


def _check_terms(callbacks: Mapping[str, Any], model: object) -> None:
    """Refuses to watch a term that the loss has not, where the model says which it has."""
    terms: tuple[str, ...] | None = getattr(model, "loss_terms", None)
    if terms is None or _has_strangers(callbacks):
        return
    known = ["train/loss", *(f"train/loss_{term}" for term in terms)]
    for key, callback in callbacks.items():
        monitor = str((callback or {}).get("monitor"))
        if monitor.startswith("train/loss") and monitor not in known:
            raise ValueError(
                f"callbacks.{key}.monitor: {monitor} is not logged by this model, but "
                f"{', '.join(known)}"
            )


def _has_strangers(callbacks: Mapping[str, Any]) -> bool:
    """Whether there are callbacks of others: who knows what they log."""
    targets = [str(callback.get("_target_", "")) for callback in callbacks.values() if callback]
    return not all(target.startswith(_OWN) for target in targets)


def _unknown(name: str, known: Sequence[str]) -> str:
    """That a metric is none of those, and which one may be meant."""
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)
    return (
        f"{name} is not measured; did you mean {close[0]}? There are {', '.join(_METRICS)} at each "
        "of metrics.cutoffs, and tie_rate"
    )


def _is_part(value: Any) -> bool:
    """Whether a value is a number of batches or a share of them."""
    return (_is_whole(value) and value >= 1) or (isinstance(value, float) and 0 < value <= 1)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
