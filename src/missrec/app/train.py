"""`python src/train.py`: train, choose on validation, test once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, ProgressBar
from pytorch_lightning.loggers.logger import DummyLogger

from missrec.app.build import Experiment, build_experiment, compile_modules
from missrec.app.command_line.arguments import other_process_arguments
from missrec.app.command_line.invocation import another_process
from missrec.app.doubts import warn_of_encoders, warn_of_parts
from missrec.app.final_fit import as_trained, holds_nothing_out
from missrec.app.fitting import computing, fit, keep_untrained, rank_users, validate
from missrec.app.lists import MeasuredLists, measure_lists
from missrec.app.model import build
from missrec.app.parts import check_parts
from missrec.app.preflight import check_batches, check_device, check_training
from missrec.app.prepare import prepare_missing
from missrec.app.resume import (
    Earlier,
    Start,
    begin,
    earlier_run,
    find_start,
    with_its_stages,
)
from missrec.app.session import plain
from missrec.app.settings import RunSettings, read_run
from missrec.app.stages import start_from, starting_point, train_stages
from missrec.app.trained.same_data import check_finished
from missrec.distributed import is_first_process
from missrec.report.formats.terminal import print_metrics, split_metrics
from missrec.runs.checkpoints import record_tested, tidy
from missrec.runs.folder import FINAL_FIT, METRICS, RunFolder
from missrec.runs.lists import lists_file, save_lists
from missrec.runs.owner import writing
from missrec.runs.ranks import save_ranks
from missrec.tracking.tracker import logging_to
from missrec.training.memory import keep_freed_memory
from missrec.training.saving import WholeCheckpoints
from missrec.training.silence import quiet_lightning
from missrec.training.strategies.ddp import SameConfig, refuse_unsupported, working
from missrec.training.transfer import count_parameters

_log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> dict[str, float]:
    """Trains, tests the checkpoint that validation chose, and writes the run folder.

    A model without anything to train is only ranked. `cfg.resume` continues the run in its own
    folder from where its checkpoints end. Of several processes each comes here; the first one
    alone writes and speaks.

    Returns:
        What `metrics.json` holds.

    Raises:
        FileNotFoundError, ValueError: a mistake in the config or the data.
        RunBusyError: another process writes into the run folder.
    """
    return train_run(read_run(as_trained(plain(cfg))))


def train_run(run: RunSettings) -> dict[str, float]:
    """`train`, of settings that have been read."""
    quiet_lightning()
    with writing(run.run_dir):
        earlier = earlier_run(run) if run.resume or is_first_process() else None
        if earlier is not None and earlier.finished and not earlier.changes:
            return finished_before(run)
        ready = make_ready(run, earlier, train_run, record=METRICS)
        run, experiment, trainer = ready.run, ready.experiment, ready.trainer
        held_out = experiment.datamodule.domains.holds_out
        lists = MeasuredLists([], {})
        warn_of_parts(experiment, run, names=("val", "test") if held_out else ())
        warn_of_encoders(experiment.identity, starting_point(run))
        if is_first_process():
            begin(run, earlier, ready.start)
        with computing(run), logging_to(trainer, run.config), working(trainer):
            best, metrics = fit(experiment, trainer, resume_from=ready.start.checkpoint)
            if held_out:
                metrics |= validate(experiment, trainer, checkpoint=best)
                metrics |= rank_users(experiment, trainer.test, checkpoint=best)
            best = best or keep_untrained(experiment, trainer)
            if held_out and is_first_process():
                lists = measure_lists(run, experiment, device=trainer.strategy.root_device)
                for logger in trainer.loggers if lists.metrics else ():
                    logger.log_metrics(lists.metrics, step=trainer.global_step)
        if not held_out:
            metrics = {FINAL_FIT: 1.0, **metrics}
        if is_first_process():
            metrics |= lists.metrics
            record(run, experiment, metrics, lists=lists, tested=best)
        return metrics


class Ready(NamedTuple):
    """A run that can begin: its checks have passed, and nothing is written in its folder yet.

    Attributes:
        run: its settings, with the checkpoints of its stages.
        experiment: data and model.
        trainer: what fits and ranks.
        start: what it starts with.
    """

    run: RunSettings
    experiment: Experiment
    trainer: Trainer
    start: Start


def make_ready(
    run: RunSettings,
    earlier: Earlier | None,
    train_stage: Callable[[RunSettings], object],
    *,
    record: str,
) -> Ready:
    """Trains what a run starts from, where it has not been, and builds its parts.

    Args:
        run: its settings.
        earlier: the run that goes on.
        train_stage: does the training of a stage.
        record: the file in the folder of a stage that says it is done.

    Raises:
        FileNotFoundError, ValueError: a mistake in the config or the data.
    """
    check_training(run)
    check_device(run.config["trainer"])
    check_parts(run.config)
    if not run.stages:
        starting_point(run)  # refuses one that is not there, before data is made
    run = train_stages(with_its_stages(run, earlier), train_stage, record=record)
    experiment = set_up(run)
    check_batches(run, experiment)
    start = find_start(run, earlier, experiment)
    return Ready(run, experiment, build_trainer(run), start)


def set_up(run: RunSettings) -> Experiment:
    """What there is before the trainer: seeds, data, the model with its first weights.

    Raises:
        FileNotFoundError, ValueError: a mistake in the config or the data.
    """
    config = run.config
    if run.seed is not None:
        seed_everything(run.seed, workers=True, verbose=False)
    if config["keep_freed_memory"]:
        keep_freed_memory()
    if is_first_process():
        prepare_missing(run.paths, run.data)
    experiment = build_experiment(run)
    source = starting_point(run)
    if source is not None:
        start_from(source, run, experiment)
    compile_modules(
        experiment.module.model, config["compiled_modules"], backend=config["compile_backend"]
    )
    _log.info("%s of %s parameters train", *map("{:,}".format, count_parameters(experiment.module)))
    return experiment


def build_trainer(run: RunSettings) -> Trainer:
    """The Lightning trainer with the callbacks and loggers of the config.

    Raises:
        ValueError: the config asks for several processes in a way that is not supported, or for
            what this machine has not.
    """
    config = run.config
    callbacks: list[Callback] = [
        build(config["callbacks"], key) for key, chosen in config["callbacks"].items() if chosen
    ]
    if not config["trainer"].get("enable_progress_bar", True):
        callbacks = [one for one in callbacks if not isinstance(one, ProgressBar)]
    # Processes that this one starts know the folder by its whole path.
    shared = OmegaConf.create({**config, "run_dir": str(run.run_dir.absolute())})
    callbacks.append(SameConfig(OmegaConf.to_yaml(shared).splitlines()))
    loggers = [DummyLogger()]
    if is_first_process():
        loggers = [build(config["logger"], key) for key in config["logger"]]
    parts: dict[str, Any] = {"callbacks": callbacks, "logger": loggers}
    parts["plugins"] = [WholeCheckpoints()]
    settings = dict(config["trainer"])
    if holds_nothing_out(config):
        settings["limit_val_batches"] = 0
    if isinstance(settings.get("strategy"), dict):
        command = [*another_process("train"), *other_process_arguments(run.run_dir)]
        parts["strategy"] = build(settings, "strategy", command=command)
        del settings["strategy"]  # or Hydra would build it once more, without the command
    parts["default_root_dir"] = str(run.run_dir)
    try:
        trainer: Trainer = build({"trainer": settings}, "trainer", **parts)
    except MisconfigurationException as error:  # such as a GPU that is not there
        raise ValueError(f"trainer: {error}") from error
    refuse_unsupported(trainer)
    return trainer


def record(
    run: RunSettings,
    experiment: Experiment,
    metrics: dict[str, float],
    *,
    lists: MeasuredLists,
    tested: str | None,
) -> None:
    """Writes what came out of a run, the metrics last, and prints them.

    Of its checkpoints the models stay, and what training goes on from where more epochs could
    follow.
    """
    folder = RunFolder(run.run_dir)
    domains = experiment.datamodule.domains
    ranks = experiment.module.target_ranks  # of a final fit, none
    for span, users in zip(domains.spans, ranks, strict=bool(ranks)):
        save_ranks(folder.path / f"test_ranks_{span.name}.parquet", span, users)
    for span, users, own in zip(domains.spans, ranks, lists.by_domain, strict=False):
        save_lists(lists_file(folder.path, span.name), users.user_ids, own)
    if tested is not None:
        record_tested(run.run_dir, Path(tested).name)
    folder.write_metrics(metrics)
    tidy(run.run_dir, keep_resumable=not metrics.get("stopped_early"))
    print_run(run, metrics)


def finished_before(run: RunSettings) -> dict[str, float]:
    """The metrics of a run that has ended; what a kill left to tidy is tidied."""
    folder = RunFolder(run.run_dir)
    metrics = folder.read_metrics()
    check_finished(run, accept=run.accepts_changed_data)
    if is_first_process():
        tidy(run.run_dir, keep_resumable=not metrics.get("stopped_early"))
        _log.info("had finished before: %s", run.run_dir)
        print_run(run, metrics)
    return metrics


def print_run(run: RunSettings, metrics: dict[str, float]) -> None:
    """Prints the metrics of a run; of a final fit, that it has none."""
    if FINAL_FIT in metrics:
        # A model that only counts has none.
        epochs = f" for {metrics['epochs']:.0f} epochs" if "epochs" in metrics else ""
        _log.info("trained on everything%s; nothing is held out", epochs)
        return
    rows = {split: split_metrics(metrics, split) for split in ("val", "test")}
    print_metrics(run.name, rows, run.shown)
