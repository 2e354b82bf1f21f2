"""`python src/tune.py`: hyper-parameters chosen on validation; the test split stays unseen."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import TrialPruned
from optuna.trial import Trial

from missrec.app.command_line.door import INTERRUPTED, TERMINATED, one_line
from missrec.app.command_line.imports import heavy_imports
from missrec.app.command_line.invocation import another_process
from missrec.app.gpus import visible_gpus
from missrec.app.preflight import check_device, check_training
from missrec.app.prepare import prepare_missing
from missrec.app.search import TrialCommands, TuneSettings, open_study, read_search
from missrec.app.session import composed, plain
from missrec.app.settings import read_data, read_paths, read_run
from missrec.app.trained.same_data import check_study, identity_at_hand
from missrec.files import write_text
from missrec.runs.folder import RunFolder
from missrec.search.study import SharedStudy
from missrec.search.trials import best_trial, print_trials, trial_line, trials_csv

NOTHING_FOUND = 1
WORKER_DIED = 1

_log = logging.getLogger(__name__)


def tune(cfg: DictConfig, *, overrides: Sequence[str]) -> None:
    """Searches, alone or in several processes; what comes out lies in the folder of the study.

    Args:
        cfg: the tune config.
        overrides: of the command that composed it.

    Raises:
        FileNotFoundError, ValueError: a mistake in the config or the data.
        SystemExit: no trial completed, a process died, or the search was interrupted.
    """
    _tune(tune_settings(cfg, overrides))


def tune_settings(cfg: DictConfig, overrides: Sequence[str]) -> TuneSettings:
    """The settings of a tune config, plain."""
    search: Any = OmegaConf.to_container(cfg.search, resolve=True)
    return TuneSettings(
        search=search,
        workers=cfg.workers,
        seed=cfg.seed,
        root_dir=Path(cfg.paths.root_dir),
        cutoffs=list(cfg.metrics.cutoffs),
        resume=cfg.resume,
        devices=cfg.trainer.devices,
        num_nodes=cfg.trainer.num_nodes,
        is_multirun=HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN,
        overrides=overrides,
    )


def _tune(settings: TuneSettings) -> None:
    commands = read_search(settings)
    search, root_dir = commands.search, settings.root_dir
    example = commands.of_trial(search.example(), seed=search.seeds[0], name="trial")
    with composed(root_dir, [*example, "run_dir=."]) as probe:
        resolved = plain(probe)
        check_training(read_run(resolved))
        check_device(resolved["trainer"])
        prepare_missing(read_paths(resolved), read_data(resolved))
        with closing(open_study(settings, search, resolved)) as study:
            if settings.workers > 0:  # one of several workers has been started by who checked
                run = read_run(resolved)
                check_study(study, identity_at_hand(run), accept=run.accepts_changed_data)
            try:
                if settings.workers > 1:
                    all_well = _run_workers(settings.workers)
                else:
                    all_well = _work(study, commands, root_dir)
                if settings.workers > 0:
                    _report(study, commands)
            except KeyboardInterrupt:
                _log.warning("interrupted; the same command goes on")
                sys.exit(INTERRUPTED)
    if not all_well:
        sys.exit(WORKER_DIED)


def _work(study: SharedStudy, commands: TrialCommands, root_dir: Path) -> bool:
    """Runs trials until the study has all of them or the time is up; True when that is done."""
    start = time.monotonic()
    _log.info("%s: %d trials so far", study.folder, len(study.rows()))
    while time.monotonic() - start < commands.search.timeout_sec:
        trial = study.take()
        if trial is None:
            break
        try:
            _run_trial(study, commands, trial, root_dir)
        except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into an exit
            study.put_back(trial)
            raise KeyboardInterrupt from None
        rows = study.rows()
        _log.info(trial_line(rows[trial.number], rows))
        _record(study, commands)
    _record(study, commands)
    return True


def _run_trial(study: SharedStudy, commands: TrialCommands, trial: Trial, root_dir: Path) -> None:
    """Trains and validates a trial once for each seed, and tells the study how it ended."""
    with heavy_imports():
        from missrec.app.trial import ReportValidation, free_memory, run_once

    def report(epoch: int, value: float) -> bool:
        return study.report(trial, epoch=epoch, value=value)

    search = commands.search
    folders = [study.folder / name for name in search.run_names(trial.number)]
    values: list[float] = []
    try:
        for seed, folder in zip(search.seeds, folders, strict=True):
            metrics = run_once(
                commands.of_trial(trial.params, seed=seed, name=folder.name),
                root_dir=root_dir,
                run_dir=folder,
                callbacks=[] if values else [ReportValidation(search.metric, report)],
            )
            values.append(metrics[search.metric])
    except TrialPruned:
        study.tell(trial, pruned=True)
    except Exception as error:  # whatever it is, the next trial may do better
        folder = folders[len(values)]
        folder.mkdir(exist_ok=True)
        write_text(RunFolder(folder).error, traceback.format_exc())
        study.tell(trial, reason=f"{type(error).__name__}: {one_line(error)}")
    else:
        study.tell(trial, value=fmean(values))
    if not search.keep_checkpoints:
        for folder in folders:
            shutil.rmtree(RunFolder(folder).checkpoints, ignore_errors=True)
    free_memory()


def _run_workers(count: int) -> bool:
    """Runs this command in several processes; whether all ended well."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    command = [*another_process("tune"), *sys.argv[1:], "workers=0"]
    workers = [
        subprocess.Popen(command, env=worker_environment(worker, count)) for worker in range(count)
    ]
    try:
        codes = [worker.wait() for worker in workers]
    except SystemExit:
        for worker in workers:
            worker.terminate()
        raise
    finally:  # Ctrl-C reaches them too
        for worker in workers:
            worker.wait()
    if INTERRUPTED in codes:
        raise KeyboardInterrupt
    for number, code in enumerate(codes):
        if code:
            _log.error("worker %d ended with exit code %d; the same command goes on", number, code)
    return not any(codes)


def worker_environment(worker: int, num_workers: int) -> dict[str, str]:
    """The environment of a worker: its share of the processor cores, and one of the GPUs."""
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_workers)))
    gpus = visible_gpus()
    if len(gpus) > 1:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[worker % len(gpus)]
    return environment


def _record(study: SharedStudy, commands: TrialCommands) -> None:
    """Writes `trials.csv` and `best.yaml` as the study stands."""
    search = commands.search
    with study.exclusively():
        rows = study.rows()
        write_text(study.folder / "trials.csv", trials_csv(search.metric, rows))
        best = best_trial(rows)
        if best is not None:
            content = {
                "study": search.name,
                "trial": best.number,
                search.metric: best.value,
                "overrides": commands.chosen(best.params),
                "command": commands.command(best.params),
            }
            text = yaml.safe_dump(content, sort_keys=False, width=math.inf)
            write_text(study.folder / "best.yaml", text)


def _report(study: SharedStudy, commands: TrialCommands) -> None:
    """Prints the table, and draws the plots.

    Raises:
        SystemExit: no trial completed.
    """
    metric, rows = commands.search.metric, study.rows()
    print_trials(str(study.folder), metric, rows)
    best = best_trial(rows)
    if best is None:
        reason = next((row.reason for row in reversed(rows) if row.reason), "the time was up")
        sys.stderr.write(f"error: none of {len(rows)} trials completed: {reason}\n")
        sys.exit(NOTHING_FOUND)
    from missrec.search.figures import history_figure, parameters_figure  # matplotlib

    history_figure(study.folder / "history.png", metric, rows)
    parameters_figure(study.folder / "parameters.png", metric, rows)
    _log.info("to train and test the best: %s", commands.command(best.params))
