"""Multiruns: where they lie, what a job does when it was done before or fails, and their table."""

from __future__ import annotations

import hashlib
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from missrec.app.command_line.door import USER_ERROR, is_mistake, one_line
from missrec.app.command_line.grammar import quoted
from missrec.app.command_line.imports import heavy_imports
from missrec.app.command_line.leftovers import ERROR, SweepFolder, remove_unbegun_sweep
from missrec.app.command_line.project import conf_dir
from missrec.app.gpus import claim_gpu
from missrec.app.outcome import begin_run, broken_off_by, end_run, interrupt_run
from missrec.app.session import continued, occupied
from missrec.app.settings import RunSettings
from missrec.files import write_text
from missrec.report.formats.terminal import print_failures, print_metrics
from missrec.runs.folder import METRICS, RunFolder
from missrec.runs.locks import RunBusyError
from missrec.runs.marks import read_marks
from missrec.runs.settings import changed_settings, described

_MISTAKE = "mistake: "
"""What `error.txt` begins with where the command is wrong: a traceback would tell nothing."""
_UNFINISHED = "not finished: its process was ended, or another command works on it"
_MULTIRUN = ("-m", "--multirun", "hydra.mode=MULTIRUN")

_log = logging.getLogger(__name__)


def sweep_arguments(arguments: list[str]) -> list[str]:
    """Command-line arguments of a multirun, with a folder that only this command has.

    The same command again gets the same folder, so that it does what has not finished. One that
    names a folder keeps it. The group in W&B is named like the folder. Arguments of a single run
    come back as they are.

    Args:
        arguments: without the program's name.
    """
    values = dict(argument.lstrip("+").partition("=")[::2] for argument in arguments)
    is_sweep = values.get("sweep", "none") != "none"
    if not (is_sweep or set(_MULTIRUN) & set(arguments)):
        return arguments
    added, group = [], None
    named = values.get("hydra.sweep.dir")
    if not named:
        group = _sweep_name(arguments, values["sweep"] if is_sweep else values.get("experiment"))
        added.append(f"hydra.sweep.dir=${{paths.log_dir}}/sweeps/{group}")
    elif "${" not in named:  # what Hydra will make of an interpolation is not known yet
        folder = Path(str(OverridesParser.create().parse_override(f"dir={named}").value()))
        group = quoted(folder.resolve().name)
    if group and "names.group" not in values:
        added.append(f"names.group={group}")
    # Hydra's parser takes overrides only where they stand together.
    place = next(
        (number for number, argument in enumerate(arguments) if not argument.startswith("-")),
        len(arguments),
    )
    return [*arguments[:place], *added, *arguments[place:]]


def _sweep_name(arguments: list[str], title: str | None) -> str:
    told = [argument for argument in arguments if argument not in _MULTIRUN]
    digest = hashlib.sha256("\0".join(told).encode()).hexdigest()[:8]
    # What is swept itself, such as experiment=a,b, is no name.
    is_name = title is not None and title.replace("_", "").isalnum()
    return f"{title if is_name else 'sweep'}-{digest}"


def run_job(
    settings: Callable[[], RunSettings], *, run_dir: Path, claims_gpu: bool, debug: bool
) -> None:
    """Trains; as a job of a multirun not again what had finished, and without stopping the others.

    A job that had begun is resumed, or replaced where it is to be overwritten, and one that another
    process works on passed over. One that fails leaves `error.txt` in its folder.

    Args:
        settings: reads those of the run, after its choices are found to go together.
        run_dir: folder of the run.
        claims_gpu: whether a job takes a GPU for itself, before anything looks for one.
        debug: whether a job of a multirun shows the traceback of what it fails by.

    Raises:
        Exception: outside a multirun, whatever training raises.
    """
    if not (HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN):
        run = settings()
        begin_run(run)
        try:
            with heavy_imports():  # only once the settings are read
                from missrec.app.train import train_run

            train_run(run)
        except (KeyboardInterrupt, SystemExit) as error:
            if code := broken_off_by(error):
                interrupt_run(run, code)
            raise
        end_run(run)
        return
    from missrec.runs.owner import writing

    try:
        with writing(run_dir):
            _run_job(settings, RunFolder(run_dir).error, claims_gpu=claims_gpu, debug=debug)
    except RunBusyError as error:
        _log.warning("passed over: %s", one_line(error))


def _run_job(
    settings: Callable[[], RunSettings], record: Path, *, claims_gpu: bool, debug: bool
) -> None:
    with heavy_imports():
        from missrec.app.train import train_run

    try:
        if claims_gpu:
            claim_gpu()
        run = settings()
        if run.overwrite or not _is_finished(run):
            train_run(continued(run))
        record.unlink(missing_ok=True)
    except Exception as error:
        said = one_line(error) or repr(error)
        is_told = is_mistake(error) and not RunFolder(record.parent).holds_run
        write_text(record, f"{_MISTAKE}{said}\n" if is_told else traceback.format_exc())
        _log.error("this job failed, the others go on: %s", said, exc_info=debug)


class NewFolder(Callback):
    """Refuses a run whose folder holds one, before Hydra writes its own files there.

    `earlier_run` looks again once the folder is locked, and at folders that `run_dir` names.
    """

    def on_run_start(self, config: Any, **_: Any) -> None:
        """Not of a multirun, whose jobs go on."""
        # As a moment later; the folder's name refers to it.
        HydraConfig.instance().set_config(config)
        try:
            folder = RunFolder(Path(config.hydra.run.dir))
        except OmegaConfBaseException:
            return  # something that the name is made of is not named, which Hydra finds too
        if folder.holds_run and not (config.resume or config.overwrite):
            sys.stderr.write(f"error: {occupied(folder)}\n")
            sys.exit(USER_ERROR)


class SweepTable(SweepFolder):
    """Prints a row for each finished job of a multirun, and those that did not finish.

    With such a job, or without any job, the command ends with exit code 1. A command that is broken
    off, by Ctrl-C or because a process of its launcher was killed, prints the same.
    """

    def __init__(self, *, keys: Sequence[str]) -> None:
        """Shows these metrics, such as `test/recall@10`."""
        self._keys = list(keys)

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        """Collects the run folders of the sweep."""
        super().on_multirun_end(config)
        folder = Path(config.hydra.sweep.dir)
        if mistake := _only_mistake(folder):
            sys.stderr.write(f"error: {mistake}\n")
            log_dir, job = Path(config.paths.log_dir).absolute(), config.hydra.job.name
            remove_unbegun_sweep(folder, log_dir=log_dir, job=job)
            sys.exit(USER_ERROR)
        if not self._show(folder):
            sys.exit(1)

    def _break_off(self, config: Any, *, is_new: bool) -> None:
        super()._break_off(config, is_new=is_new)
        self._show(Path(config.hydra.sweep.dir))

    def _show(self, folder: Path) -> bool:
        """Whether all jobs that have begun have finished."""
        labels = _labels(folder)
        rows, failures = {}, {}
        for path in sorted(folder.glob(f"*/{METRICS}"), key=_job):
            try:
                rows[labels[path.parent.name]] = RunFolder(path.parent).read_metrics()
            except ValueError as error:
                failures[labels[path.parent.name]] = one_line(error)
        for path in sorted(folder.glob(f"*/{ERROR}"), key=_job):
            failures[labels[path.parent.name]] = _last_line(path)
        unfinished = {
            label: _UNFINISHED
            for path in sorted(folder.glob("*/.hydra"), key=_job)
            if (label := labels[path.parent.name]) not in {*rows, *failures}
        }
        if rows:
            print_metrics(str(folder), rows, self._keys)
        if failures or unfinished:
            print_failures({**failures, **unfinished})
            traces = f"; {folder}/<job>/{ERROR} has the tracebacks" if failures else ""
            sys.stderr.write(
                f"error: {len(failures)} of the jobs failed, {len(unfinished)} have not finished; "
                f"the same command does them{traces}\n"
            )
        return not (failures or unfinished)


def _only_mistake(folder: Path) -> str | None:
    """What is wrong with a command none of whose jobs could begin; None where one could."""
    jobs = [path for path in folder.iterdir() if path.is_dir()]
    if not jobs:
        return "the sweep has no job: a glob(...) or range(...) in it finds nothing"
    errors = [path / ERROR for path in jobs]
    said = [path.read_text(encoding="utf-8") if path.is_file() else "" for path in errors]
    if not all(text.startswith(_MISTAKE) for text in said):
        return None
    first = min(zip(map(_job, errors), said, strict=True))[1].removeprefix(_MISTAKE).strip()
    return (
        first if len(set(said)) == 1 else f"none of {len(said)} jobs can begin; the first: {first}"
    )


def _is_finished(run: RunSettings) -> bool:
    """Whether this very run, settings and data and all, has already ended.

    Raises:
        ValueError: the folder holds a run with other settings, or on other data.
    """
    folder = RunFolder(run.run_dir)
    if not folder.config.is_file():
        return False
    marks = read_marks(conf_dir(run.paths.root_dir))
    if differences := changed_settings(folder.read_config(), run.config, marks=marks):
        raise ValueError(
            f"{folder.path} holds a run whose settings differ in {described(differences)}; delete "
            "it, or choose another folder for the sweep: hydra.sweep.dir=<folder>"
        )
    finished = folder.metrics.is_file()
    if finished:
        from missrec.app.trained.same_data import (
            check_finished,  # takes a moment, and few jobs have
        )

        folder.read_metrics()
        check_finished(run, accept=run.accepts_changed_data)
        _log.info("had finished before: %s", folder.path)
    return finished


def _labels(folder: Path) -> dict[str, str]:
    """Job folder -> its number and what it does not share with all others; else its name."""
    overrides = {
        path.parents[1].name: list(OmegaConf.load(path))
        for path in folder.glob("*/.hydra/overrides.yaml")
    }
    shared = set.intersection(*map(set, overrides.values())) if overrides else set()
    labels = {path.name: path.name for path in folder.glob("*")}
    for name, told in overrides.items():
        own = " ".join(override for override in told if override not in shared)
        labels[name] = f"{name.partition('_')[0]} {own}" if own else name
    return labels


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    return (
        lines[-1].removeprefix(_MISTAKE)
        if lines
        else "its process was ended while it wrote why it failed"
    )


def _job(path: Path) -> tuple[float, str]:
    """The number of the job that wrote the file; a pre-training that jobs share has none."""
    name = path.parent.name
    number, _, _ = name.partition("_")
    return (float(number) if number.isdecimal() else float("inf"), name)
